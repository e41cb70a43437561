"""
Fingerprint of each feature column, to compare the rows that members score with the file they come from.

Numerai's features have five equal bins, so that plain sums of two columns are equal. The rows are weighted, and the sum of a
column depends on the order of its values.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.features.codes import Codes
from bot.features.preprocess import WHOLE_ERA_ROWS, Missing
from models.bins import FEATURE_VALUES, MIDDLE_BIN, MISSING_CATEGORY

Sums = npt.NDArray[np.float64]

_MULTIPLIER, _MODULUS = 48_271, 65_521
"""Multiplicative congruence: neighbouring rows have unlike weights, and a sum over 100,000 rows is exact in float64."""

_ROWS = 512
"""Rows that are converted to float64 at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSums:
    """
    Fingerprints of the columns that members scored.

    Attributes:
        names: Names of the columns.
        sums: Weighted sum of each column. Shape ``(F,)``, float64 without rounding.
        missing: Treatment of missing values, which are part of the sums.
    """

    names: tuple[str, ...]
    sums: Sums
    missing: Missing

    @classmethod
    def of(cls, names: tuple[str, ...], prepared: Codes, missing: Missing) -> "ColumnSums":
        """Return the fingerprints of preprocessed columns. Shape of *prepared*: ``(rows, F)``."""
        weights = row_weights(len(prepared))
        sums = np.zeros(prepared.shape[1])
        for start in range(0, len(prepared), _ROWS):
            sums += weights[start : start + _ROWS] @ prepared[start : start + _ROWS].astype(np.float64)
        return cls(names=names, sums=sums, missing=missing)


@cache
def row_weights(rows: int) -> Sums:
    """Return the weight of each row, a whole number from 1 to 65,520. Shape ``(rows,)``."""
    return (np.arange(1, rows + 1, dtype=np.int64) * _MULTIPLIER % _MODULUS + 1).astype(np.float64)


def raw_sum(values: npt.NDArray[Any], missing: Missing) -> float:
    """Return the fingerprint that raw values must have after preprocessing; NaN counts as absent. Shape ``(rows,)``."""
    weights = row_weights(len(values))
    whole_era = missing == "category" and len(values) >= WHOLE_ERA_ROWS
    is_coded = values.dtype == np.int8 and values.view(np.uint8).max(initial=0) <= FEATURE_VALUES[-1]
    if is_coded and not (whole_era and (values == MIDDLE_BIN).all()):
        return float(weights @ values)
    known = np.isin(values, FEATURE_VALUES)
    if whole_era and (values[known] == MIDDLE_BIN).all():
        known[:] = False
    return float(weights @ np.where(known, values, MISSING_CATEGORY if missing == "category" else MIDDLE_BIN))
