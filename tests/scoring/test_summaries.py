"""Statistics of per-era scores: formulas, missing eras and undefined values."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as official
from numerai_tools import signals

from bot.scoring.metrics import corr
from bot.scoring.summaries import (
    RECENT,
    PayoutTerms,
    Summary,
    adjusted_sharpe,
    autocorrelation,
    churn,
    max_drawdown,
    payout,
    sharpe,
)
from tests.scoring.eras import per_era

TOLERANCE = 1e-12


def test_sharpe_equals_numerai_tools():
    """The Sharpe ratio is mean over standard deviation with ddof 0, as in numerai-tools."""
    scores = np.random.default_rng(8).normal(0.02, 0.03, size=50)

    assert sharpe(scores) == pytest.approx(official.sharpe_ratio(pd.Series(scores)), abs=TOLERANCE)


def test_summaries_leave_out_unknown_eras():
    """An era without a score changes no statistic."""
    known = [0.03, -0.02, 0.01, -0.03, 0.02]
    with_gap = [0.03, -0.02, float("nan"), 0.01, -0.03, 0.02]

    assert sharpe(with_gap) == sharpe(known)
    assert max_drawdown(with_gap) == max_drawdown(known) == pytest.approx(0.04)
    assert autocorrelation(with_gap) == autocorrelation(known)


def test_autocorrelation_is_the_correlation_with_the_era_before():
    """An alternating series has autocorrelation -1; statistics of too short or constant series are NaN."""
    assert autocorrelation([1.0, -1.0, 1.0, -1.0, 1.0]) == pytest.approx(-1)
    assert np.isnan(autocorrelation([1.0, 2.0]))
    assert np.isnan(sharpe([0.01, 0.01]))
    assert np.isnan(sharpe([]))
    assert max_drawdown([]) == 0


def test_a_drawdown_begins_at_the_start():
    """Losses of the first eras count, though no peak came before them."""
    assert max_drawdown([-0.1, -0.2, 0.5]) == pytest.approx(0.3)


def test_drawdown_of_the_real_2020_file_is_the_published_one(shared_data):
    """Mean, deviation and drawdown of real CORR have the values that numerai-tools' scores give."""
    table = pq.read_table(shared_data / "legacy2020_target_examplepred_eras121-132.parquet").to_pandas()
    scores = per_era(
        corr, table["era"].to_numpy(), table["example_prediction"].to_numpy(), table["target"].to_numpy(np.float64)
    )

    found = Summary.of(scores.values(), lag=4)

    assert (found.eras, found.mean) == (12, pytest.approx(0.041160, abs=5e-7))
    assert found.std == pytest.approx(0.030393, abs=5e-7)
    assert found.max_drawdown == pytest.approx(0.024724, abs=5e-7)


def test_overlapping_returns_lower_the_adjusted_sharpe():
    """For sums over four eras the adjusted Sharpe ratio is half the plain one, Lo's limit; with lag 0 they are equal."""
    rng = np.random.default_rng(17)
    shocks = rng.normal(size=20_003)
    overlapping = 0.5 + np.convolve(shocks, np.ones(4) / 2, mode="valid")

    plain, adjusted = sharpe(overlapping), adjusted_sharpe(overlapping, lag=60)

    assert adjusted_sharpe(overlapping, lag=0) == pytest.approx(plain, abs=TOLERANCE)
    assert plain / adjusted == pytest.approx(2, rel=0.05)
    assert adjusted_sharpe(rng.normal(0.5, 1, size=20_000), lag=12) == pytest.approx(0.5, rel=0.05)


def test_the_newest_eras_are_summarized_alone():
    """A summary of the newest 200 eras uses only them; NaN eras count among the 200 but not as scores."""
    scores = np.concatenate([np.full(300, 0.01), np.tile([0.05, 0.03, np.nan, 0.04], 50)])

    everything, recent = Summary.of(scores, lag=4), Summary.of(scores, lag=4, newest=RECENT)

    assert (everything.eras, recent.eras) == (450, 150)
    assert recent.mean == pytest.approx(0.04)
    assert everything.mean == pytest.approx((300 * 0.01 + 150 * 0.04) / 450)


def test_undefined_statistics_are_nan():
    """Statistics of no era, one era or a constant series are NaN, never zero."""
    empty, one, flat = (Summary.of(scores, lag=4) for scores in ([], [0.02], [0.02] * 20))

    assert np.isnan([empty.mean, empty.std, empty.sharpe, empty.max_drawdown]).all()
    assert np.isnan([one.sharpe, one.adjusted_sharpe, one.autocorrelation]).all()
    assert np.isnan([flat.sharpe, flat.adjusted_sharpe, flat.autocorrelation]).all()
    assert np.isnan(adjusted_sharpe([0.01, 0.03] * 4, lag=4))


def test_payout_is_the_rounds_own_formula():
    """A payout uses the round's multipliers, clip and factor, and clips losses like gains."""
    scores = {"corr60": [0.02, 0.4, -0.4, np.nan], "mmc60": [0.01, 0.1, -0.1, 0.0], "bmc": [9.0] * 4}

    paid = payout(scores, {"corr60": 3, "mmc60": 15}, clip=1.0, factor=1.0)
    older = payout(scores, {"corr60": 0.75, "mmc60": 2.25}, clip=0.05, factor=0.5)

    np.testing.assert_allclose(paid, [0.21, 1.0, -1.0, np.nan])
    np.testing.assert_allclose(older, [0.01875, 0.05, -0.05, np.nan])
    assert float(payout({"corr60": 0.01}, {"corr60": 2}, clip=1.0, factor=1.0)) == pytest.approx(0.02)


@pytest.mark.parametrize(("multipliers", "clip"), [({"corr60": 3, "mmc60": 15}, 1.0), ({}, 1.0), ({"corr60": 3}, 0.0)])
def test_an_incomplete_payout_is_refused(multipliers, clip):
    """A missing paid score, no paid score and a clip of 0 are refused."""
    with pytest.raises(ValueError, match="multipliers"):
        payout({"corr60": [0.01]}, multipliers, clip=clip, factor=1.0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), levels=st.sampled_from([3, 1000]))
def test_churn_equals_numerai_tools(seed, levels):
    """Churn is one minus Spearman's correlation, with ties, as in numerai-tools."""
    a, b = np.random.default_rng(seed).integers(0, levels, size=(2, 60)).astype(float)

    assert churn(a, b) == pytest.approx(signals.churn(pd.Series(a), pd.Series(b)), abs=TOLERANCE)
    assert churn(a, a) == pytest.approx(0, abs=TOLERANCE)
    assert churn(a, -a) == pytest.approx(2, abs=TOLERANCE)


def test_payout_terms_are_parsed():
    """Terms are parsed into multipliers, clip and factor; the factor is 1 by default."""
    terms = PayoutTerms.parse("corr=3, mmc=15, clip=0.05")

    assert (terms.multipliers, terms.clip, terms.factor) == ({"corr": 3.0, "mmc": 15.0}, 0.05, 1.0)
    assert PayoutTerms.parse("corr60=1,clip=1,factor=0.5").factor == 0.5


@pytest.mark.parametrize(
    "text", ["", "corr", "corr=3", "clip=1", "corr=3,clip=0", "corr=many,clip=1", "corr=nan,clip=1"]
)
def test_unusable_payout_terms_are_refused(text):
    """Terms without a score, without a clip above 0 or without numbers are refused."""
    with pytest.raises(ValueError, match="corr=3,mmc=15,clip=1"):
        PayoutTerms.parse(text)
