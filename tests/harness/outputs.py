"""Commands whose standard output or error cannot be written, compared with the same commands that are heard."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, LIMIT_S, OPENED, Installation
from tests.harness.process import until

KINDS = ("full disk", "closed", "pipe without a reader", "terminal that is gone", "read-only")
STREAMS = (("stdout",), ("stderr",), ("stdout", "stderr"))
COMMANDS = (
    ("submit", "--dry-run"),
    ("submit",),
    ("submit", "--round", "9"),
    ("status",),
    ("status", "--json"),
    ("status", "9"),
    ("health",),
    ("scores",),
    ("doctor",),
    ("backup",),
    ("verify",),
    ("--help",),
    ("submit", "--no-such-option"),
)
ROOT = Path(__file__).resolve().parents[2]
_DESCRIPTORS = {"stdout": 1, "stderr": 2}


@dataclass(kw_only=True)
class Played:
    """Counts of the cases that were played, printed as one line."""

    name: str
    cases: int = 0
    breaches: list[str] = field(default_factory=list)

    def check(self, case: str, found: object, right: object) -> None:
        """Count a case, and a breach where *found* is not the right value."""
        self.cases += 1
        if found != right:
            self.breaches.append(f"{case}: {found!r}, right is {right!r}")

    def __str__(self) -> str:
        return f"{self.name}: {self.cases} cases, {len(self.breaches)} breaches"


@contextmanager
def unwritable(kind: str, streams: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield arguments of ``Popen`` under which writing to *streams* fails; the other one is discarded."""
    arguments: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    if kind == "closed":

        def close() -> None:
            for name in streams:
                os.close(_DESCRIPTORS[name])

        yield arguments | {"preexec_fn": close}
        return
    if kind == "full disk":
        broken = os.open("/dev/full", os.O_WRONLY)
    elif kind == "pipe without a reader":
        reading, broken = os.pipe()
        os.close(reading)
    elif kind == "terminal that is gone":
        master, broken = pty.openpty()
        os.close(master)
    else:
        (folder / "unwritable").touch()
        broken = os.open(folder / "unwritable", os.O_RDONLY)
    try:
        yield arguments | dict.fromkeys(streams, broken)
    finally:
        os.close(broken)


@contextmanager
def round_open(world: Path, artifacts: Path, folder: Path) -> Iterator[Installation]:
    """Yield a bot with a champion, in *folder*, whose round stays open."""
    shutil.copytree(artifacts, folder / "state" / "artifacts")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world), clock=clock, schedule=schedule) as sandbox:
        # A tiny world's few features are more exposed than the gate allows in some eras.
        yield Installation(sandbox=sandbox, root=folder, settings={"BOT_MAX_EXPOSURE": "1"})


def exit_code(installation: Installation, command: Sequence[str], **arguments: Any) -> int:
    """Return the exit code of a command of the bot."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *command],
        env={**installation.environment, "PYTHONPATH": str(ROOT)},
        cwd=installation.root,
        check=False,
        timeout=LIMIT_S,
        **arguments,
    )
    return done.returncode


def play(
    installation: Installation,
    *,
    kinds: Sequence[str] = KINDS,
    streams: Sequence[Sequence[str]] = STREAMS,
    commands: Sequence[Sequence[str]] = COMMANDS,
) -> Played:
    """Run every command under every kind of broken output; its exit code must be that of the same command that is heard."""
    played = Played(name="output")
    for command in commands:
        right = installation.bot(*command).returncode
        for kind in kinds:
            for names in streams:
                with unwritable(kind, names, installation.root) as arguments:
                    found = exit_code(installation, command, **arguments)
                played.check(f"bot {' '.join(command)}, {' and '.join(names)} {kind}", found, right)
    return played


def play_daemon(installation: Installation, kind: str, played: Played) -> None:
    """Start `bot run` under broken output; it must confirm the open round and go on until it is stopped."""
    settings = {"BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "off", "BOT_SCORES": "off", "BOT_TICK_S": "1"}
    held = installation.sandbox.tournament.submissions
    before = len(held)
    with unwritable(kind, ("stdout", "stderr"), installation.root) as arguments:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "run"],
            env={**installation.environment, "PYTHONPATH": str(ROOT), **settings},
            cwd=installation.root,
            **arguments,
        )
        try:
            until(lambda: len(held) > before or process.poll() is not None, LIMIT_S, "nothing was submitted")
            played.check(f"bot run, {kind}, while it runs", (process.poll(), len(held) > before), (None, True))
            process.terminate()
            played.check(f"bot run, {kind}, stopped", process.wait(LIMIT_S), 0)
        finally:
            process.kill()
            process.wait()
