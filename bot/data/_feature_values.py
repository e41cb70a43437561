"""Turn decoded feature columns of any numeric type into codes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bot.data._arrow_values import buffer_of, numbers_of
from bot.features.codes import STRANGE, Codes, coded

_INT8 = pa.int8()


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


def write_codes(column: pa.ChunkedArray, out: Codes) -> Counted:
    """
    Write a column into *out*, -1 for a value that is missing and -2 for one that is no code. Shape ``(rows,)``.

    Raises:
        NoNumbers: The column holds text that is no number.
    """
    start = missing = strange = 0
    for chunk in column.chunks:
        part = out[start : start + len(chunk)]
        start += len(chunk)
        if chunk.type == _INT8 and chunk.null_count == 0:
            part[:] = buffer_of(chunk, np.int8)
            continue
        values = numbers_of(chunk)
        with np.errstate(invalid="ignore"):  # NaN and infinity, which the comparison finds
            part[:] = values.astype(np.int8)
        if (part == values).all():
            continue
        part[:] = coded(values)
        missing += int(np.isnan(values).sum())
        strange += int((part == STRANGE).sum() - (values == STRANGE).sum())
    return Counted(missing=missing, strange=strange) if missing or strange else _CLEAN
