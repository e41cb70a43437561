"""S6 and S8: what the bot brings along, and what it must not be able to do."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bot.hosted._environment import IMAGES, requirements

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


def submitting():
    """Return what the submitting image installs: the dependencies without those of training and of the sandbox."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    absent = {*extras["train"], *extras["sandbox"]}
    return [one for one in declared() if str(one) not in {str(Requirement(line)) for line in absent}]


def distributions():
    """Every distribution that submitting needs, by the metadata of what is installed."""
    waiting, found = submitting(), set()
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
    """Everything that submits, runs, answers and tells can be imported without those distributions and those of training."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    training = {Requirement(line).name.lower() for extra in ("train", "sandbox") for line in about[extra]}
    absent = {
        file.parts[0].removesuffix(".py")
        for name in (left_out() | training - distributions()) - {"setuptools", "pip"}
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


def pinned(path):
    """Return the version and the number of hashes of each distribution in a file of pip's requirements."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)", line):
            found[name := re.sub(r"[-_.]+", "-", pin[1]).lower()] = [pin[2], 0]
        elif re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line):
            found[name][1] += 1
        elif not line.startswith("#"):
            pytest.fail(f"{path}: {line!r} is neither a pin nor a hash")
    return found


@pytest.mark.parametrize("name", ["run", "train", "dev", "build", "installer", "release"])
def test_every_file_is_pinned_by_hash(name):
    """Every distribution but torch and its CUDA parts has hashes, and the version of constraints.txt; `make hashes` writes them."""
    wanted = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower(): line.split("==")[1]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    }
    found = pinned(ROOT / "requirements" / f"{name}.txt")

    assert all(count for _, count in found.values())
    assert {one: version for one, (version, _) in found.items() if one in wanted and wanted[one] != version} == {}
    assert not [one for one in found if one in ("torch", "triton") or one.startswith(("nvidia-", "cuda-"))]
    if name != "release":  # its tools are pinned by their file alone
        # Those of Windows and of a browser; they are never installed here.
        assert set(found) - set(wanted) <= {"colorama", "pywin32", "httpx2-jsfetch"}


def test_the_hashes_cover_what_is_declared():
    """What runs is in its file, and what is declared for development is in the file of the development environment."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        Requirement(line)
        for extra in ("train", "remote", "sandbox", "dev")
        for line in about["optional-dependencies"][extra]
    ]
    run, dev = (pinned(ROOT / "requirements" / f"{name}.txt") for name in ("run", "dev"))

    assert distributions() <= set(run)
    assert {re.sub(r"[-_.]+", "-", one.name).lower() for one in (*declared(), *extras)} <= {*dev, "torch"}
    for one in (*declared(), *extras):
        if (name := re.sub(r"[-_.]+", "-", one.name).lower()) != "torch":
            assert one.specifier.contains(dev[name][0]), one


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_nothing_is_installed_unchecked(file):
    """Every installation checks hashes or downloads nothing, but torch."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ").replace("$(PIP_INSTALL)", "-m pip install")
    if checked := re.search(r"^CHECKED := (.*)$", text, re.MULTILINE):
        text = text.replace("$(CHECKED)", checked[1])
    steps = [step for line in text.splitlines() if not line.startswith("PIP_INSTALL") for step in line.split("&&")]
    unchecked = [
        step.split()[-1]
        for step in steps
        if re.search(r"pip install ", step) and not re.search(r"--require-hashes|--no-index|--no-build-isolation", step)
    ]

    assert set(unchecked) == {"torch"}


@pytest.mark.parametrize("version", sorted(IMAGES))
def test_numerais_packages_are_pinned_by_hash(version):
    """The clean room of `bot export` installs the versions of Numerai's image, each checked against its hashes."""
    found = pinned(requirements(version))

    assert {name: one for name, (one, _) in found.items()} == dict(IMAGES[version])
    assert all(count for _, count in found.values())


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
