"""Rounds of `bot run` that a person's failing program should fill: ``python -m tests.soak.programs [ROUNDS]``."""

import sys
import time

from tests.harness.programs import WAYS, drawn, play
from tests.soak.counts import record
from tests.soak.stage import trained

ROUNDS = 10 * len(WAYS)


def main() -> int:
    """Play every way in which a program fails, many times; print the counts and return the exit status."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    with trained() as (world, artifacts, root):
        began = time.monotonic()
        tally = play(world, artifacts.parent, root / "bot", drawn(rounds))
        record("programs", samples=tally.trials, breaches=len(tally.breaches))
        print(f"{tally}; {time.monotonic() - began:.0f} s", flush=True)
    for breach in tally.breaches:
        print(f"  {breach}")
    return 1 if tally.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
