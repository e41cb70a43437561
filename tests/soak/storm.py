"""Rounds of seconds under random faults with the real daemon: ``python -m tests.soak.storm --rounds 60``."""

import argparse
import sys

from tests.harness.storm import storm
from tests.soak.counts import record
from tests.soak.stage import trained

MISSED = 1
"""Most rounds of sixty that may be missed."""


def main() -> int:
    """Play the rounds; return 1 for a breach, or where more than one round of sixty was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=46.0, help="seconds from one opening to the next")
    parser.add_argument("--window", type=float, default=45.0, help="seconds that a round is open")
    parser.add_argument("--share", type=float, default=0.3, help="share of the requests that get a fault")
    asked = parser.parse_args()
    with trained() as (world, artifacts, folder):
        found = storm(
            world,
            artifacts,
            folder / "storm",
            rounds=asked.rounds,
            seed=asked.seed,
            every_s=asked.every,
            window_s=asked.window,
            share=asked.share,
        )
    print(*found.lines(), sep="\n", flush=True)
    record("storm", samples=found.rounds, breaches=len(found.breaches))
    return int(bool(found.breaches) or len(found.missed) > max(MISSED, asked.rounds * MISSED // 60))


if __name__ == "__main__":
    sys.exit(main())
