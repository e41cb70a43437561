"""Turn decoded feature columns of any numeric type into codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bot.features.codes import MISSING, Codes, coded

_INT8, _FLOAT64 = pa.int8(), pa.float64()
_NUMPY: dict[pa.DataType, type[np.generic]] = {pa.float32(): np.float32, _FLOAT64: np.float64}
"""Types whose buffers are read without a cast."""


class NoNumbers(Exception):
    """A column holds text that is no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """
    Values of a column that are no codes.

    Attributes:
        missing: Number of values that were null or NaN.
        strange: Number of values that were not a whole number of one byte.
    """

    missing: int = 0
    strange: int = 0


_CLEAN = Counted()


def may_hold_codes(kind: pa.DataType) -> bool:
    """Return whether a column of this type may hold numbers; of text, only its values show it."""
    if kind == _INT8:
        return True
    if pa.types.is_dictionary(kind):
        return may_hold_codes(kind.value_type)
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return is_text(kind) or any(test(kind) for test in tests)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds text."""
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def write_codes(column: pa.ChunkedArray, out: Codes) -> Counted:
    """
    Write a column into *out*, -1 for a value that is missing or no code. Shape ``(rows,)``.

    Raises:
        NoNumbers: The column holds text that is no number.
    """
    start = missing = strange = 0
    for chunk in column.chunks:
        part = out[start : start + len(chunk)]
        start += len(chunk)
        if chunk.type == _INT8 and chunk.null_count == 0:
            part[:] = _buffer(chunk, np.int8)
            continue
        values = _numbers(chunk)
        with np.errstate(invalid="ignore"):  # NaN and infinity, which the comparison finds
            part[:] = values.astype(np.int8)
        if (part == values).all():
            continue
        part[:] = coded(values)
        absent = int(np.isnan(values).sum())
        missing += absent
        strange += int(((part == MISSING) & (values != MISSING)).sum()) - absent
    return Counted(missing=missing, strange=strange) if missing or strange else _CLEAN


def _numbers(chunk: pa.Array) -> npt.NDArray[Any]:
    """Return the values of a chunk as floats, NaN for null. Shape ``(rows,)``."""
    if pa.types.is_dictionary(chunk.type):
        known = np.append(_numbers(chunk.dictionary), np.nan)
        places = _buffer(chunk.indices.cast(pa.int64()), np.int64)
        return known[np.where(_nulls(chunk), len(known) - 1, places)]
    if is_text(chunk.type):
        try:
            chunk = chunk.cast(_FLOAT64)
        except pa.ArrowInvalid:
            raise NoNumbers from None
    dtype = _NUMPY.get(chunk.type)
    values = _buffer(chunk.cast(_FLOAT64, safe=False), np.float64) if dtype is None else _buffer(chunk, dtype)
    return np.where(_nulls(chunk), np.nan, values) if chunk.null_count else values


def _nulls(chunk: pa.Array) -> npt.NDArray[np.bool_]:
    return _buffer(chunk.is_null().cast(pa.uint8()), np.uint8).astype(np.bool_)


def _buffer(values: pa.Array, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return the values, anything for nulls. pyarrow's own conversion imports pandas, which takes a quarter of a second."""
    buffer = values.buffers()[1]
    if buffer is None:
        return np.zeros(len(values), dtype=dtype)  # no rows, or nothing but nulls
    return np.frombuffer(buffer, dtype=dtype, count=len(values), offset=np.dtype(dtype).itemsize * values.offset)
