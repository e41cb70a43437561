"""
Download some columns and the newest eras of Numerai's parquet files, row group by row group.

The footer of a file says where each column chunk is, so the small feature set of 3,555 features takes about a hundredth of
the bytes. Each row group that has arrived is a file of its own until all of them have: an interrupted download goes on
with the next row group. The result is a parquet file with the server's rows and types, and without the other columns.
"""

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from bot.data.download import PAUSES, STORED_FILES, SYNCED, TRIES, enough_room, may_pass, offered, recorded
from bot.data.transfer.ranges import MAGIC, Ranges, Unsuited, chunk_start
from bot.errors import DatasetIncomplete
from bot.system.files import publish, sha256_of
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import ERA, era_label
from bot.tournament.retries import retry_context

GAP = 1 << 17
"""Most bytes between two column chunks that are requested together: on a slow connection they take as long as a request."""

COPIES = 3
"""Disk space in multiples of the downloaded bytes: the row groups, the file that they become, and the era store's part."""

PARTS = "parts"
"""Folder of the row groups of incomplete files."""

log = structlog.get_logger()


class NoRanges(Exception):
    """The server's files cannot be read by ranges; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    The wanted part of a file.

    Attributes:
        columns: Returns the wanted ones of the file's columns; none leave the file out.
        eras: Number of the newest eras, counted from the newest one of all files.
    """

    columns: Callable[[Sequence[str]], Sequence[str]]
    eras: int


def fetch_columns(
    client: NumeraiClient,
    folder: Path,
    version: str,
    wanted: Mapping[str, Selection],
    *,
    on_progress: CountCallback | None = None,
) -> tuple[str, ...]:
    """
    Download parts of a data version's files, and return the names of the files that are on disk now.

    A file whose part is on disk already, of the server's version, is not downloaded again. Files without a wanted era or
    column are left out.

    Args:
        client: Client of the API.
        folder: Folder of all data versions.
        version: Data version.
        wanted: Part of each file, by name; optional files that the server does not offer are skipped.
        on_progress: Called with bytes done and bytes in all.

    Raises:
        NoRanges: The server does not serve ranges, or a file has no readable footer.
        DatasetIncomplete: A file changed during the download or cannot be decoded, or a needed one is not offered.
        NumeraiUnavailable: The connection broke several times in a row; finished row groups stay.
        OperatorNeeded: The disk has too little space, or the data version is not offered.
    """
    home, names = folder / version, offered(client, version)
    home.mkdir(parents=True, exist_ok=True)
    opened = {name: _RemoteFile.open(client, f"{version}/{name}") for name in wanted if name in names}
    newest = max((last for name in STORED_FILES if name in opened for last in opened[name].lasts), default="")
    parts = {name: one.part(wanted[name], newest) for name, one in opened.items()}
    parts = {name: part for name, part in parts.items() if part.groups and part.columns}
    total, done = sum(part.bytes for part in parts.values()), 0
    with enough_room(home, f"the needed part of {version}", total * COPIES):
        for name, part in parts.items():
            for size in _fetch_part(part, home / name):
                done += size
                if on_progress is not None:
                    on_progress(done, total)
    shutil.rmtree(home / PARTS, ignore_errors=True)
    return tuple(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RemoteFile:
    """
    A file on the server.

    Attributes:
        filename: Name on the server.
        ranges: Access to its bytes.
        about: Its footer.
        names: Name of each column chunk of a row group.
        lasts: Label of the last era of each row group, by the footer's statistics; empty where there are none.
    """

    filename: str
    ranges: Ranges
    about: pq.FileMetaData
    names: tuple[str, ...]
    lasts: tuple[str, ...]

    @classmethod
    def open(cls, client: NumeraiClient, filename: str) -> "_RemoteFile":
        ranges = Ranges(client, filename)
        try:
            for attempt in retry_context(on=may_pass, attempts=TRIES, timeout=None, **PAUSES):
                with attempt:
                    about = ranges.footer()
        except Unsuited as reason:
            raise NoRanges(f"{filename}: {reason}") from None
        names = tuple(about.schema.column(index).path for index in range(about.num_columns))
        lasts: tuple[str, ...] = ()
        if ERA in names:
            column = names.index(ERA)
            found = [about.row_group(group).column(column).statistics for group in range(about.num_row_groups)]
            if all(one is not None and one.has_min_max for one in found):
                lasts = tuple(era_label(one.max) for one in found)
        return cls(filename=filename, ranges=ranges, about=about, names=names, lasts=lasts)

    def part(self, wanted: Selection, newest: str) -> "_Part":
        """Return the wanted part; all eras where the statistics or the labels do not say which row groups hold them."""
        columns = tuple(wanted.columns(self.names))
        twice = [name for name in columns if self.names.count(name) > 1]
        if twice:
            raise DatasetIncomplete(f"{self.filename} has more than one column {twice[0]!r}; it is fetched again later")
        first = era_label(max(int(newest) - wanted.eras + 1, 0)) if newest.isdecimal() else ""
        groups = tuple(
            group for group in range(self.about.num_row_groups) if not self.lasts or self.lasts[group] >= first
        )
        return _Part(file=self, columns=columns, groups=groups, first=first if ERA in columns else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """
    Columns of some row groups of a file on the server.

    Attributes:
        file: The file.
        columns: Names of the columns.
        groups: Numbers of the row groups.
        first: Label of the oldest era whose rows are kept; empty keeps all rows.
    """

    file: _RemoteFile
    columns: tuple[str, ...]
    groups: tuple[int, ...]
    first: str

    @property
    def bytes(self) -> int:
        """Return the bytes that the download takes."""
        return sum(end - begin for group in self.groups for begin, end in self.spans(group))

    @property
    def digest(self) -> str:
        """Return a digest of the server's version and of what is taken from it."""
        content = json.dumps([self.file.ranges.etag, self.file.ranges.size, self.columns, self.groups, self.first])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def spans(self, group: int) -> tuple[tuple[int, int], ...]:
        """Return begin and end of the bytes that hold the columns of a row group; near chunks are one span."""
        about, wanted = self.file.about.row_group(group), set(self.columns)
        chunks = [about.column(index) for index, name in enumerate(self.file.names) if name in wanted]
        found = sorted((chunk_start(one), chunk_start(one) + one.total_compressed_size) for one in chunks)
        breaks = [index for index, (one, two) in enumerate(pairwise(found), start=1) if two[0] - one[1] > GAP]
        return tuple(
            (found[low][0], max(end for _, end in found[low:high])) for low, high in pairwise([0, *breaks, len(found)])
        )

    def read(self, group: int) -> pa.Table:
        """
        Download and decode the columns of a row group.

        Raises:
            DatasetIncomplete: The file changed on the server, or the bytes are not what its footer describes.
        """
        ranges = self.file.ranges
        try:
            held = {begin: b"".join(ranges.read(begin, end)) for begin, end in self.spans(group)}
            held |= {0: MAGIC, ranges.size - len(ranges.end): ranges.end}
            with pq.ParquetFile(_Pieces(held, ranges.size), metadata=self.file.about, pre_buffer=False) as file:
                table = file.read_row_group(group, columns=list(self.columns), use_threads=False)
        except Unsuited as reason:
            raise DatasetIncomplete(f"{self.file.filename}: {reason}; the download begins again later") from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DatasetIncomplete(f"{self.file.filename} cannot be decoded: {type(error).__name__}") from None
        rows = self.file.about.row_group(group).num_rows
        if sorted(table.column_names) != sorted(self.columns) or table.num_rows != rows:
            raise DatasetIncomplete(
                f"{self.file.filename}: row group {group} has {table.num_rows:,} rows, its footer says {rows:,}"
            )
        return self._kept(table)

    def _kept(self, table: pa.Table) -> pa.Table:
        """Return the rows of the wanted eras: a row group may begin in the middle of an older era."""
        if not self.first:
            return table
        labels = table.column(ERA)
        kept = [one for one in pc.unique(labels).to_pylist() if one is not None and era_label(one) >= self.first]
        return table.filter(pc.is_in(labels, value_set=pa.array(kept, labels.type)))


class _Pieces(io.RawIOBase):
    """
    A file of which only some bytes are there.

    Args:
        held: Bytes by their offset.
        size: Size of the whole file.

    Raises:
        OSError: Other bytes are read.
    """

    def __init__(self, held: Mapping[int, bytes], size: int) -> None:
        self._held, self._size, self._at = held, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._at + size, self._size)
        for begin, content in self._held.items():
            if begin <= self._at and end <= begin + len(content):
                found = content[self._at - begin : end - begin]
                self._at = end
                return found
        raise OSError(f"the bytes from {self._at} to {end} were not downloaded")


def _fetch_part(part: _Part, path: Path) -> Iterator[int]:
    """Write a part of a file to *path*; yield the bytes of each row group that has arrived."""
    entries = recorded(path.parent)
    entry = entries.get(path.name, {})
    if entry.get("part") == part.digest and path.is_file() and sha256_of(path) == entry["sha256"]:
        yield part.bytes
        return
    folder = path.parent / PARTS / f"{path.name}-{part.digest}"
    pieces = [folder / f"{group:05d}.parquet" for group in part.groups]
    for group, piece in zip(part.groups, pieces, strict=True):
        if not piece.is_file():
            for attempt in retry_context(on=may_pass, attempts=TRIES, timeout=None, **PAUSES):
                with attempt:
                    table = part.read(group)
            publish(piece, lambda file, table=table: pq.write_table(table, file, write_page_checksum=True))  # type: ignore[misc]
        yield sum(end - begin for begin, end in part.spans(group))
    _join(pieces, path)
    log.info("dataset.columns", file=part.file.filename, columns=len(part.columns), bytes=part.bytes)
    entries[path.name] = {
        "bytes": path.stat().st_size,
        "etag": part.file.ranges.etag,
        "sha256": sha256_of(path),
        "part": part.digest,
    }
    publish(path.parent / SYNCED, json.dumps(entries, indent=1, sort_keys=True).encode())
    shutil.rmtree(folder)


def _join(pieces: Sequence[Path], path: Path) -> None:
    """
    Write the row groups of *pieces* to one file.

    Raises:
        DatasetIncomplete: A piece is damaged; all are removed.
    """

    def write(file: object) -> None:
        with pq.ParquetWriter(file, _read_piece(pieces[0]).schema) as writer:
            for piece in pieces:
                writer.write_table(_read_piece(piece))

    publish(path, write)


def _read_piece(piece: Path) -> pa.Table:
    try:
        return pq.ParquetFile(piece, page_checksum_verification=True).read()
    except (OSError, ValueError, pa.ArrowException) as error:
        shutil.rmtree(piece.parent)
        raise DatasetIncomplete(
            f"{piece} was damaged since its download ({type(error).__name__}) and is removed; run it again"
        ) from None
