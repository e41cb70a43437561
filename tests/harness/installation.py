"""A bot with its own state directory and settings, connected to a sandbox."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bot import assembly
from bot.record.ledger import Entry, Ledger
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.settings import Settings, load_settings
from bot.submission.submit import Receipt
from tests.harness.forks import forks

OPENED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FIRST_ROUND = 1405
LIMIT_S = 1500.0
"""Longest run of a command in seconds. It is many times longer than on a quiet machine, so that only a hang reaches it."""

SLOT = next(iter(DEMO_ACCOUNT.models))


@dataclass
class Installation:
    """State directory and settings of one bot, connected to one sandbox."""

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
            "BOT_STARTER": "false",
            **self.settings,
        }

    def settings_as(self, **changed) -> Settings:
        """Return the settings for code that runs in this process."""
        known = {
            "numerai_public_id": DEMO_ACCOUNT.public_id, "numerai_secret_key": DEMO_ACCOUNT.secret_key,
            "api_url": self.sandbox.url, "state_dir": self.state, "mode": "live", "recipe": "demo",
            "starter": False,
        }  # fmt: skip
        return load_settings(**known | changed)

    def submit(self, **changed) -> Receipt:
        """Submit the only slot of the open round in this process."""
        settings = self.settings_as(**changed)
        client, ledger = assembly.open_client(settings), Ledger(settings.ledger_path)
        try:
            (slot,) = assembly.find_slots(settings, client)
            return assembly.open_submitter(settings, client, ledger).submit(client.current_round(), slot)
        finally:
            ledger.close()

    def queue(self, **changed) -> tuple[Entry, ...]:
        """Submit the unsent predictions of the only slot late, in this process."""
        settings = self.settings_as(late_policy="queue", **changed)
        client, ledger = assembly.open_client(settings), Ledger(settings.ledger_path)
        try:
            return assembly.open_submitter(settings, client, ledger).queue(assembly.find_slots(settings, client), None)
        finally:
            ledger.close()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bot", *arguments]

    def bot(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the bot in a process of its own, which has the libraries already where that changes nothing."""
        environment, loaded = self.whole_environment | settings, forks()
        if loaded.serves(environment):
            return loaded.run(arguments, environment, self.root, LIMIT_S)
        return self.new_bot(*arguments, **settings)

    def new_bot(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the bot in a new interpreter, which imports everything itself."""
        return self.python("-m", "bot", *arguments, **settings)

    def python(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the bot's folder with its settings."""
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.whole_environment | settings,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )

    @property
    def whole_environment(self) -> dict[str, str]:
        """Return the variables of a process that imports the bot from here."""
        return {**self.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
