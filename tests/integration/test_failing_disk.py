"""A disk that is full or failing at any operation of a round: the short form of tests/soak/disk.py."""

import errno
import shutil
import sys

import pytest

from bot.sandbox.world.generate import World
from tests.harness import disk
from tests.harness.trials import bots


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="the failing disk is a C library")
def test_round_recovers_wherever_the_disk_failed(trained, world_folder, tmp_path):
    """After one failed write, sync or rename anywhere in a round, the next run confirms it, and no state is damaged."""
    with bots(trained / "artifacts", preload=disk.build(tmp_path)) as runner:
        tallies = [
            disk.sweep(runner, World.open(world_folder), tmp_path / "trial", errors=[number], start=start, step=6)
            for number, start in ((errno.ENOSPC, 1), (errno.EIO, 3))
        ]
    sys.stdout.write("".join(f"{tally}\n" for tally in tallies))

    assert min(tally.trials for tally in tallies) > 8
    assert not [breach for tally in tallies for breach in tally.breaches]
