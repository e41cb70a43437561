"""Predictions of one era, ranked once for all scores: a sort takes longer than everything that follows from it."""

import numpy as np
import numpy.typing as npt

from models.inference.ranks import double_ranks

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]
Rows = slice | npt.NDArray[np.bool_]


class RankedColumns:
    """
    Columns of predictions of one era, and their ranks among any of its rows.

    Attributes:
        values: The predictions. Shape ``(rows, columns)``.
        missing: Marks NaN. Shape ``(rows, columns)``.

    Args:
        values: Predictions, NaN where missing. Shape ``(rows,)`` or ``(rows, columns)``.
    """

    def __init__(self, values: Array) -> None:
        self.values: Array = values[:, None] if values.ndim == 1 else values
        self.missing = np.isnan(self.values)
        self._ranks: dict[tuple[int, bytes], npt.NDArray[np.intp]] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    @property
    def columns(self) -> list[int]:
        """Return the positions of the columns."""
        return list(range(self.values.shape[1]))

    def double_ranks(self, column: int, rows: Rows) -> npt.NDArray[np.intp]:
        """
        Return twice the average rank of each value among some rows, see :func:`models.inference.ranks.double_ranks`.

        Args:
            column: Position of the column.
            rows: Rows without a missing value in this column.
        """
        key = column, b"" if isinstance(rows, slice) or rows.all() else rows.tobytes()
        if key not in self._ranks:
            values = self.values[:, column]
            self._ranks[key] = double_ranks(values[rows] if key[1] else values)
        return self._ranks[key]


def rank_correlations(left: RankedColumns, right: RankedColumns) -> Floats:
    """
    Return Spearman's correlation of each column with each other one, ties averaged, among the rows that all of them have.

    Returns:
        Shape ``(columns of left, columns of right)``; NaN where one side is constant.
    """
    rows: npt.NDArray[np.bool_] = np.logical_not(left.missing.any(axis=1) | right.missing.any(axis=1))
    count = int(rows.sum())
    if count < 2:
        return np.full((left.values.shape[1], right.values.shape[1]), np.nan)
    # Double ranks have the mean count + 1, so that all sums are whole numbers and exact.
    one, two = (
        np.array([side.double_ranks(column, rows) for column in side.columns], dtype=np.float64) - (count + 1)
        for side in (left, right)
    )
    scale = np.sqrt(np.outer(np.square(one).sum(axis=1), np.square(two).sum(axis=1)))
    return np.asarray(np.divide(one @ two.T, scale, out=np.full(scale.shape, np.nan), where=scale > 0))
