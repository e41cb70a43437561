"""Codes of feature values, one byte each."""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]

MISSING = -1
"""Code of a value that is absent from the file."""

LARGEST_CODE = 100
"""Largest absolute value that is kept as a code: :func:`bot.features.preprocess.prepare` reports codes outside 0 to 4."""


def coded(values: npt.NDArray[np.float64]) -> Codes:
    """Return numbers as codes, :data:`MISSING` for NaN, fractions and values beyond :data:`LARGEST_CODE`. Same shape."""
    known = (values == np.floor(values)) & (np.abs(values) <= LARGEST_CODE)
    return np.where(known, values, MISSING).astype(np.int8)
