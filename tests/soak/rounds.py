"""R3, R4 in full: ``python -m tests.soak.rounds``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from bot.sandbox.world.generate import World
from tests.harness.rounds import season
from tests.harness.trials import Bots, Tally
from tests.soak.stage import stage


def full(bots: Bots, world: World, folder: Path) -> Iterator[Tally]:
    """Play 5,000 rounds."""
    yield season(bots, world, folder, 5000)[0]


if __name__ == "__main__":
    sys.exit(stage(full))
