"""
Does what features earned lately say what they will earn next? The arithmetic of the experiment that decides on history.

Where it does not, no network can gain from its historical inputs, however it is built. Two measurements: how alike the
feature returns of eras are that share no day, and what a linear score of recent feature returns adds to LightGBM.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.history.factor_history import FeatureReturns, minimum_lag
from bot.scoring.bootstrap import Interval, block_bootstrap, newey_west_error
from bot.tournament.columns import HISTORY_LAG, horizon, overlap_eras

HALF_LIVES = (4.0, 13.0, 26.0, 52.0, float("inf"))
"""Of the averages, in eras. The last one forgets nothing: what it earns, a model without history earns too."""

WEIGHTS = (0.0, 0.1, 0.3, 1.0)
"""Shares of the momentum score beside LightGBM, both of unit deviation, among which past folds choose."""

COSINE_NEEDED = 0.025
"""Lagged cosine from which a history model breaks even in simulation."""

GAIN_NEEDED, T_NEEDED = 0.001, 2.0
"""CORR that the momentum score has to add, and how many errors that has to be."""

_LAGS = (5, 6, 8, 10, 13, 16, 26)
_JUDGED = 5
"""The first lags, over which the verdict is taken: a quarter of a year that is known already."""

_LONGER = {20: 0, 60: 8}
"""Eras after which a target shares no day with itself, beyond those of a 20-day target."""

_BLOCK = {20: 13, 60: 26}
"""Eras of a bootstrap block: twice the overlap and more."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """Mean cosine of a target's feature returns at one lag, or at the *judged* ones together (lag 0)."""

    target: str
    lag: int
    cosine: Interval
    eras: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentumScore:
    """A momentum score: whose returns, and how fast the past fades."""

    target: str
    half_life: float

    @property
    def fades(self) -> bool:
        """Say whether recent eras count more than old ones."""
        return bool(np.isfinite(self.half_life))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """
    What a score adds to LightGBM over the folds after the first.

    Attributes:
        name: What is added.
        alone: Mean CORR of the score itself; NaN where it has none.
        beside: Mean CORR of both together.
        gain: Mean of the per-era differences to LightGBM.
        error: Newey-West error of it.
        eras: How many.
    """

    name: str
    alone: float
    beside: float
    gain: float
    error: float
    eras: int

    @property
    def t(self) -> float:
        """Return gain over error, 0 where nothing was added."""
        return self.gain / self.error if self.error else 0.0


def lags(target: str) -> tuple[int, ...]:
    """Return the lags at which *target*'s eras are compared, none of which shares a day."""
    return tuple(lag + _LONGER[horizon(target)] for lag in _LAGS)


def cosines(values: npt.NDArray[np.floating], lag: int, *, overlap: int) -> Floats:
    """
    Return how alike each era's feature returns are to those *lag* eras before, each feature less its own mean.

    The mean is that of the N eras at hand. Eras that have nothing in common but that mean would come out at
    ``-overlap / (N - overlap)``, which is taken off, so that 0 means nothing in common.

    Args:
        values: One target's feature returns, a row of NaN where not resolved; exactly 0 for a feature that was missing,
            which takes no part. Shape ``(eras, F)``.
        lag: At least *overlap*.
        overlap: Weeks of the target: eras after which none of its days is shared.

    Returns:
        NaN where an era is not resolved or nothing moved. Shape ``(eras - lag,)``.
    """
    there = np.isfinite(values) & (values != 0)
    count = there.sum(axis=0)
    known = np.where(there, values, 0.0).astype(np.float64)
    centred = np.where(there, known - known.sum(axis=0) / np.maximum(count, 1), 0.0)
    late, early = centred[lag:], centred[:-lag]
    size = np.sqrt((late**2 * there[:-lag]).sum(axis=1) * (early**2 * there[lag:]).sum(axis=1))
    found: Floats = np.divide((late * early).sum(axis=1), size, out=np.full(len(late), np.nan), where=size > 0)
    eras = float((count / max(count.sum(), 1) * count).sum())
    return found + overlap / max(eras - overlap, 1.0)


def persistence(values: npt.NDArray[np.floating], target: str) -> tuple[Persistence, ...]:
    """
    Return mean cosines with block-bootstrap intervals: all judged lags together (as lag 0), then lag by lag.

    Raises:
        TooFewEras: Fewer eras than two blocks have resolved twice.
    """
    weeks = overlap_eras(target)
    block = _BLOCK[horizon(target)]
    series = {lag: cosines(values, lag, overlap=weeks) for lag in lags(target)}
    judged = lags(target)[:_JUDGED]
    count = len(values) - judged[-1]
    together = np.column_stack([series[lag][len(series[lag]) - count :] for lag in judged]).mean(axis=1)
    found = []
    for lag, cosine in ((0, together), *series.items()):
        known = cosine[np.isfinite(cosine)]
        found.append(Persistence(target=target, lag=lag, cosine=block_bootstrap(known, block=block), eras=len(known)))
    return tuple(found)


def loadings(table: FeatureReturns, position: int, candidates: Sequence[MomentumScore]) -> npt.NDArray[np.float32]:
    """
    Return each candidate's weights of the features for rows of the era at *position*.

    A weight is the exponential average of what the feature earned in the eras that had resolved by then; the row's
    score is the sum of its centred features times their weights.

    Returns:
        0 where nothing had resolved. Shape ``(candidates, F)``, float32.
    """
    found = np.zeros((len(candidates), table.values.shape[1]), dtype=np.float32)
    for row, candidate in enumerate(candidates):
        newest = position - minimum_lag(candidate.target)
        if newest < 0:
            continue
        past = table.values[: newest + 1, :, table.targets.index(candidate.target)]
        age = newest - np.arange(newest + 1)
        weight = np.exp2(-age / candidate.half_life) * np.isfinite(past[:, 0])
        if weight.any():
            found[row] = (weight / weight.sum()).astype(np.float32) @ np.nan_to_num(past, nan=0.0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScores:
    """
    CORR of every mixture in the validation eras of one fold.

    Attributes:
        positions: Of the eras, ascending. Shape ``(eras,)``.
        alone: Of the candidates by themselves. Shape ``(eras, candidates)``.
        mixed: Beside LightGBM at each of ``WEIGHTS``. Shape ``(eras, candidates, weights)``.
    """

    positions: npt.NDArray[np.intp]
    alone: Floats
    mixed: Floats


def gains(
    folds: Sequence[FoldScores], candidates: Sequence[MomentumScore], *, target: str, embargo: int
) -> tuple[Gain, ...]:
    """
    Return what every candidate adds, what the best that fades adds, and how much of that a score that never fades lacks.

    Weights, and for the last two rows candidates, are chosen for each fold on the folds before it, less an embargo, so
    that nothing is chosen on the eras it is measured on. The first fold serves choosing alone. The last row is the
    difference between the best fading and the best lasting score: timing, without what any linear model would add.

    Raises:
        TooFewEras: The folds after the first hold too few eras for an error.
    """
    fading = [index for index, one in enumerate(candidates) if one.fades]
    lasting = [index for index, one in enumerate(candidates) if not one.fades]
    lag = HISTORY_LAG[horizon(target)]
    base = np.concatenate([fold.mixed[:, 0, 0] for fold in folds[1:]])
    rows = []
    for index, one in enumerate(candidates):
        beside = _chosen(folds, [index], embargo)
        alone = np.concatenate([fold.alone[:, index] for fold in folds[1:]])
        faded = f"half-life {one.half_life:.0f}" if one.fades else "all eras alike"
        rows.append(_gain(f"{one.target}, {faded}", base, beside, lag, alone))
    best = _chosen(folds, fading, embargo)
    rows.append(_gain("best on past folds", base, best, lag))
    rows.append(_gain("of which timing", _chosen(folds, lasting, embargo), best, lag))
    return tuple(rows)


def verdict(found: Sequence[Persistence], measured: Sequence[Gain]) -> tuple[bool, str]:
    """Say whether history is worth a network's while, and in one sentence why."""
    judged = [one for one in found if one.lag == 0]
    best = max(judged, key=lambda one: one.cosine.estimate)
    lasting = [one for one in judged if one.cosine.estimate >= COSINE_NEEDED and one.cosine.low > 0]
    total, timing = measured[-2:]
    paying = all(one.gain >= GAIN_NEEDED and one.t >= T_NEEDED for one in (total, timing))
    cosine = f"lagged cosine {best.cosine.estimate:.3f} [{best.cosine.low:.3f}, {best.cosine.high:.3f}] ({best.target})"
    added = (
        f"momentum adds {total.gain:+.4f} CORR (t {total.t:.1f}), {timing.gain:+.4f} of it by timing (t {timing.t:.1f})"
    )
    if lasting or paying:
        return True, f"go: {cosine}; {added}"
    return False, f"no-go: {cosine}; {added}; keep the network's history off (lookback 0)"


def _chosen(folds: Sequence[FoldScores], among: Sequence[int], embargo: int) -> Floats:
    """Return CORR in every fold but the first of the mixture that was best before it."""
    series = []
    for number, fold in enumerate(folds[1:], start=1):
        last = fold.positions[0] - embargo
        past = np.concatenate([one.mixed[one.positions < last][:, among] for one in folds[:number]])
        mean = np.nanmean(past, axis=0) if len(past) else np.array([[-weight for weight in WEIGHTS]] * len(among))
        candidate, weight = np.unravel_index(np.argmax(mean), mean.shape)
        series.append(fold.mixed[:, among[int(candidate)], weight])
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
