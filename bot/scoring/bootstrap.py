"""
Confidence intervals and standard errors of per-era statistics whose returns overlap.

Returns of weekly eras overlap: a 20-day target shares three quarters of its days with that of the next era. Errors that
treat eras as independent are half as large as the true ones, so these functions use blocks of eras or lags.

Sources: D. N. Politis and J. P. Romano, *A circular block-resampling procedure for stationary data* (1992); W. K. Newey
and K. D. West, *A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent covariance matrix*,
Econometrica 55 (1987).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Series = npt.ArrayLike
Floats = npt.NDArray[np.float64]


class TooFewEras(ValueError):
    """The series is too short for its overlap: an error estimated from it would be far too small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """
    An estimate and its confidence interval.

    Attributes:
        estimate: Statistic of the series.
        low: Lower bound; NaN if the statistic of a resampled series is NaN.
        high: Upper bound; NaN likewise.
    """

    estimate: float
    low: float
    high: float


def mean(sums: Floats, eras: int) -> Floats:
    """Return the means of series of one column, the default statistic of :func:`block_bootstrap`."""
    return sums[:, 0] / eras


def block_bootstrap(
    series: Series,
    *,
    block: int,
    draws: int = 2000,
    seed: int = 1,
    statistic: Callable[[Floats, int], Floats] = mean,
    level: float = 0.95,
) -> Interval:
    """
    Return a statistic of per-era values and its percentile interval under the circular block bootstrap.

    Each draw joins blocks of consecutive eras and cuts them to the length of the series. The first era follows the last
    one, so that every era is drawn with the same probability.

    Args:
        series: One value per era, shape ``(eras,)``, or paired values of each era, shape ``(eras, columns)``. A draw keeps
            the columns of an era together.
        block: Eras of a block, at least as many as share returns (4 for a 20-day target, 12 for a 60-day target).
        draws: Number of resampled series.
        seed: Seed of the draws; the same seed gives the same interval.
        statistic: Function from the sums of the columns over the eras, shape ``(series, columns)``, and the number of eras,
            to one number for each series, shape ``(series,)``.
        level: Confidence of the interval, between 0 and 1.

    Raises:
        TooFewEras: There are fewer eras than two blocks.
        ValueError: A value is not finite (leave such eras out and report it), or an argument is out of range.
    """
    values = _checked(series, dimensions=(1, 2))
    if block < 1 or draws < 1 or not 0 < level < 1:
        raise ValueError(f"block {block}, draws {draws} and level {level}: expected at least 1, at least 1, in (0, 1)")
    count = len(values)
    if count < 2 * block:
        raise TooFewEras(f"{count} eras are fewer than two blocks of {block}")
    columns = values if values.ndim == 2 else values[:, None]
    starts = _block_starts(count, block, draws, seed)
    drawn = statistic(np.column_stack([_block_sums(column, starts, block) for column in columns.T]), count)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    estimate = float(statistic(columns.sum(axis=0, keepdims=True), count)[0])
    return Interval(estimate=estimate, low=float(low), high=float(high))


@lru_cache(maxsize=16)
def _block_starts(count: int, block: int, draws: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the first era of each block of each draw; a report draws from many series of the same length."""
    starts = np.random.default_rng(seed).integers(0, count, size=(draws, -(-count // block)))
    starts.flags.writeable = False
    return starts


def _block_sums(values: Floats, starts: npt.NDArray[np.int64], block: int) -> Floats:
    """
    Return the sum of each draw, from the sums of all blocks.

    Args:
        values: One value per era. Shape ``(eras,)``.
        starts: First era of each block; the last block of a draw is cut to the length of the series. Shape ``(draws, blocks)``.
        block: Eras of a block.
    """
    whole, cut = starts[:, :-1], len(values) - block * (starts.shape[1] - 1)
    circle = np.concatenate([values, values[: block - 1]])
    sums = sliding_window_view(circle, block).sum(axis=1)[whole].sum(axis=1)
    return np.asarray(sums + sliding_window_view(circle, cut).sum(axis=1)[starts[:, -1]])


def widened(found: Interval, noise: Floats, *, level: float = 0.95) -> Interval:
    """
    Return an interval of a mean of eras that is at least as wide as the noise of finite rows makes it.

    A bootstrap understates the error where there are few blocks; the noise of rows is known however few eras there are.

    Args:
        found: Interval of the bootstrap.
        noise: Standard deviation of each averaged value that comes from the era's finite rows. Shape ``(eras,)``.
        level: Confidence of the interval, between 0 and 1.
    """
    width = NormalDist().inv_cdf((1 + level) / 2) * float(np.sqrt((noise**2).sum())) / max(len(noise), 1)
    mean = found.estimate
    return Interval(estimate=mean, low=min(found.low, mean - width), high=max(found.high, mean + width))


def newey_west_error(series: Series, *, lag: int) -> float:
    """
    Return the Newey-West standard error of the mean of per-era values.

    Autocovariances up to *lag* have Bartlett weights. The variance of the mean is
    ``(g0 + 2 * sum_j (1 - j / (lag + 1)) * gj) / n`` with ``gj = sum_t d_t d_{t-j} / n``, which is statsmodels' HAC
    covariance without its small-sample factor.

    Args:
        series: Values in order of eras; for a comparison, the paired differences. Shape ``(eras,)``.
        lag: Number of lags, at least the eras that share returns (4 for a 20-day target, 12 for a 60-day target). 0 treats
            eras as independent.

    Returns:
        The error. It is 0 only if all values are equal.

    Raises:
        TooFewEras: There are fewer than ``2 * (lag + 1)`` eras, too few to estimate so many autocovariances.
        ValueError: A value is not finite, or *lag* is negative.
    """
    values = _checked(series, dimensions=(1,))
    if lag < 0:
        raise ValueError(f"lag is {lag}; it must be at least 0")
    count = len(values)
    if count < 2 * (lag + 1):
        raise TooFewEras(f"{count} eras are fewer than the {2 * (lag + 1)} that a lag of {lag} needs")
    if (values == values[0]).all():
        return 0.0
    d = values - values.mean()
    variance = d @ d + 2 * sum((1 - j / (lag + 1)) * (d[j:] @ d[:-j]) for j in range(1, lag + 1))
    # With Bartlett weights the variance is at least 0, apart from rounding.
    return float(np.sqrt(max(variance, 0.0)) / count)


def detectable(series: Series, *, lag: int, power: float = 0.8, level: float = 0.05) -> float:
    """
    Return the smallest true mean that a test on this sample detects with probability *power*.

    The two-sided test at *level* detects ``(z(1 - level / 2) + z(power)) * error``, by default 2.8 standard errors.

    Args:
        series: Paired differences. Shape ``(eras,)``.
        lag: Number of lags, as in :func:`newey_west_error`.
        power: Probability of detecting that mean.
        level: Probability of a false detection.

    Raises:
        TooFewEras: As :func:`newey_west_error`.
        ValueError: As :func:`newey_west_error`, or a probability is not in (0, 1).
    """
    if not (0 < power < 1 and 0 < level < 1):
        raise ValueError(f"power {power} and level {level} must be in (0, 1)")
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * newey_west_error(series, lag=lag)


def _checked(series: Series, *, dimensions: tuple[int, ...]) -> Floats:
    values = np.asarray(series, dtype=np.float64)
    if values.ndim not in dimensions:
        raise ValueError(f"expected one value or one row per era, got an array of shape {values.shape}")
    if missing := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{missing} of {values.size} values are not finite; leave their eras out")
    return values
