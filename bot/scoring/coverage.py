"""The share of an era's rows that predictions must cover to be scored or to be a reference for others."""

import numpy as np
import numpy.typing as npt

COVERAGE = 0.8
"""Least share of an era's rows that must be known on every side. numerai-tools 0.7.2 refuses to score fewer
(``DEFAULT_MAX_FILTERED_INDEX_RATIO``, 0.2)."""


def if_covered(predictions: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64] | None:
    """Return *predictions*, NaN where missing, if they cover enough rows of their era, else ``None``. Shape ``(rows,)``."""
    return predictions if predictions is not None and np.isfinite(predictions).mean() >= COVERAGE else None
