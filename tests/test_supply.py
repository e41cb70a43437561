"""S6 and S8: what the bot brings along, and what it must not be able to do."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
MOST = 52
"""Distributions in the submitting image beside the bot itself."""

RUNNING = (
    "apprise", "bot.judging.numerai_diagnostics", "bot.doctor.examination", "bot.record.backup", "bot.live.live_scores",
    "bot.web.prometheus", "bot.web.pages", "bot.daemon.process", "bot.web.status", "bot.submission.submit", "bot.web.server", "bot.daemon.wiring", "models.trees.trees",
)  # fmt: skip


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


def left_out():
    """Return the distributions that the submitting image removes again."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return set(re.search(r"pip uninstall --yes --quiet (scikit-learn [^&]+)", text)[1].split())


def test_few_distributions_at_run_time():
    """What the submitting image holds does not grow unnoticed, and none of it trains."""
    found = distributions()

    assert left_out() - found == {"setuptools", "pip"}
    assert len(found - left_out()) <= MOST, sorted(found - left_out())
    assert not found & {"torch", "optuna", "lightning", "pytorch-lightning"}


def test_what_the_image_leaves_out_is_never_imported():
    """Everything that submits, runs, answers and tells can be imported where those distributions are absent."""
    absent = {
        file.parts[0].removesuffix(".py")
        for name in left_out() - {"setuptools", "pip"}
        for file in files(name)
        if file.suffix == ".py" and not file.parts[0].startswith(".")
    }
    script = (
        "import builtins, importlib, sys\n"
        f"absent = {sorted(absent - {'google'})!r}\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in absent or name.startswith('google.protobuf'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from bot.cli.main import main\n"
        f"for name in {RUNNING!r}: importlib.import_module(name)\n"
        "import apprise\n"
        "assert apprise.Apprise().add('discord://1/2')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


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
