"""Killed anywhere, with any answer lost, a round ends confirmed once: the short form of tests/soak/crash.py."""

import shutil
import sys

import pytest

from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness import crash
from tests.harness.trials import bots


@pytest.fixture(scope="module")
def runner(trained):
    with bots(trained / "artifacts") as started:
        yield started


@pytest.fixture
def world(world_folder):
    return World.open(world_folder)


@pytest.mark.slow
def test_killed_at_every_kill_point(runner, world, tmp_path):
    """SIGKILL at each kill point of a round, once or twice, alone and under a failing operation, breaks no promise."""
    passed, tally = crash.every_kill_point(runner, world, tmp_path / "trial", full=False)
    sys.stdout.write(f"{tally}\n")

    assert passed >= 24
    assert tally.kills >= passed
    assert not tally.breaches


@pytest.mark.slow
def test_random_seeds(runner, world, tmp_path):
    """Random kills under random faults break no promise."""
    tally = crash.random_seeds(runner, world, tmp_path / "trial", range(5000, 5020))
    sys.stdout.write(f"{tally}\n")

    assert tally.kills
    assert tally.faults > tally.trials
    assert not tally.breaches


@pytest.mark.slow
def test_lost_answers(runner, world, tmp_path):
    """A lost answer makes no second create; an effect that comes late repeats the same bytes at most once."""
    linear, late = crash.lost_answers(runner, world, tmp_path / "trial", delays=(20,))
    sys.stdout.write(f"{linear}\n{late}\n")

    assert (linear.repeated, linear.breaches, late.breaches) == (0, [], [])


@pytest.mark.slow
def test_champion_changed_between_two_runs(trained, world, tmp_path):
    """What was intended is what is sent, also when a retrain promotes another artifact before the next run."""
    artifacts = shutil.copytree(trained / "artifacts", tmp_path / "artifacts")
    champions = crash.another_champion(ArtifactStore(artifacts))
    with bots(artifacts) as runner:
        tally = crash.changed_champion(runner, world, tmp_path / "trial", champions, step=6)
    sys.stdout.write(f"{tally}\n")

    assert tally.kills > tally.trials
    assert not tally.breaches


@pytest.mark.slow
def test_state_deleted_anywhere(runner, world, tmp_path):
    """A state directory that is gone after a kill costs no second submission: the server remembers."""
    tally = crash.lost_state(runner, world, tmp_path / "trial", step=3)
    sys.stdout.write(f"{tally}\n")

    assert tally.kills >= 0.9 * tally.trials  # a point that only a repetition passed need not be passed again
    assert (tally.repeated, tally.breaches) == (0, [])
