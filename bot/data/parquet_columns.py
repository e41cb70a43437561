"""
Read columns of Numerai's parquet files by name, within bounds that are checked before anything is decoded.

A parquet file may hold a name twice, and pyarrow delivers more columns than were named: both columns of a repeated name,
and for ``feature_a`` also a column ``feature_a.1``. So names and columns are paired by the schema of the decoded table,
never by position.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bot.errors import DatasetIncomplete

FETCHED_AGAIN = "it is fetched again"
RUN_SYNC = "delete it and run `bot sync`"
"""Ways to fix a damaged file, the end of an error's message."""

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


LIVE = Bounds(rows=100_000, cells=300_000_000, chunks=1_000_000, content=4 << 30, footer=128 << 20)
"""Ten times the live file of v5.3: 7,000 rows of 3,555 features."""

HISTORY = Bounds(rows=50_000_000, cells=200_000_000_000, chunks=10_000_000, content=1 << 40, footer=1 << 30)
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
    types: Mapping[str, pa.DataType] = field(init=False)
    repeated: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Read names and types from the schema."""
        schema = self.file.schema_arrow
        counted = Counter(schema.names)
        object.__setattr__(self, "types", {one.name: one.type for one in schema})
        object.__setattr__(self, "repeated", frozenset(name for name, count in counted.items() if count > 1))

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
        return {name: found[name] for name in names}

    def texts(self, name: str, longest: int) -> list[str | None]:
        """
        Decode a column of text of any type.

        Args:
            name: Name of the column.
            longest: Most characters of one text.

        Raises:
            DatasetIncomplete: The content is damaged, is of another type, or holds a longer text.
        """
        kind = self.types[name]
        if not _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise DatasetIncomplete(f"{self.path.name}: {name} is {kind}, not text; {self.remedy}")
        found: list[str | None] = []
        for chunk in self.read([name])[name].chunks:
            values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            with explained(self.path, self.remedy):
                known = values.cast(pa.large_string()).to_pylist()
            if any(len(one) > longest for one in known if one is not None):
                raise DatasetIncomplete(f"{self.path.name}: {name} is longer than {longest} characters; {self.remedy}")
            if pa.types.is_dictionary(chunk.type):
                known = [None if place is None else known[place] for place in chunk.indices.to_pylist()]
            found += known
        return found


@contextmanager
def open_columns(path: Path, bounds: Bounds, *, remedy: str, as_dictionary: bool = False) -> Iterator[ParquetColumns]:
    """
    Open a parquet file of at most this size.

    Args:
        path: Path of the file.
        bounds: Bounds of its size.
        remedy: Way to fix a damaged file, for messages.
        as_dictionary: Whether to decode text as dictionaries, so that a long text in many rows takes memory once.

    Raises:
        DatasetIncomplete: The file is absent, damaged or larger.
    """
    with explained(path, remedy):
        _check_footer(path, bounds, remedy)
        file = pq.ParquetFile(path, pre_buffer=False)
        _check_size(path, file.metadata, bounds, remedy)
        texts = [one.name for one in file.schema_arrow if one.type != _INT8 and _is_text(one.type)]
        if as_dictionary and texts:
            file.close()
            file = pq.ParquetFile(path, metadata=file.metadata, pre_buffer=False, read_dictionary=texts)
    with file:
        yield ParquetColumns(path=path, file=file, remedy=remedy)


@contextmanager
def explained(path: Path, remedy: str) -> Iterator[None]:
    """Turn every error of pyarrow within the block into :class:`DatasetIncomplete`."""
    try:
        yield
    # ValueError: a damaged name or text that is not UTF-8. KeyError: a column that the decoded table lacks.
    except (OSError, ValueError, KeyError, MemoryError, pa.ArrowException) as error:
        raise DatasetIncomplete(f"{path.name} cannot be read: {type(error).__name__}; {remedy}") from None


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    bytes_ = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in (*tests, *bytes_))


def _check_footer(path: Path, bounds: Bounds, remedy: str) -> None:
    """Refuse a footer that would take too much memory: it is parsed as a whole when the file is opened."""
    with path.open("rb") as file:
        file.seek(max(file.seek(0, 2) - _TAIL, 0))
        footer = int.from_bytes(file.read(4), "little")
    if footer > bounds.footer:
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
