"""Ranks and normal scores must be pandas' and scipy's own, for whatever numbers they are asked."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.inference.ranks import double_ranks, normal_scores

numbers = st.one_of(
    st.floats(allow_nan=False, width=16),
    st.sampled_from([0.0, -0.0, np.inf, -np.inf, 2.0**-149, -(2.0**-149), 2.0**127, -(2.0**127)]),
)


@settings(deadline=None, max_examples=150)
@given(arrays.arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 60), elements=numbers))
def test_ranks_are_those_of_pandas(values):
    """Ties, zeros of both signs, infinities and numbers below the normal ones are ranked by value, in any type."""
    expected = 2 * pd.Series(values.astype(np.float64)).rank().to_numpy()

    assert double_ranks(values).tolist() == expected.tolist()


@pytest.mark.parametrize("levels", [1, 2, 5, 300, 10**9])
def test_ties_of_an_era_keep_the_average_rank(levels):
    """From one value in all rows to hardly any tie, whole numbers and strided columns included."""
    values = np.random.default_rng(levels).integers(0, levels, size=(5_001, 2)) - levels // 2

    for column in (values[:, 1], values[:, 1].astype(np.float32), values[:, 0].astype(np.int32)):
        assert (double_ranks(column) == 2 * pd.Series(column).rank()).all()


@pytest.mark.parametrize("missing", [np.nan, -np.nan], ids=["positive", "negative"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_value_without_a_rank_is_an_error(missing, kind):
    """NaN of either sign is counted and refused."""
    values = np.array([0.5, missing, 0.1, missing], dtype=kind)

    with pytest.raises(ValueError, match="2 of 4"):
        double_ranks(values)


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 5_000, 100_000])
def test_the_table_of_normal_scores_is_the_normal_quantile(rows):
    """A rank of the lower half gets scipy's quantile to 2e-15; the upper half is its exact mirror."""
    from scipy.special import ndtri

    table = normal_scores(rows)[2:]
    ranks = np.arange(2, rows + 2)

    np.testing.assert_allclose(table[:rows], ndtri((ranks / 2 - 0.5) / rows), rtol=2e-15, atol=1e-15)
    np.testing.assert_array_equal(table, -table[::-1])
