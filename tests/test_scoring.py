"""Scores must be Numerai's own, to the last digits, on clean and on awkward input."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as official

from bot.scoring import autocorrelation, bmc, corr, max_drawdown, mmc, per_era, sharpe
from models.ranks import normal_scores

TOLERANCE = 1e-12


def era(seed, rows, levels=None, missing=0.0):
    """Return predictions, meta model and five-class targets of one era, correlated a little."""
    rng = np.random.default_rng(seed)
    y = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], size=rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    y[:5] = [0.0, 0.25, 0.5, 0.75, 1.0]
    p, m = (0.3 * y + rng.normal(size=rows) for _ in range(2))
    if levels:
        p, m = (np.round(x * levels) / levels for x in (p, m))
    y[rng.random(rows) < missing] = np.nan
    return p, m, y


def frames(p, m, y):
    index = pd.Index([f"n{i:06d}" for i in range(len(p))])
    return pd.DataFrame({"p": p}, index), pd.Series(m, index, name="m"), pd.Series(y, index, name="y")


def official_corr(p, m, y):
    p, _, y = frames(p, m, y)
    return official.numerai_corr(p, y)["p"]


def official_mmc(p, m, y):
    return official.correlation_contribution(*frames(p, m, y))["p"]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(20, 600),
    levels=st.sampled_from([None, 2, 10]),
    missing=st.sampled_from([0.0, 0.05]),
)
def test_corr_and_mmc_equal_numerai_tools(seed, rows, levels, missing):
    """Ties, odd lengths and unknown targets included, both scores are numerai-tools' own."""
    p, m, y = era(seed, rows, levels, missing)

    assert corr(p, y) == pytest.approx(official_corr(p, m, y), abs=TOLERANCE)
    assert mmc(p, m, y) == pytest.approx(official_mmc(p, m, y), abs=TOLERANCE)


def test_scores_of_a_full_era_equal_numerai_tools():
    """At the size of a real era nothing is lost to rounding."""
    p, m, y = era(1, 6_001)

    assert corr(p, y) == pytest.approx(official_corr(p, m, y), abs=TOLERANCE)
    assert bmc(p, m, y) == pytest.approx(official_mmc(p, m, y), abs=TOLERANCE)


def test_float32_predictions_are_ranked_as_float32():
    """Ties that float32 creates are ties for numerai-tools, too."""
    p, m, y = era(2, 500)
    p = (0.5 + p * 1e-6).astype(np.float32)

    assert len(np.unique(p)) < 500
    assert corr(p, y) == pytest.approx(official_corr(p, m, y), abs=TOLERANCE)


def test_an_increasing_map_of_predictions_leaves_corr_unchanged():
    """Only the order of predictions counts."""
    p, _, y = era(3, 300)

    assert corr(np.exp(p), y) == corr(p, y)


def test_constants_score_nan():
    """Where numerai-tools answers NaN, so does the bot, without a warning."""
    p, m, y = era(4, 100)
    flat = np.full(100, 0.5)

    assert np.isnan(corr(flat, y))
    assert np.isnan(corr(p, flat))
    assert np.isnan(mmc(p, flat, y))
    assert mmc(flat, m, y) == pytest.approx(official_mmc(flat, m, y), abs=TOLERANCE) == 0


def test_an_era_without_targets_scores_nan():
    """An unresolved era has no score yet."""
    p, m, _ = era(5, 50)
    unknown = np.full(50, np.nan)

    assert np.isnan(corr(p, unknown))
    assert np.isnan(mmc(p, m, unknown))


def test_a_missing_prediction_is_an_error():
    """A NaN prediction has no rank and must not become one."""
    p, _, y = era(6, 50)
    p[7] = np.nan

    with pytest.raises(ValueError, match="1 of 50"):
        corr(p, y)


def test_different_lengths_are_an_error():
    """Rows that do not match are never broadcast."""
    with pytest.raises(ValueError, match="same length"):
        corr(np.arange(3.0), np.arange(4.0))


def test_the_real_2020_file_gives_the_published_scores(shared_data):
    """Real targets and example predictions of twelve eras give the values that numerai-tools gave."""
    table = pq.read_table(shared_data / "legacy2020_target_examplepred_eras121-132.parquet").to_pandas()

    scores = per_era(
        corr, table["era"].to_numpy(), table["example_prediction"].to_numpy(), table["target"].to_numpy(np.float64)
    )

    assert [round(scores[f"era{number}"], 6) for number in (121, 122, 123)] == [0.058111, 0.033344, 0.046498]
    assert np.mean(list(scores.values())) == pytest.approx(0.041160, abs=5e-7)
    assert np.std(list(scores.values())) == pytest.approx(0.030393, abs=5e-7)
    assert max_drawdown(scores.values()) == pytest.approx(0.024724, abs=5e-7)


def test_per_era_scores_each_era_alone():
    """An era's score is the score of its rows, whatever stands beside it."""
    p, _, y = era(7, 90)
    eras = np.repeat(["0001", "0002", "0003"], 30)

    scores = per_era(corr, eras, p, y)

    assert scores == {f"000{k + 1}": corr(p[30 * k : 30 * k + 30], y[30 * k : 30 * k + 30]) for k in range(3)}


def test_per_era_refuses_scattered_eras():
    """Rows of one era in two places would be two half eras."""
    with pytest.raises(ValueError, match="sort them"):
        per_era(corr, ["0001", "0002", "0001"], np.arange(3.0), np.arange(3.0))


def test_sharpe_equals_numerai_tools():
    """Mean over standard deviation with ddof 0."""
    scores = np.random.default_rng(8).normal(0.02, 0.03, size=50)

    assert sharpe(scores) == pytest.approx(official.sharpe_ratio(pd.Series(scores)), abs=TOLERANCE)


def test_summaries_leave_out_unknown_eras():
    """An era without a score changes no summary."""
    known = [0.03, -0.02, 0.01, -0.03, 0.02]
    with_gap = [0.03, -0.02, float("nan"), 0.01, -0.03, 0.02]

    assert sharpe(with_gap) == sharpe(known)
    assert max_drawdown(with_gap) == max_drawdown(known) == pytest.approx(0.04)
    assert autocorrelation(with_gap) == autocorrelation(known)


def test_autocorrelation_is_the_correlation_with_the_era_before():
    """A series that swings evenly has autocorrelation -1; too short a series has none."""
    assert autocorrelation([1.0, -1.0, 1.0, -1.0, 1.0]) == pytest.approx(-1)
    assert np.isnan(autocorrelation([1.0, 2.0]))
    assert np.isnan(sharpe([0.01, 0.01]))
    assert np.isnan(sharpe([]))
    assert max_drawdown([]) == 0


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 5_000, 100_000])
def test_the_table_of_normal_scores_is_the_normal_quantile(rows):
    """A rank of the lower half gets scipy's quantile to 2e-15; the upper half is its exact mirror."""
    from scipy.special import ndtri

    table = normal_scores(rows)[2:]
    ranks = np.arange(2, rows + 2)

    np.testing.assert_allclose(table[:rows], ndtri((ranks / 2 - 0.5) / rows), rtol=2e-15, atol=1e-15)
    np.testing.assert_array_equal(table, -table[::-1])


def test_scoring_imports_neither_scipy_nor_pandas():
    """A round is scored without the slow libraries."""
    code = (
        "import sys, numpy, bot.scoring, bot.neutralize, models.ensemble;"
        "bot.scoring.corr(numpy.arange(9.0), numpy.arange(9.0));"
        "print([m for m in ('scipy', 'pandas', 'sklearn', 'torch') if m in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
