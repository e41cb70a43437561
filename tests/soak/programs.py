"""Rounds of `bot run` that a person's failing program should fill: ``python -m tests.soak.programs [ROUNDS]``."""

import sys
import time

from tests.harness.programs import SOUND, WAYS, drawn, play
from tests.soak.counts import record
from tests.soak.stage import trained

ROUNDS = 10 * len(WAYS)


def main() -> int:
    """Play every way in which a program fails, many times; print the counts and return the exit status."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    with trained() as (world, artifacts, root):
        began = time.monotonic()
        ways = drawn(rounds)
        tally = play(world, artifacts.parent, root / "bot", ways)
        record("programs", samples=tally.trials, breaches=len(tally.breaches))
        failing = len(ways) - ways.count(SOUND)
        broken, seconds = len(tally.breaches), time.monotonic() - began
        print(f"programs: {tally.trials} rounds, {failing} with a failing program; {broken} breaches; {seconds:.0f} s")
    for breach in tally.breaches:
        print(f"  {breach}")
    return 1 if tally.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
