"""R7 in full, with a real process: ``python -m tests.soak.clocks``."""

import sys

from tests.harness.clocks import CASES, FAKETIME, TICK_GOAL_S, ZONES, play
from tests.soak.counts import record
from tests.soak.stage import trained


def main() -> int:
    """Run every case in every zone at the default tick."""
    if FAKETIME is None:
        print("R7 real process: skipped, faketime is not installed")
        return 0
    with trained() as (world, artifacts, folder):
        played = play(world, artifacts, folder / "clocks", zones=ZONES, cases=CASES, tick_s=TICK_GOAL_S)
    print(played, *played.breaches, sep="\n", flush=True)
    record("clocks", samples=played.rounds, breaches=len(played.breaches))
    return int(bool(played.breaches))


if __name__ == "__main__":
    sys.exit(main())
