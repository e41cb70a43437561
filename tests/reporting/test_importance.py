"""Importance: a planted signal is found, noise is not, and gains equal LightGBM's."""

import lightgbm
import numpy as np
import pytest

from bot.reporting.importance import gain_shares, permutation_weights, tree_blocks
from models.inference.permutation import permutation_losses
from models.trees.tree_text import split_gains
from tests.models.trees.tree_rows import NAMES, data


@pytest.fixture(scope="module")
def text():
    columns, y = data()
    options = {"verbosity": -1, "num_threads": 1, "max_depth": 3, "min_data_in_leaf": 20}
    dataset = lightgbm.Dataset(np.column_stack(columns).astype(np.float64), y, feature_name=NAMES)
    return lightgbm.train(options, dataset, num_boost_round=40).model_to_string().encode()


def era(rows=4000, columns=6, seed=0):
    return np.random.default_rng(seed).integers(0, 5, (rows, columns), dtype=np.int8)


def linear(features, weights, y):
    return {"linear": float(np.corrcoef((features - 2.0) @ weights, y)[0, 1])}


def test_gains_equal_lightgbms(text):
    """The gains of the text, summed over trees, equal those that the booster reports."""
    splits = split_gains(text)
    names, gains = splits.feature_names, splits.gains
    booster = lightgbm.Booster(model_str=text.decode())

    assert names == tuple(NAMES)
    assert gains.shape == (40, len(NAMES))
    np.testing.assert_allclose(gains.sum(axis=0), booster.feature_importance("gain"), rtol=1e-5)


def test_gain_finds_the_planted_features(text):
    """The feature and the aggregate that make the target have most of the gain, with intervals above those of the others."""
    splits = split_gains(text)
    names, gains = splits.feature_names, splits.gains
    first, second, *rest = gain_shares(names, gains, {name: (name,) for name in names})

    assert {first.name, second.name} == {"feature_0", "mean_b"}
    assert second.low > max(one.high for one in rest)
    assert first.low <= first.value <= first.high
    assert sum(one.value for one in (first, second, *rest)) == pytest.approx(1.0)


def test_groups_hold_their_aggregates(text):
    """The inputs of a group are its features and the row aggregates with its name."""
    names = split_gains(text).feature_names
    blocks = tree_blocks(names, {"a": ("feature_0", "feature_1"), "b": ("feature_7",)})

    assert blocks == {"a": ("feature_0", "feature_1", "mean_a"), "b": ("feature_7", "mean_b")}


def test_trees_that_never_split_have_no_gain():
    """Without any gain, every share is zero and has no interval."""
    (only,) = gain_shares(["f"], np.zeros((3, 1), dtype=np.float32), {"g": ("f",)})

    assert (only.value, np.isnan(only.low)) == (0.0, True)


def test_permutation_loses_the_share_that_a_block_explains():
    """With y = 2 a + b, permuting a loses 4/5 of the correlation, b 1/5, c nothing, and both everything."""
    x, weights = era(rows=60_000, columns=3), np.array([2.0, 1.0, 0.0])
    y = (x - 2.0) @ weights
    losses = permutation_losses(
        lambda features: linear(features, weights, y), x, {"a": [0], "b": [1], "c": [2], "ab": [0, 1]}, seed=1
    )["linear"]

    assert losses["a"] == pytest.approx(1 - 1 / 5, abs=0.02)
    assert losses["b"] == pytest.approx(1 - 4 / 5, abs=0.02)
    assert losses["c"] == pytest.approx(0.0, abs=1e-12)
    assert losses["ab"] == pytest.approx(1.0, abs=0.02)


def test_columns_of_a_block_move_together():
    """Permuting a block of two columns keeps their values of a row together."""
    x = era(rows=500)
    pairs = []

    def score(features):
        pairs.append(sorted(map(tuple, features[:, [0, 1]].tolist())))
        return {"any": 0.0}

    permutation_losses(score, x, {"both": [0, 1]}, seed=3)

    assert pairs[0] == pairs[1]


def test_permutation_leaves_the_features_unchanged():
    """A permutation changes neither the caller's features nor the features of the next block."""
    x = era(rows=200)
    before = x.copy()
    changed = []

    def score(features):
        changed.append(np.flatnonzero((features != before).any(axis=0)).tolist())
        return {"any": 0.0}

    permutation_losses(score, x, {"a": [0], "b": [2, 3]}, seed=3, repeats=2)

    assert changed == [[], [0], [2, 3], [0], [2, 3]]
    np.testing.assert_array_equal(x, before)


def test_permutation_intervals_separate_signal_from_noise():
    """The interval of a loss in every era is above zero; that of a loss that averages to zero is not."""
    random = np.random.default_rng(5)
    eras = [{"noise": random.normal(0, 0.01), "signal": random.normal(0.02, 0.01)} for _ in range(40)]
    signal, noise = permutation_weights(eras, block=4)

    assert signal.name == "signal"
    assert signal.low > 0
    assert noise.low < 0 < noise.high


def test_few_eras_give_a_value_without_an_interval():
    """Two eras are fewer than two blocks of four: the mean has no interval, and an era without a loss is left out."""
    (only,) = permutation_weights([{"a": 0.02}, {"a": 0.04}, {"a": float("nan")}], block=4)

    assert only.value == pytest.approx(0.03)
    assert np.isnan([only.low, only.high]).all()
