"""
Where a model loses: which eras and features, how honest its probabilities are, and how today's rows differ.

Everything takes one era, or one number for each era. Feature means say nothing here (five equal bins in every era make
them constants), so drift is looked for where it can be: in which features are there, in their bins, and in how pairs
of them move together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import Interval, TooFewEras, block_bootstrap
from bot.tournament.columns import FEATURE_VALUES
from models.inference.ranks import double_ranks, rank_correlation

BINS = 10
"""Bins of equal size that predictions and probabilities are sorted into within an era."""

PAIRS = 1000
"""Pairs of features whose correlation stands for all of them."""

SHIFTED = 0.1
"""Population stability index from which on a distribution is taken to have moved (0.25: to be another one)."""

MIDDLE = 2
Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """
    How often what was said with a probability happened.

    Attributes:
        error: Expected calibration error: mean distance of said and seen over all bins of all classes.
        by_chance: The error that honest probabilities would have in as many rows.
        by_class: The error of each class. Shape ``(C,)``.
        said: Mean probability in each bin. Shape ``(C, BINS)``.
        seen: Share of rows of that class in it. Shape ``(C, BINS)``.
        rows: In each bin. Shape ``(C, BINS)``.
    """

    error: float
    by_chance: float
    by_class: Floats
    said: Floats
    seen: Floats
    rows: Floats


def reliability_counts(probabilities: Floats, classes: npt.NDArray[np.integer]) -> Floats:
    """
    Count what was said and seen in one era, in bins of equal size; sums over eras go to :func:`calibration`.

    Bins of equal width would be useless: returns are so hard to tell that nearly all probabilities lie near the prior.

    Args:
        probabilities: Of each class. Shape ``(rows, C)``.
        classes: The class of each row. Shape ``(rows,)``.

    Returns:
        Rows, summed probability, and rows of that class, by class and bin. Shape ``(3, C, BINS)``.
    """
    counts = np.zeros((3, probabilities.shape[1], BINS))
    for index, said in enumerate(probabilities.T):
        bins = _bins(said)
        counts[0, index] = np.bincount(bins, minlength=BINS)
        counts[1, index] = np.bincount(bins, weights=said, minlength=BINS)
        counts[2, index] = np.bincount(bins, weights=classes == index, minlength=BINS)
    return counts


def calibration(counts: Floats) -> Calibration:
    """Return calibration from the summed counts of :func:`reliability_counts`; bins without rows are NaN."""
    rows, said, seen = counts
    filled = rows > 0
    said = np.divide(said, rows, out=np.full(rows.shape, np.nan), where=filled)
    seen = np.divide(seen, rows, out=np.full(rows.shape, np.nan), where=filled)
    gaps = np.where(filled, np.abs(said - seen), 0.0)
    # The mean distance of a share from its expectation is sqrt(2/pi) deviations, and a deviation is sqrt(p(1-p)/n).
    noise = np.where(filled, np.sqrt(2 / np.pi * np.nan_to_num(said * (1 - said)) / np.maximum(rows, 1)), 0.0)
    total = rows.sum()
    return Calibration(
        error=float((gaps * rows).sum() / total) if total else float("nan"),
        by_chance=float((noise * rows).sum() / total) if total else float("nan"),
        by_class=(gaps * rows).sum(axis=1) / np.maximum(rows.sum(axis=1), 1),
        said=said,
        seen=seen,
        rows=rows,
    )


def bin_means(predictions: Floats, target: Floats) -> Floats:
    """Return the mean target of one era in ten bins of equal size from the lowest prediction to the highest; ``(10,)``."""
    known = np.isfinite(target)
    bins = _bins(predictions[known])
    rows = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, weights=target[known], minlength=BINS)
    return np.asarray(np.divide(sums, rows, out=np.full(BINS, np.nan), where=rows > 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """
    A third of the eras by some measure, and how each member scored there.

    Attributes:
        name: ``low``, ``middle`` or ``high``.
        start: Smallest value of the measure in it.
        stop: Largest.
        eras: How many have a score.
        scores: Mean score by member, with an interval whose bounds are NaN where there are too few eras.
    """

    name: str
    start: float
    stop: float
    eras: int
    scores: Mapping[str, Interval]


def by_level(measure: Floats, scores: Mapping[str, Floats], *, block: int) -> tuple[Level, ...]:
    """
    Split eras into thirds by *measure* and score each third.

    Args:
        measure: One value per era; eras where it is NaN are left out. Shape ``(eras,)``.
        scores: Per-era scores by member, NaN where there is none. Shape ``(eras,)`` each.
        block: Eras that share returns.

    Returns:
        Three levels, or none where the measure is the same in all eras or fewer than three have one.
    """
    known = np.flatnonzero(np.isfinite(measure))
    if len(known) < 3 or np.ptp(measure[known]) == 0:
        return ()
    ordered = known[np.argsort(measure[known], kind="stable")]
    levels = []
    for name, part in zip(("low", "middle", "high"), np.array_split(ordered, 3), strict=True):
        positions = np.sort(part)
        found = {member: mean_interval(values[positions], block=block) for member, values in scores.items()}
        span = measure[positions]
        count = int(max(np.isfinite(values[positions]).sum() for values in scores.values()))
        levels.append(Level(name=name, start=float(span.min()), stop=float(span.max()), eras=count, scores=found))
    return tuple(levels)


def mean_interval(series: Floats, *, block: int) -> Interval:
    """Return the mean of per-era values that are not NaN, with a 95 % interval; NaN bounds where eras are too few."""
    known = np.asarray(series[np.isfinite(series)], dtype=np.float64)
    try:
        return block_bootstrap(known, block=block)
    except TooFewEras:
        mean = float(known.mean()) if len(known) else float("nan")
        return Interval(estimate=mean, low=float("nan"), high=float("nan"))


def culprits(exposures: Floats, returns: Floats, names: Sequence[str], *, count: int) -> tuple[tuple[str, float], ...]:
    """
    Return the features that cost an era most, worst first, each with what it cost.

    What a feature costs is the exposure of the predictions to it times what it earned: the part of their correlation
    with the target that runs through it.

    Args:
        exposures: Correlation of the predictions with each feature in the era. Shape ``(F,)``.
        returns: Correlation of each feature with the target there, NaN counting as none. Shape ``(F,)``.
        names: Of the features.
        count: Features to name; those that cost nothing are left out.
    """
    cost = np.nan_to_num(exposures * returns)
    worst = np.argsort(cost, kind="stable")[:count]
    return tuple((names[index], float(cost[index])) for index in worst if cost[index] < 0)


def agreement(scores: Sequence[Floats]) -> float:
    """Return the mean rank correlation over all pairs of *scores* of the same rows; NaN for fewer than two."""
    pairs = [rank_correlation(a, b) for a, b in combinations(scores, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class EraShape:
    """
    What an era's rows look like.

    Attributes:
        rows: How many.
        constant: Share of features with one value in all rows: how Numerai writes a feature that is missing.
        absent: Share of values that are not there at all.
        shifted: Share of the other features whose bins are no longer equal (stability index over :data:`SHIFTED`).
        correlations: Of pairs of features, 0 where one is constant. Shape ``(pairs,)``.
    """

    rows: int
    constant: float
    absent: float
    shifted: float
    correlations: Floats


def era_shape(codes: Codes, *, seed: int = 1) -> EraShape:
    """Describe the rows of one era by their raw codes, negative where absent; the same pairs for any era of a width."""
    filled = np.where(codes < 0, MIDDLE, codes)
    varying = np.ptp(filled, axis=0) > 0
    # The stability index of shares p against q is sum((p - q) log(p / q)); a fifth in each bin is what Numerai promises.
    shares = np.stack([(codes == value).mean(axis=0) for value in FEATURE_VALUES]).clip(1e-4)
    fifth = 1 / len(FEATURE_VALUES)
    index = ((shares - fifth) * np.log(shares / fifth)).sum(axis=0)
    left, right = np.random.default_rng(seed).integers(0, codes.shape[1], size=(2, PAIRS))
    columns = filled.astype(np.float32)
    columns -= columns.mean(axis=0)
    scale = np.sqrt(np.einsum("rf,rf->f", columns, columns))
    products = np.einsum("rp,rp->p", columns[:, left], columns[:, right])
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
    """A measure of live rows beside what it was in training eras; ``odd`` where it lies outside all of them."""

    measure: str
    live: float
    mean: float
    low: float
    high: float
    odd: bool


def drift(live: EraShape, training: Sequence[EraShape]) -> tuple[Drift, ...]:
    """
    Compare live rows with training eras, measure by measure.

    The last measure is the distance (root mean square over pairs) of an era's correlations from the mean of the
    training eras; a training era's own is taken from the mean of the others.

    Raises:
        ValueError: There are fewer than two training eras to compare with.
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


def _bins(values: Floats) -> npt.NDArray[np.int64]:
    """Sort values into bins of equal size; equal values share a bin."""
    return np.asarray((double_ranks(values) - 1) * BINS // (2 * len(values)), dtype=np.int64)
