"""Standard errors and intervals of per-era statistics: closed forms, computation by hand, overlapping returns."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bot.scoring.bootstrap import TooFewEras, block_bootstrap, detectable, newey_west_error

values = arrays(np.float64, st.integers(24, 60), elements=st.floats(-1, 1).map(lambda x: round(x, 6)))


def overlapping(count, *, weeks, seed=0):
    """Return sums of *weeks* neighbouring independent shocks, which overlap like scores of overlapping targets."""
    shocks = np.random.default_rng(seed).standard_normal(count + weeks - 1)
    return np.convolve(shocks, np.ones(weeks), mode="valid")


def test_newey_west_by_hand():
    """Four eras with lag 1: deviations -1.5, -.5, .5, 1.5 give g0 = 5/4 and g1 = 1.25/4 with weight 1/2, counted twice."""
    error = newey_west_error([1, 2, 3, 4], lag=1)

    assert error == pytest.approx(np.sqrt((5 / 4 + 2 * 0.5 * 1.25 / 4) / 4))


def test_newey_west_equals_the_regression_form():
    """The error equals that of a regression on a constant, the sandwich (X'X)^-1 S (X'X)^-1."""
    series, lag = overlapping(80, weeks=4), 6
    residual = (series - series.mean())[:, None]
    x = np.ones((80, 1))
    scores = x * residual
    meat = scores.T @ scores
    for j in range(1, lag + 1):
        cross = scores[j:].T @ scores[:-j]
        meat += (1 - j / (lag + 1)) * (cross + cross.T)
    bread = np.linalg.inv(x.T @ x)

    assert newey_west_error(series, lag=lag) == pytest.approx(np.sqrt((bread @ meat @ bread)[0, 0]))


def test_newey_west_without_lag_is_the_textbook_error():
    """With lag 0 the error is the standard deviation over the root of the number of eras."""
    series = np.random.default_rng(1).standard_normal(50)

    assert newey_west_error(series, lag=0) == pytest.approx(series.std() / np.sqrt(50))


def test_lags_give_the_true_error_of_overlapping_sums():
    """The error of sums over four weeks is 4 / sqrt(n) with lags, and half of it with lag 0."""
    series = overlapping(40_000, weeks=4)
    true = 4 / np.sqrt(len(series))

    assert newey_west_error(series, lag=0) == pytest.approx(true / 2, rel=0.03)
    assert newey_west_error(series, lag=60) == pytest.approx(true, rel=0.06)


@settings(deadline=None, max_examples=50)
@given(series=values, shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_errors_scale_and_do_not_shift(series, shift, scale):
    """A shift of the series leaves the error unchanged; a scale multiplies it."""
    before = newey_west_error(series, lag=6)

    assert newey_west_error(series * scale + shift, lag=6) == pytest.approx(before * scale, rel=1e-6, abs=1e-9)


def test_bootstrap_of_independent_eras_is_the_normal_interval():
    """With blocks of one era the interval is the mean plus and minus 1.96 standard errors."""
    series = np.random.default_rng(2).standard_normal(400)
    found = block_bootstrap(series, block=1, draws=4000)
    half = 1.96 * series.std() / np.sqrt(400)

    assert found.estimate == pytest.approx(series.mean())
    assert [found.low, found.high] == pytest.approx([series.mean() - half, series.mean() + half], abs=0.1 * half)


def test_bootstrap_in_blocks_covers_overlap():
    """Blocks longer than the overlap give an interval of the true width."""
    series = overlapping(4000, weeks=4)
    found = block_bootstrap(series, block=40, draws=1000)

    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 4 / np.sqrt(4000), rel=0.15)


@settings(deadline=None, max_examples=25)
@given(series=values, block=st.integers(1, 12), shift=st.floats(-5, 5))
def test_bootstrap_moves_with_its_series(series, block, shift):
    """With the same seed, a shift of the series shifts estimate and bounds by the same amount."""
    one = block_bootstrap(series, block=block, draws=50)
    two = block_bootstrap(series + shift, block=block, draws=50)

    assert one.low <= one.high
    assert [two.low, two.estimate, two.high] == pytest.approx(
        [one.low + shift, one.estimate + shift, one.high + shift], abs=1e-9
    )


def test_paired_rows_stay_together():
    """A draw keeps the columns of an era together, so a constant difference of columns has an interval of width 0."""
    series = np.random.default_rng(3).standard_normal(60)
    pairs = np.column_stack([series, series + 0.5])
    found = block_bootstrap(pairs, block=6, draws=200, statistic=lambda sums, eras: np.ptp(sums / eras, axis=1))

    assert [found.low, found.estimate, found.high] == pytest.approx([0.5, 0.5, 0.5])


@settings(deadline=None, max_examples=25)
@given(series=values, block=st.integers(1, 12))
def test_bootstrap_equals_the_mean_of_drawn_eras(series, block):
    """The bounds are quantiles of the means of the eras that blocks name, drawn one by one."""
    count = len(series)
    starts = np.random.default_rng(1).integers(0, count, size=(50, -(-count // block)))
    drawn = [
        np.mean([series[(start + step) % count] for start in one for step in range(block)][:count]) for one in starts
    ]
    found = block_bootstrap(series, block=block, draws=50)

    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-12)


def test_every_era_is_as_likely_as_any_other():
    """Blocks continue from the last era to the first one, so the first era is drawn as often as others."""
    series = np.zeros(20)
    series[0] = 1.0
    drawn = []
    block_bootstrap(series, block=5, draws=4000, statistic=lambda sums, _eras: drawn.append(sums[:, 0]) or sums[:, 0])

    assert np.mean(drawn[0]) == pytest.approx(1.0, abs=0.06)


def test_detectable_difference_is_found_as_often_as_promised():
    """A true mean of the detectable size is significant in four of five samples."""
    random = np.random.default_rng(4)
    noise = random.standard_normal((1000, 100))
    size = detectable(noise[0] / noise[0].std(), lag=0)
    seen = np.abs(noise.mean(axis=1) + size) > NormalDist().inv_cdf(0.975) / np.sqrt(100)

    assert seen.mean() == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    "call",
    [
        lambda: newey_west_error([0.1] * 13, lag=6),
        lambda: newey_west_error([], lag=0),
        lambda: detectable([0.1], lag=0),
        lambda: block_bootstrap(np.arange(11.0), block=6),
        lambda: block_bootstrap(np.empty((0, 2)), block=1),
    ],
    ids=["error_of_few", "error_of_none", "detectable", "less_than_two_blocks", "bootstrap_of_none"],
)
def test_too_few_eras_are_refused(call):
    """A series that is too short for its lag or block raises TooFewEras with the number of eras."""
    with pytest.raises(TooFewEras, match=r"\d+ eras are fewer than"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda series: newey_west_error(series, lag=1),
        lambda series: detectable(series, lag=1),
        lambda series: block_bootstrap(series, block=2),
    ],
    ids=["newey_west", "detectable", "bootstrap"],
)
@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_eras_without_a_value_are_refused(call, hole):
    """A value that is not finite is refused, so that the caller leaves eras out knowingly."""
    with pytest.raises(ValueError, match="1 of 10 values are not finite"):
        call([0.1] * 9 + [hole])


@pytest.mark.parametrize(
    "call",
    [
        lambda: newey_west_error([0.1] * 9, lag=-1),
        lambda: detectable([0.1] * 9, lag=0, power=1.0),
        lambda: block_bootstrap([0.1] * 9, block=0),
        lambda: block_bootstrap([0.1] * 9, block=1, level=1.0),
        lambda: newey_west_error(np.zeros((9, 2)), lag=0),
    ],
    ids=["lag", "power", "block", "level", "shape"],
)
def test_arguments_out_of_range_are_refused(call):
    """Arguments out of range and a table instead of a series are refused."""
    with pytest.raises(ValueError, match=r"lag is|must be in|expected"):
        call()
