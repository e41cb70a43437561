"""Rounds whose champions die while they score: ``python -m tests.soak.ladder [ROUNDS]``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.ladder import another_four, cases, ladder
from tests.harness.trials import Bots, Tally
from tests.soak.counts import record
from tests.soak.stage import stage

ROUNDS = 240


def full(bots: Bots, world: World, folder: Path) -> Iterator[Tally]:
    """Play every way of dying, number of champions and time left, many times."""
    another_four(ArtifactStore(bots.artifacts))
    tally = ladder(bots, world, folder, cases(int(sys.argv[1]) if sys.argv[1:] else ROUNDS, champions=5))
    record("ladder", samples=tally.trials, breaches=len(tally.breaches))
    yield tally


if __name__ == "__main__":
    sys.exit(stage(full))
