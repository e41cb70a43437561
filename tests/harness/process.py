"""Start a real ``bot run`` beside a sandbox, read its log and heartbeat, and end it."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

from bot.record.ledger import Ledger
from bot.sandbox.schedule import Schedule
from tests.harness.installation import SLOT, Installation

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running daemon, and the log of it and its children."""

    installation: Installation
    process: subprocess.Popen[bytes]
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log events named *name*, oldest first."""
        lines = (line for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{"))
        return [event for event in map(_parsed, lines) if event.get("event") == name]

    def beat(self) -> float:
        """Return the time of the last heartbeat, by the monotonic clock that all processes share."""
        return float(self.heartbeat().get("beat", 0.0))

    def heartbeat(self) -> dict[str, Any]:
        """Return the content of the heartbeat; empty before the first one."""
        path = self.installation.state / "pulse.json"
        return dict(json.loads(path.read_bytes())) if path.is_file() else {}

    def child(self, command: str) -> psutil.Process | None:
        """Return the child process that runs a command of the bot, or ``None``."""
        for child in psutil.Process(self.process.pid).children():
            try:
                if command in child.cmdline():
                    return child
            except psutil.Error:
                continue
        return None

    def confirmed(self, schedule: Schedule, number: int, *, limit_s: float) -> float:
        """
        Wait for a round to be confirmed; return the seconds since it opened.

        Raises:
            TimeoutError: It was not confirmed within *limit_s* seconds.
        """
        entry = until(lambda: self._entry(number), limit_s, f"round {number} is not confirmed")
        return (datetime.fromisoformat(entry.confirmed_at) - schedule.round(number).opens_at).total_seconds()

    def _entry(self, number: int) -> Any:
        path = self.installation.state / "ledger.sqlite"
        if not path.is_file():
            return None
        ledger = Ledger(path)
        try:
            entry = ledger.entry(number, SLOT)
        finally:
            ledger.close()
        return entry if entry is not None and entry.state == "confirmed" else None


@contextmanager
def running(installation: Installation, *, program: tuple[str, ...] = (), **settings: str) -> Iterator[Running]:
    """
    Start ``bot run``; kill it at the end.

    Args:
        installation: Bot to run.
        program: Command to start in place of ``bot run``.
        settings: Variables added to the environment.
    """
    log = installation.root / "daemon.log"
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            program or installation.command("run"),
            # A tiny world's few features are more exposed in some eras than the gate allows.
            env={
                **installation.environment,
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
                "BOT_MAX_EXPOSURE": "1",
                **settings,
            },
            cwd=installation.root,
            stdout=file,
            stderr=file,
        )
    try:
        yield Running(installation=installation, process=process, log=log)
    finally:
        process.kill()
        process.wait()


def until(look: Callable[[], T], limit_s: float, otherwise: str) -> T:
    """
    Call *look* until it returns a true value; return that value.

    Raises:
        TimeoutError: It returned none within *limit_s* seconds; *otherwise* begins the message.
    """
    end = time.monotonic() + limit_s
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"{otherwise} after {limit_s:g} s")
        time.sleep(0.05)
    return found


def _parsed(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:  # it is being written
        return {}
