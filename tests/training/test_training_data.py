"""A recipe whose auxiliary targets the data lack is trained without them."""

from types import SimpleNamespace

import numpy as np
import pytest

from bot.errors import SchemaMismatch
from bot.features.preprocess import Preprocess
from bot.training.recipes import DEMO
from bot.training.training_data import TrainingData, left_out_targets, neutralizing_features, without_targets
from bot.training.training_set import TrainingSet
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


def test_the_riskiest_features_change_most_between_the_halves():
    """They are found on the training eras alone: later eras do not change them."""
    features, targets = tuple("abcd"), ("target_ender_60",)
    data = TrainingSet(
        store=_Turning(features, targets),
        manifest=Preprocess(features=features, groups={"all": (0, 1, 2, 3)}),
        targets=targets,
        returns=None,
        lookback=0,
    )
    whole = TrainingData(main=data, models={}, preprocesses={None: data.manifest})
    plan = planned(neutralizers="riskiest:1")
    metadata = SimpleNamespace(members=lambda _name: features)

    assert neutralizing_features(whole, plan, metadata, range(8)) == ("c",)
    assert neutralizing_features(whole, planned(), metadata, range(8)) == features


class _Turning:
    """Twelve eras in which feature ``c`` turns from a good sign into a bad one after era 4, and ``a`` after era 8."""

    def __init__(self, features, targets):
        self.feature_names, self.target_names = features, targets
        self.eras = tuple(f"{number:04d}" for number in range(12))
        self._random = np.random.default_rng(0)
        self._codes = self._random.integers(0, 5, (12, 200, 4)).astype(np.int8)

    def features(self, position):
        return self._codes[position]

    def target(self, position, _name):
        a, c = ((self._codes[position][:, column] - 2.0) for column in (0, 2))
        return (a * (-1 if position >= 8 else 1) + 3 * c * (-1 if position >= 4 else 1)).astype(np.float32)
