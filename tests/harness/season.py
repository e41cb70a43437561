"""
R5, R7, R24: seasons of rounds with failing requests, in virtual time, with the real loop and submitter.

Time passes only while the bot waits, and for the assumed duration of scoring. A season takes minutes, and its measured
times do not depend on the machine.
"""

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import structlog

from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault, Plan
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED
from tests.harness.virtual import ACCOUNT, make_bot, virtual_time

EVERY, WINDOW = timedelta(hours=2), timedelta(hours=1)


@dataclass(kw_only=True)
class Season:
    """Result of some rounds: seconds from opening to confirmation of each slot, and breaches."""

    name: str
    rounds: int
    slots: int
    seconds: list[float] = field(default_factory=list)
    faults: int = 0
    breaches: list[str] = field(default_factory=list)
    messages: int = 0

    def percentile(self, share: float) -> float:
        """Return a percentile of the seconds to confirmed."""
        return float(np.percentile(self.seconds, share))

    def __str__(self) -> str:
        told = ", ".join(f"p{share:g} {self.percentile(share):.0f} s" for share in (50, 99, 99.9, 100))
        return (
            f"{self.name}: {len(self.seconds)} of {self.rounds * self.slots} confirmed in {self.rounds} rounds, {self.faults} faults;"
            f" after the opening {told}; {self.messages} messages, {len(self.breaches)} breaches"
        )


def play(
    name: str,
    world: World,
    artifacts: Path,
    folder: Path,
    *,
    rounds: int,
    slots: int = 1,
    plan: Plan | None = None,
    outage: timedelta | None = None,
    before: Callable[[int, timedelta], None] = lambda _number, _since: None,
) -> Season:
    """
    Play rounds one after another and check them.

    Args:
        name: Name of the season; it seeds the draws.
        world: Data of the tournament.
        artifacts: Artifacts of an installation.
        folder: Folder for state and history.
        rounds: Number of rounds.
        slots: Number of the account's models.
        plan: Plan of faults.
        outage: Time after each opening in which every request fails.
        before: Called before every look with the round's place and the time since it opened.
    """
    season = Season(name=name, rounds=rounds, slots=slots)
    drawn = random.Random(name)
    names = dict(list(ACCOUNT.models.items())[:slots])
    state, journal = folder / "state", folder / "history.jsonl"
    folder.mkdir(parents=True)
    clock = SandboxClock(OPENED - timedelta(minutes=1), rate=0)
    schedule = Schedule.every(EVERY, window=WINDOW, first_round=FIRST_ROUND, first_open=OPENED)
    with (
        Sandbox(world, clock=clock, schedule=schedule, accounts=(ACCOUNT,), plan=plan, journal=journal) as sandbox,
        virtual_time(clock) as sleep,
    ):
        loop, ledger = make_bot(sandbox, artifacts, state, names, sleep)
        for place in range(rounds):
            opens = schedule.round(FIRST_ROUND + place).opens_at
            clock.set(opens - timedelta(seconds=drawn.uniform(0, 20)))
            if outage is not None:
                sandbox.faults.add(Fault(operation="*", kind="unavailable", times=10**9, seconds=1.0))
            while clock.now() < opens + WINDOW:
                if outage is not None and clock.now() >= opens + outage:
                    sandbox.faults.clear()
                before(place, clock.now() - opens)
                pause = loop.step()
                if loop._settled and loop._round.number == FIRST_ROUND + place:
                    break
                sleep(pause)
        season.messages = loop.outbox.waiting()
        for entry in ledger.entries(limit=rounds * slots):
            if entry.state == "confirmed":
                since = datetime.fromisoformat(entry.confirmed_at) - schedule.round(entry.round).opens_at
                season.seconds.append(since.total_seconds())
        ledger.close()
        loop.outbox.close()
    history = read_history(journal)
    owed = [(FIRST_ROUND + place, slot) for place in range(rounds) for slot in names]
    found = judge(history, ledgers=[state / "ledger.sqlite"], owed=owed)
    season.breaches = [f"{one.promise} {one.detail}" for one in found]
    season.faults = sum(line["event"] == "fault" for line in history)
    return season


def failing(share: float, seed: int = 7) -> Plan:
    """Return a plan under which a request fails with probability *share*, before or after its effect alike."""
    return Plan(seed=seed, share=2 * (1 - (1 - share) ** 0.5))


GOALS = ((0.3, 5 * 60), (0.5, 8 * 60), (0.8, 30 * 60))
"""R5: share of failing requests, and seconds after the opening within which 99.9 % are confirmed."""


def clocks(world: World, artifacts: Path, folder: Path, fake: Path) -> Season:
    """
    R7: play rounds with a clock that is hours off, or stepped by an hour in an open round, in three time zones.

    Args:
        world: Data of the tournament.
        artifacts: Artifacts of an installation.
        folder: Folder for state and history.
        fake: File from which libfaketime reads its offset.
    """
    wrong = [(start, end) for start, end in (("+3h", "+3h"), ("-3h", "-3h"), ("+0", "+1h"), ("+0", "-1h"))]
    cases = [(zone, *hours) for zone in ("Pacific/Kiritimati", "America/New_York", "Europe/Berlin") for hours in wrong]
    seen: set[tuple[int, int]] = set()

    def before(place: int, since: timedelta) -> None:
        zone, start, end = cases[place]
        os.environ["TZ"] = zone
        time.tzset()
        fake.write_text(start if since < timedelta(seconds=10) else end, encoding="ascii")
        seen.add((place, round((time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) - real) / 3600)))

    fake.write_text("+0", encoding="ascii")
    real = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    season = play("R7 clocks", world, artifacts, folder, rounds=len(cases), before=before)
    if len({hours for _, hours in seen}) != 5:
        season.breaches.append(f"the clock was not moved as wanted: {sorted(seen)}")
    return season


def quiet() -> None:
    """Drop every log line; a season has a hundred thousand."""

    def drop(*_: object) -> None:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])


if __name__ == "__main__":
    quiet()
    season = clocks(World.open(Path(sys.argv[1])), *(Path(argument) for argument in sys.argv[2:]))
    print(season, *season.breaches, sep="\n")
    sys.exit(bool(season.breaches))
