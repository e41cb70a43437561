"""Scores of columns that are ranked once: equal to the scores of each column alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.scoring.metrics import corr, corrs, mmc, mmcs
from bot.scoring.ranked_columns import RankedColumns, rank_correlations
from models.inference.ranks import double_ranks, rank_correlation


def era(seed, rows, *, gaps):
    """Return predictions of three members with ties, of a reference with gaps, and targets of which some are unknown."""
    random = np.random.default_rng(seed)
    predictions = random.standard_normal((rows, 3))
    predictions[:, 1] = np.round(predictions[:, 1])
    reference = random.standard_normal(rows) + predictions[:, 0]
    target = random.choice([0.0, 0.25, 0.5, 0.75, 1.0], rows).astype(np.float32)
    reference[random.permutation(rows)[:gaps]] = np.nan
    target[random.permutation(rows)[: gaps // 2]] = np.nan
    return predictions, reference, target


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), rows=st.integers(20, 80), gaps=st.integers(0, 8))
def test_scores_are_those_of_each_column_alone(seed, rows, gaps):
    """CORR and MMC of all columns are those of one column and the rows that it shares with the reference."""
    predictions, reference, target = era(seed, rows, gaps=gaps)
    columns, known = RankedColumns(predictions), np.isfinite(reference)
    alone = [corr(one, target) for one in predictions.T]
    against = [mmc(one[known], reference[known], target[known]) for one in predictions.T]

    assert corrs(columns, target) == pytest.approx(alone, abs=1e-15)
    assert mmcs(columns, RankedColumns(reference), target) == pytest.approx(against, abs=1e-15)
    assert corrs(RankedColumns(reference), target) == pytest.approx([corr(reference[known], target[known])], abs=1e-15)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), rows=st.integers(20, 80), gaps=st.integers(0, 8))
def test_rank_correlations_are_spearmans(seed, rows, gaps):
    """Correlations of members and reference are those of pandas, and of each pair alone."""
    predictions, reference, _ = era(seed, rows, gaps=gaps)
    columns, known = RankedColumns(predictions), np.isfinite(reference)
    with_reference = rank_correlations(columns, RankedColumns(reference))[:, 0]

    assert with_reference == pytest.approx([rank_correlation(one[known], reference[known]) for one in predictions.T])
    assert rank_correlations(columns, columns) == pytest.approx(pd.DataFrame(predictions).corr("spearman").to_numpy())


def test_ranks_of_some_rows_are_not_those_of_all():
    """Each choice of rows has ranks of its own, and a mask of all rows has those of a slice."""
    values = np.array([3.0, 1.0, 2.0, 2.0])
    columns, some = RankedColumns(values), np.array([True, False, True, True])

    for rows in (slice(None), some, np.ones(4, dtype=np.bool_)):
        np.testing.assert_array_equal(columns.double_ranks(0, rows), double_ranks(values[rows]))


def test_without_common_rows_there_is_no_score():
    """Members and a reference of other rows have neither a contribution nor a correlation."""
    predictions, _, target = era(1, 20, gaps=0)
    nothing = RankedColumns(np.full(20, np.nan))

    assert np.isnan(mmcs(RankedColumns(predictions), nothing, target)).all()
    assert np.isnan(rank_correlations(RankedColumns(predictions), nothing)).all()
