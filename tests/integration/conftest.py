"""A tournament, a trained champion and the command line, shared by the tests of whole rounds."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stamina
from filelock import FileLock

import bot.submission.submit
from bot import assembly
from bot.record.ledger import Entry, Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.sandbox.world.generate import World, generate
from bot.settings import Settings, load_settings
from bot.submission.receipt import Receipt
from tests.soak.zygote import HereValidation

OPENED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FIRST_ROUND = 1405
SLOT = next(iter(DEMO_ACCOUNT.models))


@dataclass
class Installation:
    """A state directory and the settings of one bot, against one sandbox."""

    sandbox: Sandbox
    root: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "NUMERAI_"))}
        return {
            **outside,
            "NUMERAI_PUBLIC_ID": DEMO_ACCOUNT.public_id,
            "NUMERAI_SECRET_KEY": DEMO_ACCOUNT.secret_key,
            "BOT_API_URL": self.sandbox.url,
            "BOT_STATE_DIR": str(self.state),
            "BOT_MODE": "live",
            "BOT_RECIPE": "demo",
            **self.settings,
        }

    def settings_as(self, **changed) -> Settings:
        """The settings, for what runs in this process."""
        known = {
            "numerai_public_id": DEMO_ACCOUNT.public_id, "numerai_secret_key": DEMO_ACCOUNT.secret_key,
            "api_url": self.sandbox.url, "state_dir": self.state, "mode": "live", "recipe": "demo",
        }  # fmt: skip
        return load_settings(**known | changed)

    def submit(self, **changed) -> Receipt:
        """Bring the only slot of the open round to a confirmed submission, in this process."""
        settings = self.settings_as(**changed)
        client, ledger = assembly.open_client(settings), Ledger(settings.ledger_path)
        try:
            (slot,) = assembly.find_slots(settings, client)
            return assembly.open_submitter(settings, client, ledger).submit(client.current_round(), slot)
        finally:
            ledger.close()

    def queue(self, **changed) -> tuple[Entry, ...]:
        """Hand in late what the only slot left unsent, in this process."""
        settings = self.settings_as(late_policy="queue", **changed)
        client, ledger = assembly.open_client(settings), Ledger(settings.ledger_path)
        try:
            return assembly.open_submitter(settings, client, ledger).queue(assembly.find_slots(settings, client), None)
        finally:
            ledger.close()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bot", *arguments]

    def bot(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the bot as an operator would."""
        return self.python("-m", "bot", *arguments, **settings)

    def python(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the bot's folder and with its settings."""
        return subprocess.run(
            [sys.executable, *arguments],
            env={**self.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **settings},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )


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
    """A state directory in which `bot retrain` has promoted one artifact of the demo recipe."""

    def train(folder: Path) -> None:
        with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED)) as sandbox:
            result = Installation(sandbox=sandbox, root=folder).bot("retrain")
            if result.returncode != 0:
                pytest.fail(f"bot retrain failed: {result.stderr}")

    return once(shared(tmp_path_factory) / "trained", train) / "state"


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


@pytest.fixture
def no_backoff():
    """Repeat at once, for tests that are not about how long to wait."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def validated_here(monkeypatch):
    """Let Numerai's own validation run in this process, without a second interpreter for every submission."""
    monkeypatch.setattr(bot.submission.submit, "OfficialValidation", HereValidation)
