"""Values of decoded columns as numpy arrays; pyarrow's own conversion imports pandas, which takes a quarter of a second."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_INT8, _FLOAT64 = pa.int8(), pa.float64()
_NUMPY: dict[pa.DataType, type[np.generic]] = {pa.float32(): np.float32, _FLOAT64: np.float64}
"""Types whose buffers are read without a cast."""


class NoNumbers(Exception):
    """A column holds text that is no number."""


def may_hold_numbers(kind: pa.DataType) -> bool:
    """Return whether a column of this type may hold numbers; of text, only its values show it."""
    if kind == _INT8:
        return True
    if pa.types.is_dictionary(kind):
        return may_hold_numbers(kind.value_type)
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return is_string(kind) or any(test(kind) for test in tests)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds text or bytes, perhaps as a dictionary."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return is_string(kind) or any(test(kind) for test in tests)


def numbers_of(chunk: pa.Array) -> npt.NDArray[Any]:
    """
    Return the values of a chunk as floats, NaN for null. Shape ``(rows,)``.

    Raises:
        NoNumbers: The chunk holds text that is no number.
    """
    if pa.types.is_dictionary(chunk.type):
        known = np.append(numbers_of(chunk.dictionary), np.nan)
        places = buffer_of(chunk.indices.cast(pa.int64()), np.int64)
        return known[np.where(_nulls(chunk), len(known) - 1, places)]
    if is_string(chunk.type):
        try:
            chunk = chunk.cast(_FLOAT64)
        except pa.ArrowInvalid:
            raise NoNumbers from None
    dtype = _NUMPY.get(chunk.type)
    values = buffer_of(chunk.cast(_FLOAT64, safe=False), np.float64) if dtype is None else buffer_of(chunk, dtype)
    return np.where(_nulls(chunk), np.nan, values) if chunk.null_count else values


def fixed_text(chunk: pa.Array, size: int) -> npt.NDArray[np.bytes_]:
    """Return the texts of a ``large_binary`` chunk, empty for null and for longer ones. Shape ``(rows,)``."""
    _, offsets, content = chunk.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64, count=len(chunk) + 1, offset=8 * chunk.offset)
    if chunk.null_count == 0 and len(chunk) and (np.diff(bounds) == size).all():
        return np.frombuffer(content, dtype=f"S{size}", count=len(chunk), offset=int(bounds[0]))
    return np.array([one if one and len(one) <= size else b"" for one in chunk.to_pylist()], dtype=f"S{size}")


def _nulls(chunk: pa.Array) -> npt.NDArray[np.bool_]:
    return buffer_of(chunk.is_null().cast(pa.uint8()), np.uint8).astype(np.bool_)


def buffer_of(values: pa.Array, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return values of a numpy type without a copy, anything for nulls. Shape ``(rows,)``."""
    buffer = values.buffers()[1]
    if buffer is None:
        return np.zeros(len(values), dtype=dtype)  # no rows, or nothing but nulls
    return np.frombuffer(buffer, dtype=dtype, count=len(values), offset=np.dtype(dtype).itemsize * values.offset)


def is_string(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
