"""R18 in full: ``python -m tests.soak.growth``."""

import sys
import tempfile
import time
from pathlib import Path

from bot.sandbox.world.generate import generate
from tests.harness.growth import GOAL_MIB, IDLE_MIB, play

ROUNDS, SETTLED_IN = 365, 20


def main() -> int:
    """Play a year."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bot-soak-") as name:
        world = generate(Path(name) / "world", size="tiny")
        grown = play(world.directory, Path(name), rounds=ROUNDS, settled_in=SETTLED_IN, look_every=73)
    print(f"{grown}; {time.monotonic() - began:.0f} s", flush=True)
    return int(grown.grown > GOAL_MIB or max(grown.mib.values()) > IDLE_MIB)


if __name__ == "__main__":
    sys.exit(main())
