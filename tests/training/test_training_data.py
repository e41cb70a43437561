"""A recipe whose auxiliary targets the data lack is trained without them."""

import pytest

from bot.errors import SchemaMismatch
from bot.training.recipes import DEMO
from bot.training.training_data import left_out_targets, without_targets
from tests.harness.recipes import network_of, remade

ALL = ("target_ender_60", "target_ender_20", "target_jasper_60", "target_teager2b_60")


def planned(**changes):
    return remade(DEMO, **changes).resolved(data_version="v5.3", feature_set="small", target="target_ender_60")


def fitted(plan, known):
    return without_targets(plan, left_out_targets(plan, known))


def test_data_with_every_target_change_nothing():
    """Where nothing is missing, the plan stays the same object: its digest names the recipe as it was written."""
    plan = planned()

    assert left_out_targets(plan, ALL) == ()
    assert fitted(plan, ALL) is plan


def test_an_auxiliary_target_is_left_out():
    """Network and history lose the target, and its member its share."""
    plan = planned(weights={"tsmixer": 0.4, "gbm_ender_20": 0.3, "tsmixer_ender_20": 0.3})
    found = fitted(plan, [name for name in ALL if name != "target_ender_20"])

    assert found.targets == ("target_ender_60", "target_jasper_60", "target_teager2b_60")
    assert network_of(found.recipe).history_targets == ("target_ender_60",)
    assert network_of(found.recipe).lookback == network_of(DEMO).lookback
    assert found.weights == {"tsmixer": 0.4}


def test_without_a_history_target_there_is_no_history():
    """A network whose history targets are all missing is trained without history."""
    plan = planned(network={"history_targets": ("target_ender_20",)})
    found = fitted(plan, ("target_ender_60",))

    assert (network_of(found.recipe).history_targets, network_of(found.recipe).lookback) == ((), 0)


def test_a_history_that_is_switched_off_needs_no_target():
    """History targets of a recipe without lookback are not looked for."""
    plan = planned(network={"history_targets": ("target_victor_20",), "lookback": 0})

    assert left_out_targets(plan, ALL) == ()


def test_the_main_target_is_needed():
    """Data without the main target are refused, with the targets that there are."""
    with pytest.raises(SchemaMismatch, match="lack the main target target_ender_60; name one of target_ender_20"):
        left_out_targets(planned(), ["target_ender_20"])


def test_one_member_with_a_weight_is_needed():
    """A recipe whose members all predict missing targets is refused."""
    plan = planned(weights={"gbm_ender_20": 1.0, "tsmixer": 0.0})
    with pytest.raises(SchemaMismatch, match="the targets of all members of recipe demo: target_ender_20"):
        left_out_targets(plan, ["target_ender_60", "target_jasper_60", "target_teager2b_60"])
