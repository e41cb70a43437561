"""
Measurements of the momentum experiment: whether past feature returns predict future ones.

If they do not, no network can gain from its historical inputs. There are two measurements: the cosine between feature
returns of eras that share no day, and the gain of a linear score of recent feature returns beside LightGBM.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.history.factor_history import FeatureReturns, minimum_lag
from bot.scoring.bootstrap import Interval, block_bootstrap, newey_west_error
from bot.tournament.columns import HISTORY_LAG, horizon, overlap_eras

HALF_LIVES = (4.0, 13.0, 26.0, 52.0, float("inf"))
"""Half-lives of the averages, in eras. The infinite one weighs all eras alike, so a model without history can learn it."""

WEIGHTS = (0.0, 0.1, 0.3, 1.0)
"""Weights of the momentum score beside LightGBM, both with unit deviation; past folds choose one."""

COSINE_NEEDED = 0.025
"""Lagged cosine at which a model with history breaks even in simulations."""

GAIN_NEEDED, T_NEEDED = 0.001, 2.0
"""Least gain in CORR by the momentum score, and least ratio of the gain to its error."""

_LAGS = (5, 6, 8, 10, 13, 16, 26)
_JUDGED = 5
"""Number of the first lags that the verdict is based on: with 20 days, those up to a quarter of a year."""

_LONGER = {20: 0, 60: 8}
"""Eras added to the lags of a 20-day target, by horizon, so that no two eras share a day."""

_BLOCK = {20: 13, 60: 26}
"""Eras of a bootstrap block by horizon: at least twice the overlap."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """
    Mean cosine between feature returns of eras at one distance.

    Attributes:
        target: Target of the feature returns.
        lag: Distance in eras; 0 for the mean over the judged lags.
        cosine: Mean cosine with its interval.
        eras: Number of cosines.
    """

    target: str
    lag: int
    cosine: Interval
    eras: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentumScore:
    """
    A score of a row by exponential averages of past feature returns.

    Attributes:
        target: Target of the feature returns.
        half_life: Eras after which a weight is halved.
    """

    target: str
    half_life: float

    @property
    def fades(self) -> bool:
        """Return whether recent eras weigh more than old ones."""
        return bool(np.isfinite(self.half_life))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """
    Gain of a score beside LightGBM, over the folds after the first.

    Attributes:
        name: Name of the score.
        alone: Mean CORR of the score alone; NaN for a choice among scores.
        beside: Mean CORR of the mixture.
        gain: Mean difference to LightGBM per era.
        error: Newey-West error of the gain.
        eras: Number of eras.
    """

    name: str
    alone: float
    beside: float
    gain: float
    error: float
    eras: int

    @property
    def t(self) -> float:
        """Return gain over error; 0 if the error is 0."""
        return self.gain / self.error if self.error else 0.0


def lags(target: str) -> tuple[int, ...]:
    """Return the lags, in eras, at which feature returns of *target* are compared; such eras share no day."""
    return tuple(lag + _LONGER[horizon(target)] for lag in _LAGS)


def cosines(values: npt.NDArray[np.floating], lag: int, *, overlap: int) -> Floats:
    """
    Return the cosine between each era's feature returns and those *lag* eras before, each feature less its mean.

    The mean is taken over the N given eras. Unrelated eras would have a cosine of ``-overlap / (N - overlap)``, because
    both lack that mean; this is corrected, so that unrelated eras have a cosine of 0.

    Args:
        values: Feature returns of one target. An unresolved era is a row of NaN. A value of exactly 0 is a missing
            feature, which is ignored. Shape ``(eras, F)``.
        lag: Distance in eras, at least *overlap*.
        overlap: Eras after which the target shares none of its days.

    Returns:
        NaN if one of the two eras is unresolved, or no feature is known in both. Shape ``(eras - lag,)``.
    """
    known = np.isfinite(values) & (values != 0)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0).astype(np.float64)
    centred = np.where(known, filled - filled.sum(axis=0) / np.maximum(count, 1), 0.0)
    late, early = centred[lag:], centred[:-lag]
    size = np.sqrt((late**2 * known[:-lag]).sum(axis=1) * (early**2 * known[lag:]).sum(axis=1))
    found: Floats = np.divide((late * early).sum(axis=1), size, out=np.full(len(late), np.nan), where=size > 0)
    eras = float((count / max(count.sum(), 1) * count).sum())
    return found + overlap / max(eras - overlap, 1.0)


def persistence(values: npt.NDArray[np.floating], target: str) -> tuple[Persistence, ...]:
    """
    Return mean cosines with block-bootstrap intervals: the mean over the judged lags (as lag 0), then lag by lag.

    Args:
        values: Feature returns of one target, see :func:`cosines`. Shape ``(eras, F)``.
        target: The target.

    Raises:
        TooFewEras: There are fewer cosines than two blocks.
    """
    block = _BLOCK[horizon(target)]
    series = {lag: cosines(values, lag, overlap=overlap_eras(target)) for lag in lags(target)}
    judged = lags(target)[:_JUDGED]
    count = len(values) - judged[-1]
    together = np.column_stack([series[lag][len(series[lag]) - count :] for lag in judged]).mean(axis=1)
    found = []
    for lag, cosine in ((0, together), *series.items()):
        known = cosine[np.isfinite(cosine)]
        found.append(Persistence(target=target, lag=lag, cosine=block_bootstrap(known, block=block), eras=len(known)))
    return tuple(found)


def loadings(table: FeatureReturns, position: int, scores: Sequence[MomentumScore]) -> npt.NDArray[np.float32]:
    """
    Return each momentum score's weights of the features, for rows of the era at *position*.

    A weight is the exponential average of the feature's returns in the eras that had resolved by then. The score of a
    row is the sum of its centred features times their weights.

    Returns:
        0 if no era had resolved. Shape ``(scores, F)``, float32.
    """
    found = np.zeros((len(scores), table.values.shape[1]), dtype=np.float32)
    for row, score in enumerate(scores):
        newest = position - minimum_lag(score.target)
        if newest < 0:
            continue
        past = table.values[: newest + 1, :, table.targets.index(score.target)]
        age = newest - np.arange(newest + 1)
        weight = np.exp2(-age / score.half_life) * np.isfinite(past[:, 0])
        if weight.any():
            found[row] = (weight / weight.sum()).astype(np.float32) @ np.nan_to_num(past, nan=0.0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScores:
    """
    CORR of momentum scores and mixtures in the validation eras of one fold.

    Attributes:
        positions: Positions of the eras, ascending. Shape ``(eras,)``.
        alone: CORR of the momentum scores alone. Shape ``(eras, scores)``.
        mixed: CORR beside LightGBM with each of ``WEIGHTS``. Shape ``(eras, scores, weights)``.
    """

    positions: npt.NDArray[np.intp]
    alone: Floats
    mixed: Floats


def gains(
    folds: Sequence[FoldScores], scores: Sequence[MomentumScore], *, target: str, embargo: int
) -> tuple[Gain, ...]:
    """
    Return the gain of every momentum score, then that of the best fading score, then its part that is timing.

    Weights, and scores for the last two gains, are chosen for each fold on the folds before it less an embargo, so
    nothing is chosen on the eras that measure it. The first fold is used for choosing only. The last gain is the
    difference between the best fading score and the best score that weighs all eras alike, so the gain by any linear
    model is not part of it.

    Args:
        folds: Scores of the folds, in order.
        scores: The momentum scores, in the order of their columns in *folds*.
        target: Target of CORR.
        embargo: Eras left out before the fold that is measured.

    Raises:
        TooFewEras: The folds after the first have too few eras for an error.
    """
    fading = [index for index, one in enumerate(scores) if one.fades]
    lasting = [index for index, one in enumerate(scores) if not one.fades]
    lag = HISTORY_LAG[horizon(target)]
    base = np.concatenate([fold.mixed[:, 0, 0] for fold in folds[1:]])
    rows = []
    for index, one in enumerate(scores):
        beside = _chosen(folds, [index], embargo)
        alone = np.concatenate([fold.alone[:, index] for fold in folds[1:]])
        faded = f"half-life {one.half_life:.0f}" if one.fades else "all eras alike"
        rows.append(_gain(f"{one.target}, {faded}", base, beside, lag, alone))
    best = _chosen(folds, fading, embargo)
    rows.append(_gain("best on past folds", base, best, lag))
    rows.append(_gain("of which timing", _chosen(folds, lasting, embargo), best, lag))
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryVerdict:
    """
    HistoryVerdict of the momentum experiment.

    Attributes:
        go: Whether the network's history is worth its cost.
        sentence: The verdict with its numbers.
    """

    go: bool
    sentence: str


def judge_history(found: Sequence[Persistence], measured: Sequence[Gain]) -> HistoryVerdict:
    """
    Decide whether the network's history is worth its cost.

    It is if the cosine of some target, or both the best gain and its timing, reach the limits of this module.

    Args:
        found: Persistence of all targets.
        measured: Result of :func:`gains`.
    """
    judged = [one for one in found if one.lag == 0]
    best = max(judged, key=lambda one: one.cosine.estimate)
    persistent = any(one.cosine.estimate >= COSINE_NEEDED and one.cosine.low > 0 for one in judged)
    total, timing = measured[-2:]
    gainful = all(one.gain >= GAIN_NEEDED and one.t >= T_NEEDED for one in (total, timing))
    cosine = f"lagged cosine {best.cosine.estimate:.3f} [{best.cosine.low:.3f}, {best.cosine.high:.3f}] ({best.target})"
    added = (
        f"momentum adds {total.gain:+.4f} CORR (t {total.t:.1f}), {timing.gain:+.4f} of it by timing (t {timing.t:.1f})"
    )
    if persistent or gainful:
        return HistoryVerdict(go=True, sentence=f"go: {cosine}; {added}")
    return HistoryVerdict(go=False, sentence=f"no-go: {cosine}; {added}; keep the network's history off (lookback 0)")


def _chosen(folds: Sequence[FoldScores], among: Sequence[int], embargo: int) -> Floats:
    """Return CORR of the mixture that was best on past folds, in all folds but the first. Shape ``(eras,)``."""
    series = []
    for number, fold in enumerate(folds[1:], start=1):
        last = fold.positions[0] - embargo
        past = np.concatenate([one.mixed[one.positions < last][:, among] for one in folds[:number]])
        # Without past eras the weight is 0: the largest of these means is that of the smallest weight.
        mean = np.nanmean(past, axis=0) if len(past) else np.array([[-weight for weight in WEIGHTS]] * len(among))
        score, weight = np.unravel_index(np.argmax(mean), mean.shape)
        series.append(fold.mixed[:, among[int(score)], weight])
    return np.concatenate(series)


def _gain(name: str, base: Floats, beside: Floats, lag: int, alone: Floats | None = None) -> Gain:
    scored = np.isfinite(base) & np.isfinite(beside)
    difference = (beside - base)[scored]
    return Gain(
        name=name,
        alone=float("nan") if alone is None or not np.isfinite(alone).any() else float(np.nanmean(alone)),
        beside=float(beside[scored].mean()),
        gain=float(difference.mean()),
        error=newey_west_error(difference, lag=lag),
        eras=len(difference),
    )
