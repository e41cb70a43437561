"""Codes of feature values, one byte each."""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]

MISSING = -1
"""Code of a value that is absent from the file."""

STRANGE = -2
"""Code of a value that is in the file but is no code: a fraction or a large number. It lies outside 0 to 4."""

LARGEST_CODE = 100
"""Largest absolute value that is kept as a code: :func:`bot.features.preprocess.prepare` reports codes outside 0 to 4."""


def coded(values: npt.NDArray[np.floating]) -> Codes:
    """
    Return numbers as codes. Same shape.

    :data:`MISSING` stands for NaN, and :data:`STRANGE` for fractions and values beyond :data:`LARGEST_CODE`: too many of
    those are a new coding, which is refused.
    """
    known = (values == np.floor(values)) & (np.abs(values) <= LARGEST_CODE)
    return np.where(known, values, np.where(np.isnan(values), MISSING, STRANGE)).astype(np.int8)
