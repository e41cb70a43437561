"""
R7: a real ``bot run`` whose wall clock is off, is stepped by hours or weeks, or whose machine is suspended.

After each of these the next look comes in time, the round is confirmed, and a job that is due every few seconds runs.

The daemon and its children run under libfaketime, which moves their wall clock and not their monotonic clock. The
tournament does not. A suspended machine is a stopped process whose wall clock is ten minutes later when it continues.
"""

import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from bot.sandbox.clock import SandboxClock
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation
from tests.harness.process import Running, running, until

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
EVERY, WINDOW = timedelta(hours=2), timedelta(hours=1)
SUSPENDED = timedelta(minutes=10)
TICK_GOAL_S, LATE_S = 20.0, 3.0
"""R7's goal for the time to the next look, and the allowance for a busy machine, in seconds."""

ZONES = ("Pacific/Kiritimati", "America/New_York", "Europe/Berlin")
CASES = ("+3h", "-3h", "+1h step", "-1h step", "suspend")
JUMPS = ("+2h step", "-2h step", "+30d", "-30d", "+30d step", "-30d step")
BACKUP_S, JOB_S = 10, 180.0
"""Interval of the job in seconds, and seconds after the clock moved within which it must have run twice."""


@dataclass(kw_only=True)
class Clocks:
    """Result of the rounds: seconds to the next look and to confirmation, and breaches."""

    rounds: int = 0
    ticks: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    jobs: list[float] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"R7 real process: {len(self.seconds)} of {self.rounds} confirmed; next look {max(self.ticks):.1f} s after the"
            f" clock moved at most, confirmed {max(self.seconds):.0f} s after the opening or the resume at most;"
            f" {len(self.jobs)} times the job ran, at most {max(self.jobs):.0f} s after the clock moved;"
            f" {len(self.breaches)} breaches"
        )


def play(
    world: World, artifacts: Path, folder: Path, *, zones: Sequence[str], cases: Sequence[str], tick_s: float
) -> Clocks:
    """
    Play a round for every case in every time zone.

    Args:
        world: Data of the tournament.
        artifacts: Artifacts of an installation.
        folder: Folder for state and history.
        zones: Values of ``TZ``, one daemon each.
        cases: Cases to play, from ``CASES`` and ``JUMPS``.
        tick_s: The daemon's ``BOT_TICK_S``.

    Raises:
        RuntimeError: The daemon's clock did not move.
    """
    played, journal = Clocks(), folder / "history.jsonl"
    schedule = Schedule.every(EVERY, window=WINDOW, first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED - timedelta(minutes=5))
    fake = folder / "offset"
    shutil.copytree(artifacts, folder / "bot" / "state" / "artifacts")
    with Sandbox(world, clock=clock, schedule=schedule, journal=journal) as sandbox:
        settings = {"BOT_TICK_S": str(tick_s), "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": f"{BACKUP_S}s"}
        settings |= {
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(fake), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        daemon = Installation(sandbox=sandbox, root=folder / "bot", settings=settings)
        for restarts, zone in enumerate(zones):
            fake.write_text("+0", encoding="ascii")
            with running(daemon, TZ=zone) as bot:
                until(lambda: bot.events("daemon.started")[restarts:], 60, "the daemon does not start")  # noqa: B023
                for case in cases:
                    number = FIRST_ROUND + played.rounds
                    played.rounds += 1
                    _play(bot, clock, schedule, fake, number, case, played)
                bot.process.send_signal(signal.SIGTERM)
                status = bot.process.wait(timeout=180)
                played.breaches += [f"{zone}: the daemon ended with status {status}"] if status else []
    owed = [(FIRST_ROUND + place, SLOT) for place in range(played.rounds)]
    found = judge(read_history(journal), ledgers=[daemon.state / "ledger.sqlite"], owed=owed)
    played.breaches += [f"{one.promise} {one.detail}" for one in found]
    return played


def _play(
    bot: Running, clock: SandboxClock, schedule: Schedule, fake: Path, number: int, case: str, played: Clocks
) -> None:
    """Move the daemon's clock near one round's opening; wait until the round is confirmed."""
    opens, ran = schedule.round(number).opens_at, len(_backups(bot))
    if case == "suspend":
        clock.set(opens - timedelta(minutes=2))
        _stop(bot, signal.SIGSTOP)
        fake.write_text(_later(fake, SUSPENDED), encoding="ascii")
        clock.advance(SUSPENDED)
        began, since = time.monotonic(), clock.now() - opens
        _stop(bot, signal.SIGCONT)
    else:
        offset = case.removesuffix(" step")
        fake.write_text("+0" if "step" in case else offset, encoding="ascii")
        clock.set(opens + timedelta(seconds=1) if "step" in case else opens - timedelta(seconds=2))
        fake.write_text(offset, encoding="ascii")
        began, since = time.monotonic(), timedelta(0)
    until(lambda: bot.beat() > began, 60, f"{case}: the loop does not come round")
    played.ticks.append(bot.beat() - began)
    played.seconds.append(bot.confirmed(schedule, number, limit_s=180) - since.total_seconds())
    off = datetime.fromisoformat(bot.heartbeat()["at"]).timestamp() - time.time()
    if abs(off - _seconds(fake)) > TICK_GOAL_S + LATE_S:
        raise RuntimeError(f"{case}: the daemon's clock is {off:.0f} s off, not as {fake.read_text()} says")
    # The first run may have begun before the clock moved.
    until(lambda: len(_backups(bot)) > ran + 1, JOB_S, f"{case}: the job does not run")
    played.jobs.append(time.monotonic() - began)
    if played.ticks[-1] > TICK_GOAL_S + LATE_S:
        played.breaches.append(f"{case}: the next look came after {played.ticks[-1]:.1f} s")


def _seconds(fake: Path) -> float:
    text = fake.read_text(encoding="ascii")
    return float(text.rstrip("dhs")) * {"h": 3600, "d": 86400}.get(text[-1], 1)


def _backups(bot: Running) -> list[dict[str, Any]]:
    return [one for one in bot.events("chore.finished") if one["chore"] == "backup" and one["outcome"] == "ok"]


def _later(fake: Path, by: timedelta) -> str:
    return f"{_seconds(fake) + by.total_seconds():+.0f}"


def _stop(bot: Running, number: int) -> None:
    """Send a signal to the daemon and all its children."""
    for one in [psutil.Process(bot.process.pid), *psutil.Process(bot.process.pid).children(recursive=True)]:
        one.send_signal(number)
