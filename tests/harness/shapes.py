"""Shapes in which other writers could store the same parquet file, and a check of a reader for all of them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from bot.errors import BotError

TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int16(), pa.string()))
NUMBERS = (
    pa.uint8(), pa.int16(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(5, 0), pa.string(),
    pa.dictionary(pa.int8(), pa.int8()),
)  # fmt: skip
COMPRESSIONS = ("none", "snappy", "gzip", "brotli", "lz4", "zstd")
OTHERS = {
    "text": lambda rows: pa.array(["abc"] * rows),
    "list": lambda rows: pa.array([[1, 2]] * rows),
    "struct": lambda rows: pa.array([{"a": 1}] * rows),
    "time": lambda rows: pa.array([0] * rows, pa.timestamp("ns")),
    "code": lambda rows: pa.array([3] * rows, pa.int8()),
    "null": pa.nulls,
}
"""Columns that nobody reads."""


@dataclass(frozen=True)
class Shape:
    """A table as one writer stores it."""

    table: pa.Table
    group: int
    compression: str

    def write(self, path):
        """Write the table to *path* and return it."""
        pq.write_table(self.table, path, row_group_size=self.group, compression=self.compression)
        return path


@st.composite
def shapes(draw, table, *, features, kinds=NUMBERS, keep_order=False):
    """Draw a shape of *table*: columns permuted, dropped, repeated, renamed, added, and stored as other types."""
    if not keep_order:
        table = table.take(draw(st.permutations(range(len(table)))))
    for name in draw(st.lists(st.sampled_from(features), max_size=3, unique=True)):
        table = stored(table, name, draw(st.sampled_from(kinds)))
    for name in ("id", "era"):
        if name in table.column_names:
            table = stored(table, name, draw(st.sampled_from(TEXTS)))
    columns = list(zip(table.column_names, table.columns, strict=True))
    for change in draw(st.lists(st.sampled_from(("drop", "repeat", "rename", "suffix", "add")), max_size=2)):
        place = draw(st.integers(0, len(columns) - 1))
        name, column = columns[place]
        if change == "drop":
            columns.pop(place)
        elif change == "repeat":
            columns.append((name, columns[draw(st.integers(0, len(columns) - 1))][1]))
        elif change == "rename":
            columns[place] = (draw(st.sampled_from((*features, "feature_other", "other"))), column)
        elif change == "suffix":
            columns.append((f"{name}.1", column))
        else:
            added = draw(st.sampled_from(sorted(OTHERS)))
            columns.append((draw(st.sampled_from((f"feature_{added}", added))), OTHERS[added](len(table))))
    columns = draw(st.permutations(columns))
    table = pa.Table.from_arrays([column for _, column in columns], names=[name for name, _ in columns])
    return Shape(table=table, group=draw(st.integers(1, len(table))), compression=draw(st.sampled_from(COMPRESSIONS)))


def stored(table, name, kind):
    """Return a table with one column of another type."""
    column = table.column(name)
    column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)
    return table.set_column(table.column_names.index(name), name, column)


def numbers(table, name):
    """Return the values of the only column of a name, NaN for null. Shape ``(rows,)``."""
    (place,) = (index for index, one in enumerate(table.column_names) if one == name)
    return np.array([np.nan if value is None else float(value) for value in table.column(place).to_pylist()])


def texts(table, name):
    """Return the texts of the only column of a name."""
    (place,) = (index for index, one in enumerate(table.column_names) if one == name)
    values = table.column(place).to_pylist()
    return [one.decode() if isinstance(one, bytes) else one for one in values]


def refusal(read, *arguments):
    """Return the one line in which a reader refuses, ``None`` where it reads; other exceptions are raised."""
    try:
        read(*arguments)
    except BotError as error:
        message = str(error)
    else:
        return None
    assert len(message.splitlines()) == 1
    return message
