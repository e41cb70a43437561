"""R11 in full: ``python -m tests.soak.disk``."""

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

from bot.sandbox.world.generate import World
from tests.harness.disk import build, sweep
from tests.harness.trials import Bots, Tally
from tests.soak.stage import stage


def full(bots: Bots, world: World, folder: Path) -> Iterator[Tally]:
    """Run both errors at every operation."""
    yield sweep(bots, world, folder, errors=(errno.ENOSPC, errno.EIO))


if __name__ == "__main__":
    sys.exit(stage(full, preload=build))
