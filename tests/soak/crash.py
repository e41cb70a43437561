"""R1, R2, R23 in full: ``python -m tests.soak.crash``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.crash import (
    another_champion,
    changed_champion,
    every_kill_point,
    lost_answers,
    lost_state,
    random_seeds,
)
from tests.harness.trials import Bots, Tally
from tests.harness.trials import bots as anew
from tests.soak.stage import stage


def full(bots: Bots, world: World, folder: Path) -> Iterator[Tally]:
    """Run everything at full length."""
    yield every_kill_point(bots, world, folder, full=True)[1]
    yield random_seeds(bots, world, folder, range(1000))
    yield from lost_answers(bots, world, folder, delays=(1, 10, 20, 30, 40, 50, 60))
    yield lost_state(bots, world, folder, step=1)
    champions = another_champion(ArtifactStore(bots.artifacts))
    with anew(bots.artifacts) as other:
        yield changed_champion(other, world, folder, champions, step=1)


if __name__ == "__main__":
    sys.exit(stage(full))
