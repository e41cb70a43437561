"""R17 in full: ``python -m tests.soak.load``."""

import sys
import time

from tests.harness.load import GOAL_S, play
from tests.soak.stage import trained


def main() -> int:
    """Run ten cycles."""
    began = time.monotonic()
    with trained() as (world, artifacts, folder):
        load = play(world, artifacts.parent, folder / "load", cycles=10)
    print(f"{load}; {time.monotonic() - began:.0f} s", *load.breaches, sep="\n", flush=True)
    return int(bool(load.breaches) or load.longest > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())
