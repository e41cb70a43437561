"""
Numerai's scores of one era, for one column of predictions or for many: CORR, MMC, BMC and FNC.

The formulas are those of ``numerai_tools/scoring.py`` 0.7.2, and results agree to 1e-12. They are computed from a table
of ranks instead of with pandas, which is about a hundred times faster. Targets are cast to float64, because
numerai-tools itself differs by 3e-9 on float32 targets.

:func:`corr` and :func:`mmc` are strict: a NaN prediction is an error, and the caller decides how many targets must be
known. :func:`corrs` and :func:`mmcs` score all columns of an era, ranked once. The tables also score files with gaps: a row without a prediction is left out, and a score is NaN (not computed)
if fewer rows than :data:`bot.scoring.coverage.COVERAGE` are left, where numerai-tools refuses.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from bot.scoring.coverage import COVERAGE
from bot.scoring.neutralize import EXHAUSTED, residuals
from bot.scoring.ranked_columns import RankedColumns, Rows
from models.inference.ranks import normal_scores

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]

FNC_SET = "fncv3_features"
"""The feature set that Numerai's FNC neutralizes predictions to."""


def corr(predictions: Array, targets: Array) -> float:
    """
    Return Numerai's CORR of one era.

    It is the correlation of predictions and targets, both raised to the power 1.5 with their sign; predictions are ranked
    and gaussianized before.

    Args:
        predictions: Predictions of one era, on any increasing scale. Shape ``(rows,)``.
        targets: Targets of the same rows; rows with a NaN target are left out. Shape ``(rows,)``.

    Returns:
        The correlation, or NaN if either side is constant.

    Raises:
        ValueError: A prediction is NaN, or the shapes differ.
    """
    known = _known(targets, predictions)
    return float(corrs(RankedColumns(predictions[known]), targets[known])[0])


def mmc(predictions: Array, meta_model: Array, targets: Array) -> float:
    """
    Return the contribution of one era's predictions to *meta_model*: MMC, or BMC if it is a benchmark model.

    Predictions and meta model are ranked and gaussianized, and the predictions are made orthogonal to the meta model. The
    score is their covariance with the target in steps of one bin (targets in [0, 1] are multiplied by 4).

    Args:
        predictions: Predictions of one era. Shape ``(rows,)``.
        meta_model: Predictions of the reference for the same rows. Shape ``(rows,)``.
        targets: Targets of the same rows; rows with a NaN target are left out. Shape ``(rows,)``.

    Returns:
        The contribution: 0 for constant predictions, NaN for a constant meta model.

    Raises:
        ValueError: A prediction is NaN, or the shapes differ.
    """
    known = _known(targets, predictions, meta_model)
    return float(mmcs(RankedColumns(predictions[known]), RankedColumns(meta_model[known]), targets[known])[0])


bmc = mmc
"""MMC measured against a benchmark model instead of the meta model."""


def corrs(predictions: RankedColumns, targets: Array) -> Floats:
    """
    Return the CORR of each column of one era's predictions, among the rows that all columns and the target have.

    Args:
        predictions: The predictions.
        targets: Targets of the same rows. Shape ``(rows,)``.

    Returns:
        Shape ``(columns,)``; NaN if either side is constant.
    """
    return _whole_overlap(predictions, None, targets, _corr_part)


def mmcs(predictions: RankedColumns, meta_model: RankedColumns, targets: Array) -> Floats:
    """
    Return the MMC of each column of one era's predictions, as :func:`mmc`, among the rows that all of them have.

    Args:
        predictions: The predictions.
        meta_model: Predictions of the reference, one column.
        targets: Targets of the same rows. Shape ``(rows,)``.

    Returns:
        Shape ``(columns,)``; NaN for a constant meta model.
    """
    return _whole_overlap(predictions, meta_model, targets, partial(_mmc_part, meta_model))


def row_noise(score: str, rows: npt.ArrayLike, target_variance: npt.ArrayLike) -> Floats:
    """
    Return the standard deviation of an era's score that comes from its finite rows; for a contribution, its upper bound.

    A correlation of shuffled rows has the variance ``1 / (rows - 1)`` (E. J. G. Pitman, *Significance tests which may be
    applied to samples from any populations II*, 1937); a covariance with normal scores has that of the target over rows.

    Args:
        score: ``corr``, ``fnc``, ``bmc`` or ``mmc``.
        rows: Rows with a target. Shape ``(eras,)``.
        target_variance: :func:`target_variance` of the eras. Shape ``(eras,)``.
    """
    count = np.maximum(np.asarray(rows, dtype=np.float64), 2)
    variance = 1 / (count - 1) if score in ("corr", "fnc") else np.asarray(target_variance) / count
    return np.asarray(np.sqrt(variance), dtype=np.float64)


def target_variance(targets: Array) -> float:
    """Return the variance of an era's known targets in steps of one bin, as contributions take them; NaN without any."""
    known = np.asarray(targets[np.isfinite(targets)], dtype=np.float64)
    return float(_steps(known).var()) if len(known) else float("nan")


def corr_table(predictions: Array | RankedColumns, targets: Array) -> Floats:
    """
    Return the CORR of each column of one era's predictions with each target.

    As in numerai-tools, a target is centred by the mean of all its known rows, and predictions are ranked among the rows
    that have a prediction and a target.

    Args:
        predictions: Predictions, NaN where missing. Shape ``(rows,)`` or ``(rows, columns)``.
        targets: Targets, NaN where unknown. Shape ``(rows,)`` or ``(rows, targets)``.

    Returns:
        Shape ``(columns, targets)``; NaN if a side is constant or fewer than :data:`COVERAGE` of the rows have both.

    Raises:
        ValueError: The rows differ.
    """
    _check_rows(predictions, targets)
    p, y = _ranked(predictions), _table(targets).astype(np.float64)
    table = np.full((p.values.shape[1], y.shape[1]), np.nan)
    for part in _overlaps(p.missing, np.isnan(y)):
        table[np.ix_(part.left, part.right)] = _corr_part(p, y, part)
    return table


def mmc_table(predictions: Array | RankedColumns, meta_model: Array | RankedColumns, targets: Array) -> Floats:
    """
    Return the contribution of each column of one era's predictions to *meta_model*, measured on each target.

    Args:
        predictions: Predictions, NaN where missing. Shape ``(rows,)`` or ``(rows, columns)``.
        meta_model: Predictions of the meta model or a benchmark model, NaN where missing. Shape ``(rows,)``.
        targets: Targets, NaN where unknown. Shape ``(rows,)`` or ``(rows, targets)``.

    Returns:
        Shape ``(columns, targets)``; NaN if the meta model is constant or fewer than :data:`COVERAGE` of the rows have all
        three, as in eras before the meta model begins.

    Raises:
        ValueError: The rows differ.
    """
    _check_rows(predictions, targets)
    _check_rows(meta_model, targets)
    p, m, y = _ranked(predictions), _ranked(meta_model), _table(targets).astype(np.float64)
    table = np.full((p.values.shape[1], y.shape[1]), np.nan)
    for part in _overlaps(p.missing | m.missing, np.isnan(y)):
        table[np.ix_(part.left, part.right)] = _mmc_part(m, p, y, part)
    return table


def fnc_table(predictions: Array | RankedColumns, features: npt.NDArray[np.int8], targets: Array) -> Floats:
    """
    Return the feature-neutral CORR (FNC) of each column of one era's predictions with each target.

    Predictions are ranked, gaussianized and fully neutralized to *features*; FNC is the CORR of the residual. The features
    are factored once for all columns.

    Args:
        predictions: Predictions, NaN where missing. Shape ``(rows,)`` or ``(rows, columns)``.
        features: Codes of the same rows; Numerai's FNC takes the set :data:`FNC_SET`. Shape ``(rows, k)``.
        targets: Targets, NaN where unknown. Shape ``(rows,)`` or ``(rows, targets)``.

    Returns:
        Shape ``(columns, targets)``; NaN as in :func:`corr_table`, and if the features explain a column completely.

    Raises:
        ValueError: The rows differ.
    """
    _check_rows(predictions, targets)
    p = _ranked(predictions)
    neutral = np.full(p.values.shape, np.nan)
    for group in _groups(p.missing):
        ranked = [p.double_ranks(column, group.rows) for column in group.columns]
        gauss = np.stack([normal_scores(len(ranks))[ranks] for ranks in ranked], axis=1)
        residual = residuals(gauss, features[group.rows])
        lengths, before = (np.linalg.norm(values, axis=0) for values in (residual, gauss))
        residual[:, lengths <= EXHAUSTED * before] = np.nan
        for column, values in zip(group.columns, residual.T, strict=True):
            neutral[group.rows, column] = values
    return corr_table(neutral, targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """
    Columns that are known in the same rows.

    Attributes:
        rows: The rows, as a slice if no row is missing.
        columns: Positions of the columns.
    """

    rows: Rows
    columns: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overlap:
    """
    Columns of two tables that are known in the same rows.

    Attributes:
        rows: The rows that are known on both sides, as a slice if no row is missing.
        left: Positions of the columns of the first table.
        right: Positions of the columns of the second table.
    """

    rows: Rows
    left: list[int]
    right: list[int]


def _check_rows(values: Array | RankedColumns, targets: Array) -> None:
    if len(values) != len(targets):
        raise ValueError(f"{len(values)} rows of predictions and {len(targets)} of targets do not belong together")


def _ranked(values: Array | RankedColumns) -> RankedColumns:
    return values if isinstance(values, RankedColumns) else RankedColumns(values)


def _whole_overlap(
    p: RankedColumns,
    other: RankedColumns | None,
    targets: Array,
    score: Callable[[RankedColumns, Floats, _Overlap], Floats],
) -> Floats:
    """Return the scores of all columns on one target, among the rows that all of them have. Shape ``(columns,)``."""
    _check_rows(p, targets)
    y = _table(targets).astype(np.float64)  # a copy
    missing = p.missing.any(axis=1) | np.isnan(y[:, 0])
    if other is not None:
        missing |= other.missing.any(axis=1)
    if missing.all():
        return np.full(p.values.shape[1], np.nan)
    y[missing] = np.nan
    rows = ~missing if missing.any() else slice(None)
    return score(p, y, _Overlap(rows=rows, left=p.columns, right=[0]))[:, 0]


def _corr_part(p: RankedColumns, y: Floats, part: _Overlap) -> Floats:
    """Return the CORR of columns and targets that are known in the same rows; NaN if a side is constant there."""
    table = np.full((len(part.left), len(part.right)), np.nan)
    stretched_targets = [_stretched_target(y[:, target], part.rows) for target in part.right]
    stretched = _stretched_scores(len(y[part.rows, 0]))
    for row, column in enumerate(part.left):
        scores = stretched[p.double_ranks(column, part.rows)]
        scores = scores - scores.mean()
        length = scores @ scores
        if length:
            for place, t in enumerate(stretched_targets):
                if t is not None:
                    table[row, place] = scores @ t / np.sqrt(length * (t @ t))
    return table


def _mmc_part(m: RankedColumns, p: RankedColumns, y: Floats, part: _Overlap) -> Floats:
    """Return the contribution of columns to *m* for targets that are known in the same rows; NaN if *m* is constant there."""
    table = np.full((len(part.left), len(part.right)), np.nan)
    meta = m.double_ranks(0, part.rows)
    gauss = normal_scores(len(meta))
    meta_scores = gauss[meta]
    length = meta_scores @ meta_scores
    if not length:
        return table
    centred = [_steps(y[part.rows, target]) for target in part.right]
    for row, column in enumerate(part.left):
        scores = gauss[p.double_ranks(column, part.rows)]
        share = scores @ meta_scores / length
        for place, t in enumerate(centred):
            table[row, place] = (scores @ t - share * (meta_scores @ t)) / len(t)
    return table


def _table(values: Array) -> Array:
    """Return one column as a table of one column, a table as it is."""
    return values[:, None] if values.ndim == 1 else values


def _groups(missing: npt.NDArray[np.bool_]) -> Iterator[_Group]:
    """Group columns by the rows that they have. Shape of *missing*: ``(rows, columns)``."""
    if not missing.any():
        yield _Group(rows=slice(None), columns=list(range(missing.shape[1])))
        return
    groups: dict[bytes, list[int]] = defaultdict(list)
    for column in range(missing.shape[1]):
        groups[missing[:, column].tobytes()].append(column)
    for columns in groups.values():
        yield _Group(rows=~missing[:, columns[0]], columns=columns)


def _overlaps(left: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> Iterator[_Overlap]:
    """Yield the rows that columns of both sides have, without pairs that have too few rows; arguments mark missing rows."""
    if not len(left):
        return
    for one in _groups(left):
        for other in _groups(right):
            if isinstance(one.rows, slice) or isinstance(other.rows, slice):
                both = other.rows if isinstance(one.rows, slice) else one.rows
            else:
                both = one.rows & other.rows
            if isinstance(both, slice) or both.mean() >= COVERAGE:
                yield _Overlap(rows=both, left=one.columns, right=other.columns)


def _known(targets: Array, *columns: Array) -> Rows:
    """
    Return the rows whose target is known.

    Raises:
        ValueError: Shapes differ, or a value of *columns* is NaN in one of these rows.
    """
    for values in columns:
        if values.shape != targets.shape or values.ndim != 1:
            raise ValueError(f"expected two columns of the same length, got shapes {values.shape} and {targets.shape}")
    known = ~np.isnan(targets.astype(np.float64))
    rows: Rows = slice(None) if known.all() else known
    for values in columns:
        if missing := int(np.isnan(values[rows]).sum()):
            raise ValueError(f"{missing} of {len(values[rows])} predictions are NaN and cannot be ranked")
    return rows


def _stretched_target(y: Floats, rows: Rows) -> Floats | None:
    """Return the target of *rows* to the power 1.5, centred before and after; ``None`` if it is constant there."""
    if not (y[rows] != y[rows][0]).any():
        return None
    t = _power(y - (y.mean() if isinstance(rows, slice) else np.nanmean(y)))[rows]
    return np.asarray(t - t.mean())


def _steps(y: Floats) -> Floats:
    """Return a centred target, in steps of one bin if it lies between 0 and 1."""
    t = 4 * y if y.min() >= 0 and y.max() <= 1 else y
    return np.asarray(t - t.mean())


def _power(x: Floats) -> Floats:
    """Return ``sign(x) * abs(x)^1.5``, to the last digit or the one before."""
    return x * np.sqrt(np.abs(x))


@lru_cache(maxsize=64)
def _stretched_scores(rows: int) -> Floats:
    """Return the normal scores of *rows* ranks to the power 1.5. Shape as :func:`models.inference.ranks.normal_scores`."""
    return _power(normal_scores(rows))
