"""Codes of feature values: five bins, the middle bin and a missing value; one byte each."""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]

MISSING = -1
"""The code readers use for a value that is not in the file."""

LARGEST_CODE = 100
"""Codes up to here travel as they are, so that :func:`bot.features.preprocess.prepare` can report what lies outside 0 to 4."""


def coded(values: npt.NDArray[np.float64]) -> Codes:
    """Return numbers as codes, :data:`MISSING` for NaN and for what is no whole number of one byte; shape as given."""
    known = (values == np.floor(values)) & (np.abs(values) <= LARGEST_CODE)
    return np.where(known, values, MISSING).astype(np.int8)
