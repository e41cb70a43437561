"""
What a series of per-era scores comes to: mean, Sharpe, drawdown, payout; over all eras and over the newest ones.

Eras whose score is NaN were not computed and are left out of every figure; a figure that cannot be told is NaN, never 0.
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
"""Eras that Numerai's own diagnostics show as the recent past (four years)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    Figures of a series of per-era scores.

    Attributes:
        eras: With a score.
        mean: Of the scores.
        std: Of the scores (ddof 0).
        sharpe: Mean over deviation, not annualised.
        adjusted_sharpe: The same where neighbouring eras share returns, see :func:`adjusted_sharpe`.
        autocorrelation: With the era before.
        max_drawdown: Largest fall of the cumulative sum below its own peak.
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
        Measure a series.

        Args:
            scores: Per era, in order; NaN where not computed.
            lag: Eras that share returns: 4 for a 20-day target, 12 for a 60-day one.
            newest: Only so many newest eras, such as :data:`RECENT`; by default all.
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
    """Return mean over standard deviation (ddof 0) of per-era scores."""
    series = _finite(scores)
    return float(series.mean() / series.std()) if _varies(series) else float("nan")


def adjusted_sharpe(scores: Iterable[float], *, lag: int) -> float:
    """
    Return the Sharpe ratio that independent eras with the same certainty of the mean would have.

    ``mean / sqrt(g0 + 2 * sum_j (1 - j / (lag + 1)) * gj)``, where ``gj`` is the autocovariance at lag j: the deviation is
    replaced by the long-run one. Weekly eras share most of their returns with their neighbours, so that the plain ratio
    promises a steadiness that sums over many eras do not have; with *lag* 0 the two are equal.

    Sources: A. W. Lo, *The Statistics of Sharpe Ratios*, Financial Analysts Journal 58 (2002), equation 20, for the
    factor of summed returns; W. K. Newey and K. D. West (1987) for the weights.

    Args:
        scores: Per era, in order.
        lag: Eras that share returns: 4 for a 20-day target, 12 for a 60-day one.

    Returns:
        NaN where there are fewer than ``2 * (lag + 1)`` eras, or the scores do not vary.
    """
    series = _finite(scores)
    try:
        error = newey_west_error(series, lag=lag)
    except TooFewEras:
        return float("nan")
    return float(series.mean()) / (error * len(series) ** 0.5) if _varies(series) and error else float("nan")


def max_drawdown(scores: Iterable[float]) -> float:
    """Return the largest fall of the cumulative sum of per-era scores below its own peak; 0 when it never falls."""
    total = np.cumsum(_finite(scores))
    return float((np.maximum.accumulate(total) - total).max(initial=0.0))


def autocorrelation(scores: Iterable[float], lag: int = 1) -> float:
    """Return the correlation of per-era scores with themselves *lag* eras earlier; NaN where there is none."""
    series = _finite(scores)
    early, late = series[:-lag], series[lag:]
    if not (_varies(early) and _varies(late)):
        return float("nan")
    return float(np.corrcoef(early, late)[0, 1])


def payout(
    scores: Mapping[str, npt.ArrayLike], multipliers: Mapping[str, float], *, clip: float, factor: float
) -> Floats:
    """
    Return what a stake of 1 earns in each era or round: ``clip(factor * sum(multiplier * score), -clip, clip)``.

    Nothing here is a constant: multipliers, clip and factor change by round and come from the round's own configuration.

    Args:
        scores: By the names that *multipliers* has, such as CORR and MMC of each era. Shape ``(eras,)`` or a number.
        multipliers: Of every score that is paid for.
        clip: Largest share of the stake that is paid or burned, above 0.
        factor: Payout factor of the round, 1 where the stakes are below its threshold.

    Returns:
        Shares of the stake; NaN where a score is NaN. Shape ``(eras,)``.

    Raises:
        ValueError: A paid score is missing, nothing is paid for, or *clip* is not above 0.
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
    What a round pays.

    Attributes:
        multipliers: By name of the score, such as ``corr60``.
        clip: Largest share of the stake that is paid or burned.
        factor: Payout factor.
        source: Where they are from, in words.
    """

    multipliers: Mapping[str, float]
    clip: float
    factor: float
    source: str

    @classmethod
    def parse(cls, text: str) -> "PayoutTerms":
        """
        Read terms such as ``corr=3,mmc=15,clip=1``; the factor is 1 where it is not said.

        Raises:
            ValueError: It is not of that form, has no clip above 0, or pays for nothing.
        """
        said: dict[str, float] = {}
        for part in text.split(","):
            name, _, value = (one.strip() for one in part.partition("="))
            try:
                said[name] = float(value)
            except ValueError:
                raise ValueError(
                    f"{part.strip()!r} is not of the form name=number, as in corr=3,mmc=15,clip=1"
                ) from None
        clip, factor = said.pop("clip", math.nan), said.pop("factor", 1.0)
        if not said or not clip > 0 or not all(map(math.isfinite, (*said.values(), clip, factor))):
            raise ValueError(f"{text!r} needs a score, and clip above 0, as in corr=3,mmc=15,clip=1")
        return cls(multipliers=said, clip=clip, factor=factor, source=text)


def churn(before: Floats, after: Floats) -> float:
    """
    Return how much predictions of the same rows have changed: 1 - Spearman's correlation, as numerai-tools has it.

    Ids of different eras are never the same, so it compares two models or two submissions of one round.

    Returns:
        0 for the same order, 1 for unrelated ones, 2 for the reverse; NaN where a side is constant. Shapes ``(rows,)``.
    """
    return 1 - rank_correlation(before, after)


def _finite(scores: Iterable[float]) -> Floats:
    series = np.fromiter(scores, dtype=np.float64)
    return series[~np.isnan(series)]


def _varies(series: Floats) -> bool:
    return len(series) >= 2 and bool((series != series[0]).any())
