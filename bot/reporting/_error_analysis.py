"""
Errors of a model: calibration of its probabilities, its worst eras and features, and drift of live rows.

Every function takes one era, or one number per era. Feature means cannot drift, because five equal bins in every era
make them constants. So drift is measured by missing features, by shares of bins and by correlations of feature pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bot.features.codes import Codes
from bot.scoring.bootstrap import Interval, TooFewEras, block_bootstrap, widened
from bot.scoring.ranked_columns import RankedColumns
from models.bins import FEATURE_VALUES, MIDDLE_BIN
from models.inference.ranks import double_ranks, rank_correlation

BINS = 10
"""Number of bins of equal size into which the predictions or probabilities of an era are sorted."""

PAIRS = 1000
"""Number of random feature pairs whose correlations are compared."""

SHIFTED = 0.1
"""Population stability index above which a distribution counts as shifted (above 0.25: as a different one)."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCalibration:
    """
    Predicted probabilities of classes beside observed shares.

    Attributes:
        error: Expected calibration error: mean distance of both over all bins of all classes, weighted by rows.
        by_chance: Error that calibrated probabilities would have in as many rows.
        by_class: Error of each class. Shape ``(C,)``.
        predicted: Mean probability in each bin; NaN in an empty bin. Shape ``(C, BINS)``.
        observed: Share of the bin's rows that are of the class; NaN in an empty bin. Shape ``(C, BINS)``.
        rows: Rows in each bin. Shape ``(C, BINS)``.
    """

    error: float
    by_chance: float
    by_class: Floats
    predicted: Floats
    observed: Floats
    rows: Floats


def reliability_counts(probabilities: Floats, classes: npt.NDArray[np.integer]) -> Floats:
    """
    Count predictions and outcomes of one era in bins of equal size; :func:`calibration` takes the sum over eras.

    Bins of equal width would be useless: returns are so hard to predict that most probabilities lie near the prior.

    Args:
        probabilities: Probability of each class. Shape ``(rows, C)``.
        classes: Class of each row. Shape ``(rows,)``.

    Returns:
        Rows, summed probability, and rows of that class, by class and bin. Shape ``(3, C, BINS)``.
    """
    counts = np.zeros((3, probabilities.shape[1], BINS))
    for index, predicted in enumerate(probabilities.T):
        bins = _bins(double_ranks(predicted))
        counts[0, index] = np.bincount(bins, minlength=BINS)
        counts[1, index] = np.bincount(bins, weights=predicted, minlength=BINS)
        counts[2, index] = np.bincount(bins, weights=classes == index, minlength=BINS)
    return counts


def calibration(counts: Floats) -> ClassCalibration:
    """Return the calibration that follows from the summed counts of :func:`reliability_counts`."""
    rows, probability, outcomes = counts
    filled = rows > 0
    predicted = np.divide(probability, rows, out=np.full(rows.shape, np.nan), where=filled)
    observed = np.divide(outcomes, rows, out=np.full(rows.shape, np.nan), where=filled)
    gaps = np.where(filled, np.abs(predicted - observed), 0.0)
    # The mean distance of a share from its expectation is sqrt(2/pi) deviations, and a deviation is sqrt(p(1-p)/n).
    noise = np.sqrt(2 / np.pi * np.nan_to_num(predicted * (1 - predicted)) / np.maximum(rows, 1))
    noise = np.where(filled, noise, 0.0)
    total = rows.sum()
    return ClassCalibration(
        error=float((gaps * rows).sum() / total) if total else float("nan"),
        by_chance=float((noise * rows).sum() / total) if total else float("nan"),
        by_class=(gaps * rows).sum(axis=1) / np.maximum(rows.sum(axis=1), 1),
        predicted=predicted,
        observed=observed,
        rows=rows,
    )


def bin_means(predictions: RankedColumns, target: Floats) -> npt.NDArray[np.float64]:
    """
    Return the mean target of one era in bins of equal size of each column of predictions, lowest predictions first.

    Returns:
        Shape ``(columns, BINS)``.
    """
    known = np.isfinite(target)
    values, found = target[known], np.full((len(predictions.columns), BINS), np.nan)
    for column in predictions.columns:
        bins = _bins(predictions.double_ranks(column, known))
        rows = np.bincount(bins, minlength=BINS)
        np.divide(np.bincount(bins, weights=values, minlength=BINS), rows, out=found[column], where=rows > 0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """
    Scores of members in a third of the eras, by some measure of an era.

    Attributes:
        name: ``low``, ``middle`` or ``high``.
        start: Smallest value of the measure in this third.
        stop: Largest value of the measure in this third.
        eras: Number of eras with a score.
        scores: Mean score by member with its interval; NaN bounds if there are too few eras.
    """

    name: str
    start: float
    stop: float
    eras: int
    scores: Mapping[str, Interval]


def by_level(
    measure: Floats, scores: Mapping[str, Floats], *, block: int, noise: Floats | None = None
) -> tuple[Level, ...]:
    """
    Split eras into thirds by *measure* and average the scores in each third.

    Args:
        measure: One value per era; eras with NaN are left out. Shape ``(eras,)``.
        scores: Per-era scores by member; NaN for an era without a score. Shape ``(eras,)`` each.
        block: Number of eras that share returns.
        noise: Noise of the scores, see :func:`mean_interval`. Shape ``(eras,)``.

    Returns:
        Three levels; none if the measure is the same in all eras or known in fewer than three.
    """
    known = np.flatnonzero(np.isfinite(measure))
    if len(known) < 3 or np.ptp(measure[known]) == 0:
        return ()
    ordered = known[np.argsort(measure[known], kind="stable")]
    levels = []
    for name, part in zip(("low", "middle", "high"), np.array_split(ordered, 3), strict=True):
        positions = np.sort(part)
        part_noise = None if noise is None else noise[positions]
        found = {
            member: mean_interval(values[positions], block=block, noise=part_noise) for member, values in scores.items()
        }
        span = measure[positions]
        count = int(max(np.isfinite(values[positions]).sum() for values in scores.values()))
        levels.append(Level(name=name, start=float(span.min()), stop=float(span.max()), eras=count, scores=found))
    return tuple(levels)


def mean_interval(series: Floats, *, block: int, noise: Floats | None = None) -> Interval:
    """
    Return the mean of the finite per-era values with its 95 % interval; NaN bounds if there are too few eras.

    Args:
        series: One value per era. Shape ``(eras,)``.
        block: Number of eras that share returns.
        noise: Standard deviation of each value that comes from the era's finite rows; the interval is no narrower than it
            makes it. Shape ``(eras,)``.
    """
    finite = np.isfinite(series)
    known = np.asarray(series[finite], dtype=np.float64)
    try:
        found = block_bootstrap(known, block=block)
    except TooFewEras:
        mean = float(known.mean()) if len(known) else float("nan")
        return Interval(estimate=mean, low=float("nan"), high=float("nan"))
    return found if noise is None else widened(found, np.asarray(noise[finite], dtype=np.float64))


def costliest_features(
    exposures: Floats, returns: Floats, names: Sequence[str], *, count: int
) -> tuple[tuple[str, float], ...]:
    """
    Return the features with the largest cost in an era, each with its cost, largest cost first.

    The cost of a feature is the exposure of the predictions to it times the feature's correlation with the target: its
    part of the predictions' correlation with the target. A cost is negative.

    Args:
        exposures: Correlation of the predictions with each feature in the era. Shape ``(F,)``.
        returns: Correlation of each feature with the target in the era; NaN counts as 0. Shape ``(F,)``.
        names: Names of the features.
        count: Largest number of features to return; features without a cost are left out.
    """
    cost = np.nan_to_num(exposures * returns)
    worst = np.argsort(cost, kind="stable")[:count]
    return tuple((names[index], float(cost[index])) for index in worst if cost[index] < 0)


def mean_correlation(scores: Sequence[Floats]) -> float:
    """Return the mean rank correlation over all pairs of *scores* of the same rows; NaN for fewer than two scores."""
    pairs = [rank_correlation(a, b) for a, b in combinations(scores, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class EraShape:
    """
    Statistics of the features of one era.

    Attributes:
        rows: Number of rows.
        constant: Share of features with one value in all rows; Numerai writes missing features so.
        absent: Share of missing values.
        shifted: Share of the varying features with unequal bins (stability index above :data:`SHIFTED`).
        correlations: Correlations of feature pairs; 0 if one of the two is constant. Shape ``(pairs,)``.
    """

    rows: int
    constant: float
    absent: float
    shifted: float
    correlations: Floats


def era_shape(codes: Codes, *, seed: int = 1) -> EraShape:
    """
    Return statistics of the features of one era.

    Args:
        codes: Raw codes; negative if missing. Shape ``(rows, F)``.
        seed: Seed of the choice of pairs: the same pairs for every era with F features.
    """
    filled = np.where(codes < 0, MIDDLE_BIN, codes)
    varying = np.ptp(filled, axis=0) > 0
    # The stability index of shares p against q is sum((p - q) log(p / q)); Numerai documents a fifth of the rows in each bin.
    counts = np.stack([np.count_nonzero(codes == value, axis=0) for value in FEATURE_VALUES])
    shares = (counts / len(codes)).clip(1e-4)
    fifth = 1 / len(FEATURE_VALUES)
    index = ((shares - fifth) * np.log(shares / fifth)).sum(axis=0)
    left, right = np.random.default_rng(seed).integers(0, codes.shape[1], size=(2, PAIRS))
    columns = np.ascontiguousarray(filled.T, dtype=np.float32)
    columns -= columns.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.einsum("fr,fr->f", columns, columns))
    products = np.einsum("pr,pr->p", columns[left], columns[right])
    both = scale[left] * scale[right]
    correlations = np.divide(products, both, out=np.zeros_like(products), where=(both > 0) & (left != right))
    return EraShape(
        rows=len(codes),
        constant=float(1 - varying.mean()),
        absent=float((codes < 0).mean()),
        shifted=float((index[varying] > SHIFTED).mean()) if varying.any() else 0.0,
        correlations=correlations,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """
    A measure of live rows compared with training eras.

    Attributes:
        measure: Name of the measure.
        live: Value in the live rows.
        mean: Mean over training eras.
        low: Smallest value in a training era.
        high: Largest value in a training era.
        odd: Whether the live value lies outside the range of the training eras.
    """

    measure: str
    live: float
    mean: float
    low: float
    high: float
    odd: bool


def drift(live: EraShape, training: Sequence[EraShape]) -> tuple[Drift, ...]:
    """
    Compare live rows with training eras, one result per measure.

    The last measure is the distance (root mean square over pairs) of an era's correlations from the mean of the
    training eras. For a training era, it is the distance from the mean of the other training eras.

    Raises:
        ValueError: There are fewer than two training eras.
    """
    if len(training) < 2:
        raise ValueError(f"{len(training)} training eras are too few to compare live rows with")
    table = np.stack([one.correlations for one in training])
    mean = table.mean(axis=0)
    # An era's distance from the mean of the others is n / (n - 1) times its distance from the mean of all.
    own = np.sqrt(((table - mean) ** 2).mean(axis=1)) * len(table) / (len(table) - 1)
    measures = {
        "rows": (float(live.rows), [float(one.rows) for one in training]),
        "constant features": (live.constant, [one.constant for one in training]),
        "absent values": (live.absent, [one.absent for one in training]),
        "features with unequal bins": (live.shifted, [one.shifted for one in training]),
        "distance of correlations": (float(np.sqrt(((live.correlations - mean) ** 2).mean())), own.tolist()),
    }
    return tuple(
        Drift(
            measure=name,
            live=now,
            mean=float(np.mean(before)),
            low=min(before),
            high=max(before),
            odd=not min(before) <= now <= max(before),
        )
        for name, (now, before) in measures.items()
    )


def _bins(ranks: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return the bin of each double rank, with bins of equal size; equal values share a bin. Shape ``(values,)``."""
    return np.asarray((ranks - 1) * BINS // (2 * len(ranks)), dtype=np.int64)
