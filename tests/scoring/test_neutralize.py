"""Neutralization equals the projection of numerai-tools for all kinds of features."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as official

from bot.errors import GateFailed
from bot.scoring.neutralize import exposures, neutralize, neutralize_to
from models.inference.ensemble import gaussianize

TOLERANCE = 1e-9


def era(seed=0, rows=400, k=30):
    """Return scores that depend slightly on their features, and the features."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 5, size=(rows, k), dtype=np.int8)
    return rng.normal(size=rows) + 0.1 * features[:, :3].sum(axis=1), features


def oracle(scores, features, proportion):
    return official.neutralize(pd.DataFrame({"p": scores}), pd.DataFrame(features), proportion)["p"].to_numpy()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), k=st.integers(1, 150), proportion=st.floats(0, 1))
def test_it_equals_numerai_tools(seed, k, proportion):
    """The result equals numerai-tools for any number of features and any proportion."""
    scores, features = era(seed, 300, k)

    assert neutralize(scores, features, proportion=proportion) == pytest.approx(
        oracle(scores, features, proportion), abs=TOLERANCE
    )


def test_a_full_proportion_leaves_no_exposure():
    """Fully neutralized scores are orthogonal to every feature."""
    scores, features = era(k=80, rows=2_000)

    neutral = neutralize(scores, features, proportion=1.0)

    assert np.abs(exposures(scores, features)).max() > 0.1
    assert np.abs(exposures(neutral, features)).max() < 1e-12


@pytest.mark.parametrize("awkward", ["constant", "repeated", "negated", "summed", "all constant", "missing category"])
def test_dependent_features_change_nothing(awkward):
    """Linearly dependent features give the result of numerai-tools' least squares."""
    scores, features = era(1, 700, 90)
    if awkward == "constant":
        features[:, 5:30] = 2
    elif awkward == "repeated":
        features[:, 60:] = features[:, :30]
    elif awkward == "negated":
        features[:, 60:] = 4 - features[:, :30]
    elif awkward == "summed":
        features[:, 2] = np.clip(features[:, 0], 0, 2) + np.clip(features[:, 1], 0, 2)
        features[:, :2] = np.clip(features[:, :2], 0, 2)
    elif awkward == "all constant":
        features[:] = 3
    else:
        features[::7, 4] = 5

    assert neutralize(scores, features, proportion=1.0) == pytest.approx(oracle(scores, features, 1.0), abs=TOLERANCE)


def test_the_real_cross_section_equals_numerai_tools(shared_data):
    """The result equals numerai-tools for real, correlated features."""
    import pyarrow.parquet as pq

    table = pq.read_table(shared_data / "v5_small42_era0575_halfsample.parquet").to_pandas()
    features = table[[name for name in table.columns if name.startswith("feature_")]].to_numpy(np.int8)
    scores = np.random.default_rng(2).normal(size=len(features)) + features @ np.linspace(-0.1, 0.1, features.shape[1])

    assert neutralize(scores, features, proportion=0.7) == pytest.approx(oracle(scores, features, 0.7), abs=TOLERANCE)


def test_no_proportion_returns_the_scores():
    """Proportion 0 removes nothing and returns a copy."""
    scores, features = era()

    same = neutralize(scores, features, proportion=0.0)

    assert (same == scores).all()
    assert same is not scores


def test_rows_in_another_order_give_the_same_scores():
    """The result of a row depends on the rows of its era, not on their order."""
    scores, features = era(3)
    order = np.random.default_rng(4).permutation(len(scores))

    assert neutralize(scores[order], features[order], proportion=1.0) == pytest.approx(
        neutralize(scores, features, proportion=1.0)[order], abs=1e-12
    )


def test_scores_that_features_explain_completely_are_refused():
    """Scores that the features explain completely are refused; ranking would order rounding errors."""
    _, features = era(5)

    with pytest.raises(GateFailed, match="explain the scores"):
        neutralize(features[:, 0] - 0.5 * features[:, 1], features, proportion=1.0)


def test_more_features_than_rows_are_refused():
    """At least as many features as rows explain the scores completely and are refused."""
    scores, features = era(6, rows=40, k=60)

    with pytest.raises(GateFailed, match="40 rows"):
        neutralize(scores, features, proportion=1.0)


@pytest.mark.parametrize("proportion", [-0.1, 1.1, float("nan")])
def test_a_proportion_outside_its_range_is_an_error(proportion):
    """A proportion outside 0 to 1 is refused."""
    scores, features = era()

    with pytest.raises(ValueError, match="proportion"):
        neutralize(scores, features, proportion=proportion)


def test_rows_that_do_not_match_are_an_error():
    """Scores and features with different numbers of rows are refused."""
    scores, features = era()

    with pytest.raises(ValueError, match="belong together"):
        neutralize(scores[1:], features, proportion=1.0)


def test_exposures_are_pearson_correlations():
    """An exposure is the correlation of a feature with the scores, and 0 for a constant feature."""
    scores, features = era(7, rows=1_500, k=6)
    features[:, 2] = 4

    found = exposures(scores, features)

    expected = [0.0 if j == 2 else np.corrcoef(scores, features[:, j])[0, 1] for j in range(6)]
    assert found == pytest.approx(expected, abs=1e-13)
    assert (exposures(np.full(1_500, 0.3), features) == 0).all()


def test_the_largest_exposure_equals_numerai_tools():
    """Feature and size of the largest exposure are those of numerai-tools."""
    scores, features = era(16, rows=500, k=6)
    scores = scores + 0.3 * features[:, 4]

    found = np.abs(exposures(scores, features))

    name, largest = official.max_feature_correlation(pd.Series(scores), pd.DataFrame(features).rename(columns=str))
    assert (str(found.argmax()), found.max()) == (name, pytest.approx(largest, abs=1e-12))


@given(seed=st.integers(0, 2**32 - 1), proportion=st.floats(0, 1))
def test_the_proportion_of_the_reference_is_removed(seed, proportion):
    """The product of the result with the gaussianized reference is 1 - proportion times that of the scores."""
    random = np.random.default_rng(seed)
    reference = random.standard_normal(50)
    scores = random.standard_normal(50) + reference
    b = gaussianize(reference)

    neutral = neutralize_to(scores, reference, proportion=proportion)

    assert b @ neutral == pytest.approx((1 - proportion) * (b @ scores), abs=1e-9)


def test_rows_without_a_reference_keep_their_scores():
    """A score does not change in a row without a prediction of the reference."""
    reference = np.array([1.0, 2.0, np.nan, 4.0, 5.0])

    neutral = neutralize_to(np.array([3.0, 1.0, 7.0, 2.0, 4.0]), reference, proportion=1.0)

    assert neutral[2] == 7.0


def test_scores_that_equal_the_reference_are_refused():
    """Scores that the reference explains completely are refused; ranking would order rounding errors."""
    reference = np.random.default_rng(1).standard_normal(60)

    with pytest.raises(GateFailed, match="the benchmark explains the scores completely"):
        neutralize_to(gaussianize(reference), reference, proportion=1.0)
