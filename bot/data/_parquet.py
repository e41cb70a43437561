"""
Decode Numerai's parquet files a few columns at a time.

polars decodes int8 columns in half the time of pyarrow, which goes through int32; see ``bench/ingest.py``. It is part of
the extra ``train``, since only training needs the history.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.era_store import ID_BYTES
from bot.data.parquet_columns import AS_SERVED, HISTORY, open_columns
from bot.data.transfer.ranges import chunk_start
from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.features.codes import MISSING, STRANGE, Codes, coded
from bot.tournament.columns import DATA_TYPE, ERA, FEATURE_PREFIX, ID, era_label, is_target

_INT8 = pa.int8()

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
        features: Feature columns that hold numbers, in file order.
        targets: Target columns that hold numbers, in file order.
        odd: Type of each feature and target that holds no numbers, by name.
        kinds: Whether the file has the column ``data_type``.
        bounds: First row of each row group, then the number of rows.
        places: First byte of each row group, and the byte after its last one; empty where they are not in order.
        scan: Lazy frame of polars. It keeps the parsed footer, since parsing costs as much as decoding 100 columns.
    """

    path: Path
    features: tuple[str, ...]
    targets: tuple[str, ...]
    odd: Mapping[str, str]
    kinds: bool
    bounds: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    scan: pl.LazyFrame

    @classmethod
    def open(cls, path: Path) -> "ParquetSource":
        """
        Read a file's footer; columns are known by their names, and columns that nobody reads may be of any kind.

        Raises:
            DatasetIncomplete: The file is absent, not parquet or too large, or has a column twice.
            SchemaMismatch: The file lacks ids, eras, features or targets.
        """
        with open_columns(path, HISTORY, remedy=AS_SERVED, as_dictionary=()) as file:
            metadata = file.file.metadata
            groups = [metadata.row_group(index) for index in file.groups]
            known = [name for name in file.types if name.startswith(FEATURE_PREFIX) or is_target(name)]
            file.refuse_repeated([ID, ERA, DATA_TYPE, *known])
            types = {name: file.types[name] for name in known}
            absent = [name for name in (ID, ERA) if name not in file.types]
            kinds = DATA_TYPE in file.types
        numeric = [name for name, kind in types.items() if _is_numeric(kind)]
        features = tuple(name for name in numeric if name.startswith(FEATURE_PREFIX))
        targets = tuple(name for name in numeric if is_target(name))
        if absent:
            raise SchemaMismatch(f"{path.name} lacks {', '.join(absent)}; is BOT_DATA_VERSION one of v5?")
        if not features or not targets:
            raise SchemaMismatch(
                f"{path.name} has {len(features)} features and {len(targets)} targets of numbers, and needs both"
            )
        return cls(
            path=path,
            features=features,
            targets=targets,
            odd={name: str(kind) for name, kind in types.items() if not _is_numeric(kind)},
            kinds=kinds,
            bounds=tuple(int(row) for row in np.cumsum([0, *(group.num_rows for group in groups)])),
            places=_places(groups),
            scan=pl.scan_parquet(path, low_memory=True, glob=False),
        )

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.path.name

    def rows_within(self, size: int) -> int:
        """Return the number of leading rows whose row groups lie within the first *size* bytes."""
        return self.bounds[sum(end <= size for _, end in self.places)]

    def first_byte(self, row: int) -> int:
        """Return the first byte of the row group with a row, 0 where it is not known."""
        group = max(bisect_right(self.bounds[:-1], row) - 1, 0)
        return self.places[group][0] if group < len(self.places) else 0

    def eras(self, start: int = 0) -> list[Era]:
        """
        Return the eras from a row on in the order of their rows, with the labels of v5 whatever type the file holds them in.

        Raises:
            DatasetIncomplete: The eras are not in ascending order, an era comes twice, or a row has none.
        """
        frame = self._read([ERA, DATA_TYPE] if self.kinds else [ERA], start, self.bounds[-1])
        runs = frame[ERA].rle().struct
        sizes, values = runs.field("len").to_list(), runs.field("value").to_list()
        labels = [era_label(value) for value in values]
        order = [f"{two} after {one}" for one, two in pairwise(labels) if two <= one]
        if not labels or None in values or order:
            problem = f"has era {order[0]}" if order else "has no eras"
            problem = "has rows without an era" if None in values else problem
            raise DatasetIncomplete(f"{self.name} {problem}: rows must be in ascending order of eras; {AS_SERVED}")
        starts = [int(start) for start in np.cumsum([0, *sizes[:-1]])]
        kinds = frame[DATA_TYPE].cast(pl.String).gather(starts).to_list() if self.kinds else [None] * len(labels)
        return [
            Era(label=label, kind=kind or self.path.stem, start=start + first, rows=int(rows))
            for label, kind, first, rows in zip(labels, kinds, starts, sizes, strict=True)
        ]

    def ids(self, start: int = 0) -> npt.NDArray[np.bytes_]:
        """
        Return the ids of the rows from *start* on. Shape ``(rows,)``, 16 bytes each.

        Raises:
            SchemaMismatch: An id has another length.
        """
        with self._explained():
            column = self._read([ID], start, self.bounds[-1])[ID].cast(pl.String)
        if column.null_count() or (column.str.len_bytes() != ID_BYTES).any():
            raise SchemaMismatch(f"{self.name} has ids that are not {ID_BYTES} characters long")
        text = column.str.join("").item().encode()
        return np.frombuffer(text, dtype=f"S{ID_BYTES}")

    def codes(self, name: str, start: int = 0) -> Codes:
        """Return one feature of the rows from *start* on, -1 where missing. Shape ``(rows,)``, int8."""
        return self._codes(self._read([name], start, self.bounds[-1])[name])

    def floats(self, names: Sequence[str], start: int = 0) -> npt.NDArray[np.float32]:
        """Return targets of the rows from *start* on, NaN where unknown. Shape ``(names, rows)``, float32."""
        values = np.empty((len(names), self.bounds[-1] - start), dtype=np.float32)
        for first in range(0, len(names), TARGETS_AT_A_TIME):
            part = list(names[first : first + TARGETS_AT_A_TIME])
            frame = self._read(part, start, self.bounds[-1])
            for offset, name in enumerate(part):
                values[first + offset] = frame[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
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
            frame = self._read(part, start, stop)
            for offset, name in enumerate(part):
                yield first + offset, self._codes(frame[name])

    def _read(self, names: Sequence[str], start: int, stop: int) -> pl.DataFrame:
        with self._explained():
            return self.scan.select(pl.col(list(names))).slice(start, stop - start).collect()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn every error of polars within the block into :class:`DatasetIncomplete`."""
        try:
            yield
        # A damaged page can end in a panic of polars, which is no Exception.
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise DatasetIncomplete(f"{self.path} cannot be read ({type(error).__name__}); {AS_SERVED}") from None

    def _codes(self, column: pl.Series) -> Codes:
        """
        Return a decoded column as codes.

        Raises:
            SchemaMismatch: Values are no whole numbers of one byte, as before v5.
        """
        if column.dtype == pl.Int8:
            filled = column.fill_null(MISSING) if column.null_count() else column
            codes: Codes = filled.to_numpy()
            return codes
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        codes = coded(values)
        strange = values[(codes == STRANGE) & (values != STRANGE)]
        if len(strange):
            raise SchemaMismatch(
                f"{self.name}: {column.name} has {len(strange):,} values that are no codes, such as {strange[0]:g};"
                " is BOT_DATA_VERSION one of v5?"
            )
        return codes


def _places(groups: Sequence[pq.RowGroupMetaData]) -> tuple[tuple[int, int], ...]:
    """Return the first byte of each row group and the byte after its last one; empty where they are not in order."""
    found = []
    for group in groups:
        last = group.column(group.num_columns - 1)
        found.append((chunk_start(group.column(0)), chunk_start(last) + last.total_compressed_size))
    flat = [place for pair in found for place in pair]
    return tuple(found) if flat == sorted(flat) else ()


def _is_numeric(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return kind == _INT8 or any(test(kind) for test in tests)
