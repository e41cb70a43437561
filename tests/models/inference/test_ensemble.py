"""The ensemble sees orders only, one era at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from bot.scoring.neutralize import exposures, neutralize
from models.bins import CORR_VALUES, TARGET_VALUES
from models.inference.ensemble import blend, expected_score, gaussianize, rank


def members(seed=0, rows=200):
    rng = np.random.default_rng(seed)
    return {"tsmixer": rng.normal(size=rows), "gbm": rng.normal(size=rows).round(1)}


WEIGHTS = {"tsmixer": 0.6, "gbm": 0.4}


def test_rank_keeps_ties():
    """Equal values share the average of their ranks."""
    assert rank(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [0.75, 0.125, 0.75, 0.375]


def test_gaussianize_is_the_normal_quantile_of_the_rank():
    """The table gives scipy's values."""
    values = members()["gbm"]

    assert gaussianize(values) == pytest.approx(norm.ppf((rankdata(values) - 0.5) / len(values)), abs=1e-14)


def test_the_blend_is_a_weighted_sum_of_normal_scores_in_ranks():
    """Written out with scipy, the ensemble is the same."""
    scores = members(1)

    expected = sum(
        weight * norm.ppf((rankdata(scores[name]) - 0.5) / len(scores[name])) for name, weight in WEIGHTS.items()
    )

    assert blend(scores, WEIGHTS) == pytest.approx(rankdata(expected) / (len(expected) + 1))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), rows=st.integers(2, 300))
def test_predictions_are_inside_zero_and_one(seed, rows):
    """Every prediction is one that Numerai accepts."""
    predictions = blend(members(seed, rows) | {"gbm": np.arange(rows)}, WEIGHTS)

    assert predictions.min() > 0
    assert predictions.max() < 1


def test_an_increasing_map_of_a_member_changes_nothing():
    """A member's scale does not matter."""
    scores = members(2)

    assert (blend(scores | {"gbm": np.exp(3 * scores["gbm"])}, WEIGHTS) == blend(scores, WEIGHTS)).all()


def test_rows_in_another_order_give_the_same_predictions():
    """A row's prediction does not depend on where it stands."""
    scores = members(3)
    order = np.random.default_rng(0).permutation(200)

    assert (blend({k: v[order] for k, v in scores.items()}, WEIGHTS) == blend(scores, WEIGHTS)[order]).all()


def test_neutralization_removes_exposure_before_the_last_rank():
    """Neutralized by the given function, the blend hardly follows the feature any more."""
    features = np.random.default_rng(4).integers(0, 5, size=(1_000, 5), dtype=np.int8)
    scores = {"tsmixer": members(4, 1_000)["tsmixer"] + 0.5 * features[:, 0], "gbm": features[:, 0] + 0.1}

    plain = blend(scores, WEIGHTS)
    neutral = blend(scores, WEIGHTS, neutralizers=features, proportion=1.0, neutralize=neutralize)

    assert exposures(plain, features)[0] > 0.5
    assert np.abs(exposures(neutral, features)).max() < 0.03


def test_neutralizers_without_a_function_are_an_error():
    """Neutralization that was asked for is never skipped in silence."""
    with pytest.raises(ValueError, match="no function"):
        blend(members(), WEIGHTS, neutralizers=np.zeros((200, 1), np.int8), proportion=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gbm": np.full(200, 0.5)}, "'gbm' is constant"),
        ({"gbm": np.full(200, np.nan)}, "'gbm' gave 200 scores"),
        ({"gbm": np.arange(199.0)}, "'gbm' scored"),
        ({"other": np.arange(200.0)}, "one weight each"),
    ],
)
def test_a_member_that_ranks_nothing_is_named(change, message):
    """A broken member stops the blend, by name."""
    with pytest.raises(ValueError, match=message):
        blend(members() | change, WEIGHTS)


def test_weights_that_are_all_zero_are_an_error():
    """An ensemble of nothing has no order."""
    with pytest.raises(ValueError, match="not all zero"):
        blend(members(), {"tsmixer": 0.0, "gbm": 0.0})


def test_a_single_output_is_its_own_score():
    """A network without classes ranks rows by what it returns."""
    outputs = np.random.default_rng(3).normal(size=(6, 2, 1)).astype(np.float32)

    assert np.array_equal(expected_score(outputs), outputs[..., 0].astype(np.float64))


@pytest.mark.parametrize(("kind", "values"), [("corr", CORR_VALUES), ("mmc", TARGET_VALUES)])
def test_the_expected_score_weighs_classes_by_their_worth(kind, values):
    """Softmax probabilities times the value of each class, for logits of any size."""
    logits = np.random.default_rng(5).normal(size=(7, 3, 5)).astype(np.float32)
    logits[0] += 1_000
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    share = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)

    assert expected_score(logits, kind) == pytest.approx((share * values).sum(axis=-1), abs=1e-15)
