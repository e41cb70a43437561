"""
Decode Numerai's parquet files a few columns at a time.

polars decodes int8 columns in half the time of pyarrow, which goes through int32; see ``bench/ingest.py``. It is part of
the extra ``train``, since only training needs the history.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.era_store import ID_BYTES
from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.features.codes import MISSING, Codes
from bot.tournament.columns import DATA_TYPE, ERA, FEATURE_PREFIX, ID, is_target

CELLS = 1 << 24
"""Values that are decoded at a time: 16 MiB for row groups of any size; more is no faster."""

TARGETS_AT_A_TIME = 8
"""Targets that are decoded at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """
    Consecutive rows of a file with the same era label.

    Attributes:
        label: Era label.
        kind: ``data_type`` of the era.
        start: First row.
        rows: Number of rows.
    """

    label: str
    kind: str
    start: int
    rows: int

    @property
    def stop(self) -> int:
        """Return the row after the last one."""
        return self.start + self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetSource:
    """
    A parquet file of the history.

    Attributes:
        path: Path of the file.
        columns: All columns in file order.
        bounds: First row of each row group, then the number of rows.
        scan: Lazy frame of polars. It keeps the parsed footer, since parsing costs as much as decoding 100 columns.
    """

    path: Path
    columns: tuple[str, ...]
    bounds: tuple[int, ...]
    scan: pl.LazyFrame

    @classmethod
    def open(cls, path: Path) -> "ParquetSource":
        """
        Read a file's footer.

        Raises:
            DatasetIncomplete: The file is absent or not parquet.
            SchemaMismatch: Features are not int8, or targets are not floats.
        """
        try:
            with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
                schema, metadata = file.schema_arrow, file.metadata
                sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DatasetIncomplete(
                f"{path} cannot be read ({type(error).__name__}); delete it and run `bot sync`"
            ) from None
        absent = [name for name in (ID, ERA, DATA_TYPE) if name not in schema.names]
        wrong = [
            f"{one.name} ({one.type})"
            for one in schema
            if (one.name.startswith(FEATURE_PREFIX) and one.type != pa.int8())
            or (is_target(one.name) and not pa.types.is_floating(one.type))
        ]
        if absent or wrong:
            problem = f"lacks {', '.join(absent)}" if absent else f"has columns of another type: {', '.join(wrong[:5])}"
            raise SchemaMismatch(f"{path.name} {problem}; is BOT_DATA_VERSION one of v5?")
        bounds = tuple(int(row) for row in np.cumsum([0, *sizes]))
        scan = pl.scan_parquet(path, low_memory=True, glob=False)
        return cls(path=path, columns=tuple(schema.names), bounds=bounds, scan=scan)

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.path.name

    def demand(self, columns: Sequence[str]) -> None:
        """
        Check that the file has exactly these columns in this order.

        Raises:
            SchemaMismatch: The file has other columns.
        """
        odd = sorted(set(columns) ^ set(self.columns))
        if odd or tuple(columns) != self.columns:
            shown = ", ".join(odd[:5]) or "in another order"
            raise SchemaMismatch(f"{self.name} has other columns than the file before it: {shown}; run `bot sync`")

    def eras(self) -> list[Era]:
        """
        Return the eras in the order of their rows.

        Raises:
            DatasetIncomplete: The eras are not in ascending order, or an era comes twice.
        """
        frame = self._read([ERA, DATA_TYPE], 0, self.bounds[-1])
        runs = frame[ERA].rle().struct
        sizes, labels = runs.field("len").to_list(), runs.field("value").to_list()
        if not labels or labels != sorted(set(labels)):
            raise DatasetIncomplete(f"{self.path} has no eras in ascending order; delete it and run `bot sync`")
        starts = [int(start) for start in np.cumsum([0, *sizes[:-1]])]
        kinds = frame[DATA_TYPE].gather(starts).to_list()
        return [
            Era(label=str(label), kind=str(kind), start=start, rows=int(rows))
            for label, kind, start, rows in zip(labels, kinds, starts, sizes, strict=True)
        ]

    def ids(self) -> npt.NDArray[np.bytes_]:
        """
        Return the ids of all rows. Shape ``(rows,)``, 16 bytes each.

        Raises:
            SchemaMismatch: An id has another length.
        """
        column = self._read([ID], 0, self.bounds[-1])[ID]
        if column.null_count() or (column.str.len_bytes() != ID_BYTES).any():
            raise SchemaMismatch(f"{self.name} has ids that are not {ID_BYTES} characters long")
        text = column.str.join("").item().encode()
        return np.frombuffer(text, dtype=f"S{ID_BYTES}")

    def codes(self, name: str) -> Codes:
        """Return one feature of all rows, -1 where missing. Shape ``(rows,)``, int8."""
        return _codes(self._read([name], 0, self.bounds[-1])[name])

    def floats(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return targets of all rows, NaN where unknown. Shape ``(names, rows)``, float32."""
        values = np.empty((len(names), self.bounds[-1]), dtype=np.float32)
        for start in range(0, len(names), TARGETS_AT_A_TIME):
            part = list(names[start : start + TARGETS_AT_A_TIME])
            for offset, column in enumerate(self._read(part, 0, self.bounds[-1])):
                values[start + offset] = column.fill_null(float("nan")).to_numpy()
        return values

    def spans(self, rows: int) -> Iterator[tuple[int, int]]:
        """
        Yield the first row and the end of consecutive row groups with at least *rows* rows; the last may have fewer.

        Reading between other bounds would decode a row group twice.
        """
        start = 0
        for stop in self.bounds[1:]:
            if start < stop and (stop - start >= rows or stop == self.bounds[-1]):
                yield start, stop
                start = stop

    def chunks(self, names: Sequence[str], start: int, stop: int) -> Iterator[tuple[int, Codes]]:
        """Yield the position and values of each of *names* in the rows from *start* to *stop*."""
        width = max(CELLS // max(stop - start, 1), 16)
        for first in range(0, len(names), width):
            part = list(names[first : first + width])
            for offset, column in enumerate(self._read(part, start, stop)):
                yield first + offset, _codes(column)

    def _read(self, names: Sequence[str], start: int, stop: int) -> pl.DataFrame:
        try:
            return self.scan.select(pl.col(list(names))).slice(start, stop - start).collect()
        except pl.exceptions.PolarsError as error:
            raise DatasetIncomplete(
                f"{self.path} cannot be read ({type(error).__name__}); delete it and run `bot sync`"
            ) from None


def _codes(column: pl.Series) -> Codes:
    filled = column.fill_null(MISSING) if column.null_count() else column
    values: Codes = filled.to_numpy()
    return values
