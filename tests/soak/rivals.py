"""
R8: three daemons start at once on one state directory in every round; the one that holds it is killed after the round.

``python -m tests.soak.rivals [ROUNDS]``.
"""

import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, Installation
from tests.harness.process import running, until
from tests.soak.stage import trained

RIVALS, ROUNDS = 3, 40
EVERY, WINDOW = timedelta(hours=2), timedelta(hours=1)


@dataclass(kw_only=True)
class Rivals:
    """Result of the rounds."""

    rounds: int
    submissions: list[int] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"R8: {self.rounds} rounds of {RIVALS} daemons, {len(self.submissions)} submissions,"
            f" {self.statuses.count(75)} daemons turned away with 75; {len(self.breaches)} breaches"
        )


def play(world: World, artifacts: Path, folder: Path, *, rounds: int) -> Rivals:
    """Start daemons for every round; kill the one that confirms it, and start others for the next."""
    rivals = Rivals(rounds=rounds)
    schedule = Schedule.every(EVERY, window=WINDOW, first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED, rate=0)
    shutil.copytree(artifacts, folder / "state" / "artifacts")
    settings = {"BOT_TICK_S": "0.3", "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "off"}
    with Sandbox(world, clock=clock, schedule=schedule) as sandbox:
        bot = Installation(sandbox=sandbox, root=folder, settings=settings)
        for number in range(FIRST_ROUND, FIRST_ROUND + rounds):
            clock.set(schedule.round(number).opens_at + timedelta(seconds=1))
            with ExitStack() as started:
                daemons = [started.enter_context(running(bot)) for _ in range(RIVALS)]
                until(lambda: sum(one.process.poll() is not None for one in daemons) == RIVALS - 1, 120, "all stay")  # noqa: B023
                try:
                    daemons[0].confirmed(schedule, number, limit_s=180)
                except TimeoutError as error:
                    rivals.breaches.append(f"{error}: {daemons[0].events('round.delayed')[-1:]}")
                rivals.statuses += [one.process.poll() for one in daemons if one.process.poll() is not None]
        rivals.submissions = [one.round for one in sandbox.tournament.submissions]
    if rivals.submissions != list(range(FIRST_ROUND, FIRST_ROUND + rounds)):
        rivals.breaches.append(f"submissions of rounds {rivals.submissions}")
    if rivals.statuses != [75] * (rounds * (RIVALS - 1)):
        rivals.breaches.append(f"exit statuses {rivals.statuses}")
    return rivals


def main() -> int:
    """Run all rounds."""
    with trained() as (world, artifacts, folder):
        began = time.monotonic()
        rivals = play(world, artifacts, folder / "rivals", rounds=int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
    print(f"{rivals}; {time.monotonic() - began:.0f} s", *rivals.breaches, sep="\n", flush=True)
    return int(bool(rivals.breaches))


if __name__ == "__main__":
    sys.exit(main())
