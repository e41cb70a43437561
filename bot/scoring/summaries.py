"""
Statistics of a series of per-era scores: mean, Sharpe ratio, drawdown, payout and churn.

A NaN score was not computed, and its era is left out. A statistic that cannot be computed is NaN, never 0.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import TooFewEras, newey_west_error
from models.inference.ranks import rank_correlation

Floats = npt.NDArray[np.float64]

RECENT = 200
"""Newest eras that Numerai's diagnostics summarize as recent (four years)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    Statistics of a series of per-era scores.

    Attributes:
        eras: Number of eras with a score.
        mean: Mean of the scores.
        std: Standard deviation of the scores (ddof 0).
        sharpe: Mean over standard deviation, not annualised.
        adjusted_sharpe: Sharpe ratio adjusted for overlapping returns, see :func:`adjusted_sharpe`.
        autocorrelation: Correlation with the previous era.
        max_drawdown: Largest fall of the cumulative sum below its previous peak.
    """

    eras: int
    mean: float
    std: float
    sharpe: float
    adjusted_sharpe: float
    autocorrelation: float
    max_drawdown: float

    @classmethod
    def of(cls, scores: Iterable[float], *, lag: int, newest: int | None = None) -> "Summary":
        """
        Compute the statistics of a series.

        Args:
            scores: Scores in order of eras, NaN where not computed.
            lag: Eras that share returns: 4 for a 20-day target, 12 for a 60-day target.
            newest: Number of newest eras to use, such as :data:`RECENT`; all by default.
        """
        series = np.fromiter(scores, dtype=np.float64)
        series = series if newest is None else series[-newest:]
        known = _finite(series)
        return cls(
            eras=len(known),
            mean=float(known.mean()) if len(known) else float("nan"),
            std=float(known.std()) if len(known) else float("nan"),
            sharpe=sharpe(known),
            adjusted_sharpe=adjusted_sharpe(known, lag=lag),
            autocorrelation=autocorrelation(known),
            max_drawdown=max_drawdown(known) if len(known) else float("nan"),
        )


def sharpe(scores: Iterable[float]) -> float:
    """Return mean over standard deviation (ddof 0) of per-era scores; NaN if they do not vary."""
    series = _finite(scores)
    return float(series.mean() / series.std()) if _varies(series) else float("nan")


def adjusted_sharpe(scores: Iterable[float], *, lag: int) -> float:
    """
    Return the Sharpe ratio with the long-run standard deviation of overlapping per-era scores.

    It is ``mean / sqrt(g0 + 2 * sum_j (1 - j / (lag + 1)) * gj)``, where ``gj`` is the autocovariance at lag j. Weekly eras
    share most of their returns with their neighbours, so sums over many eras vary more than the plain ratio suggests. With
    *lag* 0 the two ratios are equal.

    Sources: A. W. Lo, *The Statistics of Sharpe Ratios*, Financial Analysts Journal 58 (2002), equation 20, for the
    factor of summed returns; W. K. Newey and K. D. West (1987) for the weights.

    Args:
        scores: Scores in order of eras.
        lag: Eras that share returns: 4 for a 20-day target, 12 for a 60-day target.

    Returns:
        The ratio; NaN if there are fewer than ``2 * (lag + 1)`` eras or the scores do not vary.
    """
    series = _finite(scores)
    try:
        error = newey_west_error(series, lag=lag)
    except TooFewEras:
        return float("nan")
    return float(series.mean()) / (error * len(series) ** 0.5) if _varies(series) and error else float("nan")


def max_drawdown(scores: Iterable[float]) -> float:
    """
    Return the largest fall of the cumulative sum of per-era scores below its previous peak; 0 if it never falls.

    The sum begins at 0 before the first era, so that losses of the first eras count.
    """
    total = np.cumsum([0.0, *_finite(scores)])
    return float((np.maximum.accumulate(total) - total).max(initial=0.0))


def autocorrelation(scores: Iterable[float], lag: int = 1) -> float:
    """Return the correlation of per-era scores with the scores *lag* eras earlier; NaN if either side does not vary."""
    series = _finite(scores)
    early, late = series[:-lag], series[lag:]
    if not (_varies(early) and _varies(late)):
        return float("nan")
    return float(np.corrcoef(early, late)[0, 1])


def payout(
    scores: Mapping[str, npt.ArrayLike], multipliers: Mapping[str, float], *, clip: float, factor: float
) -> Floats:
    """
    Return the payout per NMR staked in each era or round: ``clip(factor * sum(multiplier * score), -clip, clip)``.

    Multipliers, clip and factor change by round, so they come from the round's configuration and none is a constant here.

    Args:
        scores: Scores by the names of *multipliers*, such as CORR and MMC of each era. Shape ``(eras,)`` or a number each.
        multipliers: Multiplier of every score that the round pays for.
        clip: Largest share of the stake that is paid or burned, above 0.
        factor: Payout factor of the round, 1 if the stakes are below its threshold.

    Returns:
        Shares of the stake, NaN where a score is NaN. Shape ``(eras,)``.

    Raises:
        ValueError: A paid score is missing, no score is paid for, or *clip* is not above 0.
    """
    absent = sorted(set(multipliers) - set(scores))
    if absent or not multipliers or not clip > 0:
        raise ValueError(
            f"scores {', '.join(absent) or 'none'} missing for multipliers {dict(multipliers)}, clip {clip}"
        )
    total = sum(multiplier * np.asarray(scores[name], dtype=np.float64) for name, multiplier in multipliers.items())
    return np.clip(np.asarray(factor * total, dtype=np.float64), -clip, clip)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutTerms:
    """
    Payout factors of a round.

    Attributes:
        multipliers: Multiplier by name of the score, such as ``corr60``.
        clip: Largest share of the stake that is paid or burned.
        factor: Payout factor.
        source: Origin of the factors, for the report.
    """

    multipliers: Mapping[str, float]
    clip: float
    factor: float
    source: str

    @classmethod
    def parse(cls, text: str) -> "PayoutTerms":
        """
        Parse terms such as ``corr=3,mmc=15,clip=1``. The factor is 1 if it is not given.

        Raises:
            ValueError: The text has another form, no clip above 0, or no score.
        """
        numbers: dict[str, float] = {}
        for part in text.split(","):
            name, _, value = (one.strip() for one in part.partition("="))
            try:
                numbers[name] = float(value)
            except ValueError:
                raise ValueError(
                    f"{part.strip()!r} is not of the form name=number, as in corr=3,mmc=15,clip=1"
                ) from None
        clip, factor = numbers.pop("clip", math.nan), numbers.pop("factor", 1.0)
        if not numbers or not clip > 0 or not all(map(math.isfinite, (*numbers.values(), clip, factor))):
            raise ValueError(f"{text!r} needs a score, and clip above 0, as in corr=3,mmc=15,clip=1")
        return cls(multipliers=numbers, clip=clip, factor=factor, source=text)


def churn(before: Floats, after: Floats) -> float:
    """
    Return how much predictions of the same rows differ: 1 - Spearman's correlation, as in numerai-tools.

    Ids differ between eras, so it compares two models, or two submissions of one round.

    Args:
        before: Predictions of one model. Shape ``(rows,)``.
        after: Predictions of the other model for the same rows. Shape ``(rows,)``.

    Returns:
        0 for the same order, 1 for unrelated orders, 2 for the reverse; NaN if a side is constant.
    """
    return 1 - rank_correlation(before, after)


def _finite(scores: Iterable[float]) -> Floats:
    series = np.fromiter(scores, dtype=np.float64)
    return series[~np.isnan(series)]


def _varies(series: Floats) -> bool:
    return len(series) >= 2 and bool((series != series[0]).any())
