"""A tournament, a trained champion and the command line, shared by the tests of whole rounds."""

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import stamina
from filelock import FileLock

import bot.submission.submit
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World, generate
from tests.harness.elsewhere import make_python
from tests.harness.installation import FIRST_ROUND, OPENED, Installation
from tests.harness.measurements import shorten_measurements
from tests.harness.zygote import HereValidation


def once(folder: Path, make) -> Path:
    """Make *folder* exactly once, also when several test processes ask for it."""
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            (folder / "done").touch()
    return folder


def shared(tmp_path_factory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory) -> Path:
    """A generated tiny world."""
    return once(shared(tmp_path_factory) / "world", lambda folder: generate(folder, size="tiny"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, world_folder) -> Path:
    """A state directory in which `bot retrain` has promoted one artifact of the demo recipe; its answer is ``retrain.json`` beside it."""

    def train(folder: Path) -> None:
        with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED)) as sandbox:
            result = Installation(sandbox=sandbox, root=folder).bot("retrain", "--json")
            if result.returncode != 0:
                pytest.fail(f"bot retrain failed: {result.stderr}")
            (folder / "retrain.json").write_text(result.stdout)

    return once(shared(tmp_path_factory) / "trained", train) / "state"


@pytest.fixture(scope="session")
def moved(tmp_path_factory, trained, world_folder):
    """A folder in which a sync announced v5.4 and a retrain used it beside the v5.3 champion; with their output."""

    def move(folder):
        shutil.copytree(trained, folder / "state")
        with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED)) as sandbox:
            sandbox.faults.add(Fault(operation="list_datasets", kind="version_added"))
            bot = Installation(sandbox=sandbox, root=folder)
            for name, arguments in (("sync", ["sync"]), ("retrain", ["retrain", "--data-version", "v5.4"])):
                done = bot.bot(*arguments)
                (folder / name).write_text(json.dumps([done.returncode, done.stdout, done.stderr]))

    return once(shared(tmp_path_factory) / "moved", move)


@pytest.fixture
def sandbox(world_folder):
    """A tournament whose first round has been open for a minute of a clock that stands still."""
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as running:
        yield running


@pytest.fixture
def installation(sandbox, trained, tmp_path) -> Installation:
    """A bot with a champion, ready to submit to the open round."""
    shutil.copytree(trained / "artifacts", tmp_path / "state" / "artifacts")
    return Installation(sandbox=sandbox, root=tmp_path)


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory) -> Path:
    """An interpreter that has Numerai's libraries and none of the bot's."""
    return make_python(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture
def no_backoff():
    """Repeat at once, for tests that are not about how long to wait."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def validated_here(monkeypatch):
    """Let Numerai's own validation run in this process, without a second interpreter for every submission."""
    monkeypatch.setattr(bot.submission.submit, "OfficialValidation", HereValidation)


@pytest.fixture(scope="module")
def short_measurements():
    """Measure this machine briefly in the commands that this process runs itself, as forked ones do."""
    with pytest.MonkeyPatch.context() as patch:
        shorten_measurements(patch.setattr)
        yield
