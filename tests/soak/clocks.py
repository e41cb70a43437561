"""R7 in full, with a real process: ``python -m tests.soak.clocks``."""

import sys

from tests.harness.clocks import CASES, FAKETIME, JUMPS, TICK_GOAL_S, ZONES, play
from tests.soak.counts import record
from tests.soak.stage import trained


def main() -> int:
    """Run R7's cases in every zone, and the longer jumps in one, at the default tick."""
    if FAKETIME is None:
        print("R7 real process: skipped, faketime is not installed")
        return 0
    with trained() as (world, artifacts, folder):
        breaches, rounds = [], 0
        for name, zones, cases in (("jumps", ZONES[:1], JUMPS), ("clocks", ZONES, CASES)):
            played = play(world, artifacts, folder / name, zones=zones, cases=cases, tick_s=TICK_GOAL_S)
            print(f"{name}: {played}", *played.breaches, sep="\n", flush=True)
            breaches, rounds = breaches + played.breaches, rounds + played.rounds
    record("clocks", samples=rounds, breaches=len(breaches))
    return int(bool(breaches))


if __name__ == "__main__":
    sys.exit(main())
