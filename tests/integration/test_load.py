"""A round is confirmed while a trainer takes every core, and after it was killed: the short form of tests/soak/load.py."""

import sys

import pytest

from bot.sandbox.world.generate import World
from tests.harness import load


@pytest.mark.slow
def test_rounds_under_load_and_after_the_trainer_died_are_confirmed_in_time(world_folder, trained, tmp_path):
    """R17: rounds are confirmed within two minutes; the next trainer continues from the checkpoint of the killed one."""
    played = load.play(World.open(world_folder), trained, tmp_path / "load", cycles=1, burners=0, tick_s=2)
    sys.stdout.write(f"{played}\n")

    assert played.breaches == []
    assert played.longest <= load.GOAL_S
