"""
Read columns of Numerai's parquet files by name, within bounds that are checked before anything is decoded.

A parquet file may hold a name twice, and pyarrow delivers more columns than were named: both columns of a repeated name,
and for ``feature_a`` also a column ``feature_a.1``. So names and columns are paired by the schema of the decoded table,
never by position.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data._arrow_values import NoNumbers, fixed_text, is_string, is_text, may_hold_numbers, numbers_of
from bot.errors import DatasetIncomplete

FETCHED_AGAIN = "it is fetched again"
RUN_SYNC = "delete it and run `bot sync`"
AS_SERVED = "the store stays as it is, and `bot sync` goes on once Numerai has replaced the file"
"""Ways to fix a damaged file, the end of an error's message. The last is for files that are as they arrived."""

_INT8 = pa.int8()
_TAIL = 8
"""Bytes at the end of a parquet file: length of the footer and magic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """
    Most that a file may hold; run-length encoding packs 100 million rows into 0.9 MB.

    Attributes:
        rows: Rows.
        cells: Rows times columns.
        chunks: Row groups times columns.
        content: Bytes of all columns without compression.
        footer: Bytes of the footer.
    """

    rows: int
    cells: int
    chunks: int
    content: int
    footer: int


LIVE = Bounds(rows=100_000, cells=300_000_000, chunks=300_000, content=4 << 30, footer=32 << 20)
"""Ten times the live file of v5.3: 7,000 rows of 3,555 features, with a footer of .75 MB; one of 32 MB takes .5 GB to parse."""

HISTORY = Bounds(rows=50_000_000, cells=200_000_000_000, chunks=5_000_000, content=1 << 40, footer=256 << 20)
"""Ten times the files of v5.3 at the end of 2026: 4.1 million rows of 3,599 columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetColumns:
    """
    An open parquet file.

    Attributes:
        path: Path of the file.
        file: The file.
        remedy: Way to fix a damaged file, for messages.
        types: Type of each top-level column by name; of a repeated name, the last one.
        repeated: Names of more than one column.
    """

    path: Path
    file: pq.ParquetFile
    remedy: str
    types: Mapping[str, pa.DataType]
    repeated: Collection[str]

    @property
    def rows(self) -> int:
        """Return the number of rows according to the footer."""
        return int(self.file.metadata.num_rows)

    @property
    def groups(self) -> range:
        """Return the numbers of the row groups."""
        return range(self.file.metadata.num_row_groups)

    def refuse_repeated(self, names: Iterable[str]) -> None:
        """
        Refuse a file that has more than one column of one of these *names*: either may hold the values.

        Raises:
            DatasetIncomplete: It has.
        """
        twice = [name for name in names if name in self.repeated]
        if twice:
            raise DatasetIncomplete(
                f"{self.path.name} has {len(twice)} columns twice, {twice[0]!r} first; {self.remedy}"
            )

    def read(self, names: Sequence[str], *, group: int | None = None) -> dict[str, pa.ChunkedArray]:
        """
        Decode columns of the whole file, or of one row group; return them by name.

        Raises:
            DatasetIncomplete: The content is damaged.
        """
        with explained(self.path, self.remedy):
            wanted = list(names)
            table = (
                self.file.read(columns=wanted, use_threads=False)
                if group is None
                else self.file.read_row_group(group, columns=wanted, use_threads=False)
            )
            found = dict(zip(table.column_names, table.columns, strict=True))
            return {name: found[name] for name in wanted}

    def texts(self, name: str, longest: int) -> list[str | None]:
        """
        Decode a column of text of any type.

        Args:
            name: Name of the column.
            longest: Most characters of one text.

        Raises:
            DatasetIncomplete: The content is damaged, is of another type, or holds a longer text.
        """
        self._refuse_other_than_text(name)
        found: list[str | None] = []
        for chunk in self.read([name])[name].chunks:
            values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            with explained(self.path, self.remedy):
                # Only bytes are cast: the first cast of a process imports pyarrow.compute, which takes a tenth of a second.
                known = (values if is_string(values.type) else values.cast(pa.large_string())).to_pylist()
            if any(len(one) > longest for one in known if one is not None):
                raise DatasetIncomplete(f"{self.path.name}: {name} is longer than {longest} characters; {self.remedy}")
            if pa.types.is_dictionary(chunk.type):
                known = [None if place is None else known[place] for place in chunk.indices.to_pylist()]
            found += known
        return found

    def labels(self, name: str, *, group: int) -> dict[object, npt.NDArray[np.intp] | slice]:
        """
        Return the rows of each different value of a column in a row group; a slice where they are all rows.

        Raises:
            DatasetIncomplete: The content is damaged, or is lists or the like.
        """
        if pa.types.is_nested(self.types[name]):
            raise DatasetIncomplete(
                f"{self.path.name}: {name} is {self.type_of(name)}, not one label a row; {self.remedy}"
            )
        with explained(self.path, self.remedy):
            column = self.read([name], group=group)[name].combine_chunks()
            encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            known = [one.decode() if isinstance(one, bytes) else one for one in encoded.dictionary.to_pylist()]
            places = numbers_of(encoded.indices)
        if len(known) == 1 and encoded.null_count == 0:
            return {known[0]: slice(None)}
        rows = {value: np.flatnonzero(places == place) for place, value in enumerate(known)}
        return {value: one for value, one in rows.items() if len(one)}  # a dictionary may list values of no row

    def fixed(self, name: str, size: int, *, group: int) -> npt.NDArray[np.bytes_]:
        """
        Decode a column of short texts of a row group, empty where they are longer. Shape ``(rows,)``, *size* bytes each.

        Raises:
            DatasetIncomplete: The content is damaged, or is no text.
        """
        self._refuse_other_than_text(name)
        parts = []
        with explained(self.path, self.remedy):
            for chunk in self.read([name], group=group)[name].chunks:
                values = chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk
                parts.append(fixed_text(values.cast(pa.large_binary()), size))
        return np.concatenate([*parts, np.empty(0, dtype=f"S{size}")])

    def type_of(self, name: str) -> str:
        """Return the type of a column's values in words."""
        kind = self.types[name]
        return str(kind.value_type if pa.types.is_dictionary(kind) else kind)

    def numbers(self, name: str, *, group: int | None = None) -> npt.NDArray[np.float64]:
        """
        Decode a column of numbers of any type, NaN for null. Shape ``(rows,)``.

        Raises:
            DatasetIncomplete: The content is damaged, or is no numbers.
        """
        if not may_hold_numbers(self.types[name]):
            raise DatasetIncomplete(f"{self.path.name}: {name} is {self.type_of(name)}, no numbers; {self.remedy}")
        try:
            with explained(self.path, self.remedy):
                parts = [numbers_of(chunk) for chunk in self.read([name], group=group)[name].chunks]
        except NoNumbers:
            raise DatasetIncomplete(f"{self.path.name}: {name} is text that is no number; {self.remedy}") from None
        return np.concatenate([*parts, np.empty(0)])

    def _refuse_other_than_text(self, name: str) -> None:
        if not is_text(self.types[name]):
            raise DatasetIncomplete(f"{self.path.name}: {name} is {self.type_of(name)}, not text; {self.remedy}")


@contextmanager
def open_columns(
    path: Path, bounds: Bounds, *, remedy: str, as_dictionary: Collection[str] | None = None
) -> Iterator[ParquetColumns]:
    """
    Open a parquet file of at most this size.

    Args:
        path: Path of the file.
        bounds: Bounds of its size.
        remedy: Way to fix a damaged file, for messages.
        as_dictionary: Columns of text that are decoded as dictionaries, so that a long text in many rows takes memory once;
            ``None`` takes all.

    Raises:
        DatasetIncomplete: The file is absent, damaged or larger.
    """
    with explained(path, remedy):
        _check_footer(path, bounds, remedy)
        file = pq.ParquetFile(path, pre_buffer=False)
        _check_size(path, file.metadata, bounds, remedy)
        schema = file.schema_arrow  # made anew at each access
        types = dict(zip(schema.names, schema.types, strict=True))
        texts = [name for name, kind in types.items() if kind != _INT8 and is_text(kind)]
        texts = [name for name in texts if as_dictionary is None or name in as_dictionary]
        if texts:
            file.close()
            file = pq.ParquetFile(path, metadata=file.metadata, pre_buffer=False, read_dictionary=texts)
    repeated = [name for name, count in Counter(schema.names).items() if count > 1]
    with file:
        yield ParquetColumns(path=path, file=file, remedy=remedy, types=types, repeated=repeated)


@contextmanager
def explained(path: Path, remedy: str) -> Iterator[None]:
    """Turn every error of pyarrow within the block into :class:`DatasetIncomplete`."""
    try:
        yield
    # ValueError: a damaged name or text that is not UTF-8. LookupError: a column or dictionary entry that is not there.
    except (OSError, ValueError, LookupError, MemoryError, pa.ArrowException) as error:
        raise DatasetIncomplete(f"{path.name} cannot be read: {type(error).__name__}; {remedy}") from None


def _check_footer(path: Path, bounds: Bounds, remedy: str) -> None:
    """Refuse a footer that would take too much memory: it is parsed as a whole when the file is opened."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _TAIL, 0))
        end = file.read()
    footer = int.from_bytes(end[:4], "little")
    # Without the magic, or with a footer larger than the file, the file was cut off, as pyarrow reports.
    if end[4:] == b"PAR1" and bounds.footer < footer <= size:
        raise DatasetIncomplete(f"{path.name} has a footer of {footer:,} bytes (at most {bounds.footer:,}); {remedy}")


def _check_size(path: Path, metadata: pq.FileMetaData, bounds: Bounds, remedy: str) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    found = {
        "rows": (metadata.num_rows, bounds.rows),
        "values": (metadata.num_rows * metadata.num_columns, bounds.cells),
        "column chunks": (len(groups) * metadata.num_columns, bounds.chunks),
        "uncompressed bytes": (sum(group.total_byte_size for group in groups), bounds.content),
    }
    for what, (number, most) in found.items():
        if not 0 <= number <= most:
            raise DatasetIncomplete(f"{path.name} has {number:,} {what} (at most {most:,}); {remedy}")
    # Memory is allocated for the rows of the file, and the rows of the row groups are decoded into it.
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise DatasetIncomplete(f"{path.name} has another number of rows than its row groups; {remedy}")
