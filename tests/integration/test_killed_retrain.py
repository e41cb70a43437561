"""A retrain that is killed before its decision takes effect, and one whose member ranks nothing."""

import shutil
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from bot import assembly
from bot.errors import OperatorNeeded
from bot.judging.challenger import Retrainer
from bot.record.looks import LookRecord
from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.system.kill_points import listening
from bot.training.recipes import DEMO
from tests.harness.installation import OPENED, Installation


class Killed(BaseException):
    """The end of a process that cannot clean up."""


@pytest.fixture(scope="module")
def retrainer(trained, tmp_path_factory, world_folder):
    """Return a retrainer whose state directory has a champion and all data."""
    root = tmp_path_factory.mktemp("killed")
    shutil.copytree(trained, root / "state")
    with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED + timedelta(minutes=1), rate=0)) as sandbox:
        settings = Installation(sandbox=sandbox, root=root).settings_as()
        yield Retrainer(
            client=assembly.open_client(settings),
            artifacts=assembly.open_artifacts(settings),
            state_dir=settings.state_dir,
            ledger_path=settings.ledger_path,
            device="cpu",
        )


def plan(**trees):
    """Return the demo recipe with its trees alone, and other parameters of them."""
    gbm = next(one for one in DEMO.members if one.name == "gbm")
    member = replace(gbm, options=replace(gbm.options, params=trees))
    recipe = replace(DEMO, members=(member,), targets=())
    return recipe.resolved(data_version="v5.3", feature_set="medium", target="target_ender_60")


def looks(retrainer):
    with closing(LookRecord(retrainer.ledger_path, read_only=True)) as record:
        return record.count("0000"), record.last()


def test_a_retrain_that_was_killed_before_its_promotion_costs_confidence_once(retrainer):
    """The next retrain makes the same files, decides by the same confidence, and its look takes the place of the first."""

    def kill(name):
        if name == "look.keep:after":
            raise Killed

    with listening(kill), pytest.raises(Killed):
        retrainer.retrain(plan(num_trees=20))
    count, first = looks(retrainer)
    result = retrainer.retrain(plan(num_trees=20))
    again, second = looks(retrainer)

    assert (count, again) == (1, 1)
    assert (second.artifact, second.promoted) == (result.artifact.id, result.decision.promote)
    assert first.artifact != second.artifact
    assert (second.spent, second.remaining) == (first.spent, first.remaining)


def test_another_challenger_on_the_same_eras_is_another_look(retrainer):
    """Other trees are another question, and have less confidence left."""
    before, first = looks(retrainer)
    retrainer.retrain(plan(num_trees=10))
    after, second = looks(retrainer)

    assert after == before + 1
    assert second.remaining < first.remaining


def test_a_member_that_ranks_nothing_is_one_line(retrainer):
    """Trees that never split give every row the same score; the message names the member, the era and what to do."""
    with pytest.raises(OperatorNeeded, match=r"era \d{4}: member 'gbm' is constant .* take it out of the recipe"):
        retrainer.retrain(plan(num_trees=2, min_data_in_leaf=10**8))
