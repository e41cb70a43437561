"""S6 and S8: what the bot brings along, and what it must not be able to do."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
MOST = 63
"""Of these, 16 come with numerapi's fsspec[http] and numerai-tools' scikit-learn, and are never imported; see the Dockerfile."""


def declared():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [Requirement(line) for line in about["project"]["dependencies"]]


def distributions():
    """Every distribution that running the bot needs, by the metadata of what is installed."""
    waiting, found = declared(), set()
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        extras = ("", *wanted.extras)
        if (wanted.marker and not wanted.marker.evaluate({"extra": ""})) or (name, extras) in found:
            continue
        found.add((name, extras))
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed")
        for one in needed:
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
                one.marker = None
                waiting.append(one)
    return {name for name, _ in found}


def test_few_distributions_at_run_time():
    """What the bot pulls in does not grow unnoticed, and none of it trains."""
    found = distributions()

    assert len(found) <= MOST, sorted(found)
    assert not found & {"torch", "optuna", "lightning", "pytorch-lightning"}


def test_there_is_no_staking_code():
    """Nothing in the bot can move a stake: no query, no call of numerapi, by any name it has."""
    forbidden = re.compile(
        r"stake_(change|increase|decrease|drain|set|get)|v2ChangeStake|change_stake|releaseStake|setStake",
        re.IGNORECASE,
    )
    hits = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("bot", "models")
        for path in (ROOT / folder).rglob("*.py")
        if "sandbox" not in path.parts  # which plays Numerai's side
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line)
    ]

    assert hits == []
    assert forbidden.search("napi.stake_increase(1)")
