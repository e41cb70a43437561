"""The error of a mean over overlapping eras, and its bounds at small probabilities."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.scoring.bootstrap import TooFewEras, block_bootstrap
from bot.scoring.mean_error import mean_error, student_quantile


def overlapping(seed, *, overlap, eras=104):
    """Return noise whose neighbours share returns, with a mean of 0."""
    weeks = np.random.default_rng(seed).standard_normal(eras + overlap - 1)
    return np.convolve(weeks, np.ones(overlap), "valid") / np.sqrt(overlap)


@pytest.mark.parametrize("overlap", [1, 4, 12])
@pytest.mark.parametrize("confidence", [0.95, 0.999])
def test_bounds_hold_as_often_as_they_claim(overlap, confidence):
    """Over 4,000 series without a mean, the lower bound is over 0 no more often than its confidence allows."""
    none = np.zeros(104)
    lows = [
        mean_error(overlapping(seed, overlap=overlap), none, overlap=overlap).low(confidence) for seed in range(4_000)
    ]
    allowed = 4_000 * (1 - confidence)

    assert sum(low > 0 for low in lows) <= allowed + 3 * np.sqrt(allowed)


def test_without_overlap_it_is_the_classical_error():
    """For independent eras, error and degrees of freedom are those of a t-test."""
    values = np.random.default_rng(1).standard_normal(40)
    found = mean_error(values, np.zeros(40), overlap=1)

    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(40))
    assert found.freedom == pytest.approx(39)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), overlap=st.sampled_from([1, 4, 12]), of=st.sampled_from([1, 4, 12, 26]))
def test_it_is_never_under_the_error_of_the_bootstrap(seed, overlap, of):
    """However values are correlated, the error is at least that of the block bootstrap with blocks of the overlap."""
    values = overlapping(seed, overlap=of)
    bootstrap = block_bootstrap(values, block=overlap, level=0.6827)

    assert mean_error(values, np.zeros(104), overlap=overlap).error > 0.95 * (bootstrap.high - bootstrap.low) / 2


def test_it_is_never_under_the_noise_of_rows():
    """Equal eras still have the error of their finite rows."""
    found = mean_error(np.full(48, 0.01), np.full(48, 0.07), overlap=12)

    assert found.error == pytest.approx(0.07 / np.sqrt(48))
    assert found.low(0.95) < 0.01 < found.high(0.95)


def test_fewer_than_two_blocks_have_no_error():
    """Too few eras are refused, as by the bootstrap."""
    with pytest.raises(TooFewEras, match="23 eras are fewer than two blocks of 12"):
        mean_error(np.zeros(23), np.zeros(23), overlap=12)


def test_many_degrees_of_freedom_give_the_normal_quantile():
    """Student's quantile tends to the normal one, and is larger where there are few degrees of freedom."""
    assert student_quantile(0.999, 1e9) == pytest.approx(NormalDist().inv_cdf(0.999))
    assert student_quantile(0.999, 12) == pytest.approx(3.9296, abs=1e-4)
