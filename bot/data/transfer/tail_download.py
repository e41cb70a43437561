"""
Download only the new part of a parquet file that grows: the row groups after those that are unchanged.

Numerai replaces ``validation.parquet`` every week: the last eras get targets, and new eras follow. Row groups whose
footer entry is the same, with the sizes and statistics of every column, are copied from the file on disk. So are the
features of a row group whose targets alone differ. A sample of the copied bytes is downloaded and compared. If anything is
unexpected, the caller downloads the whole file.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.file_record import FileRecord
from bot.data.transfer.ranges import Ranges, Unsuited, chunk_start
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import FEATURE_PREFIX

SPANS, SPAN = 6, 1 << 15
"""Number of pieces of the kept part that are compared with the server's, and bytes of each piece."""

MOVED_SPANS = 2
"""The same for features that are copied from another place of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """
    A version of a file on the server.

    Attributes:
        size: Size in bytes.
        etag: ETag of the version.
        kept: Number of its first bytes that are those of the version on disk.
    """

    size: int
    etag: str
    kept: int


def fetch_tail(
    client: NumeraiClient,
    filename: str,
    path: Path,
    record: FileRecord,
    staging: Path,
    *,
    on_progress: CountCallback | None = None,
) -> ServedFile:
    """
    Write the server's version of a parquet file to *staging*, with the unchanged row groups of *path*.

    Args:
        client: Client of the API.
        filename: Name on the server.
        path: The version on disk.
        record: Its record.
        staging: Path of the new version.
        on_progress: Called with bytes done and bytes in all; bytes copied from *path* count as done.

    Returns:
        The version that was written.

    Raises:
        Unsuited: No row group can be kept, the server does not serve ranges, or its file changed during the download.
        NumeraiUnavailable: The connection broke.
    """
    source = Ranges(client, filename)
    remote = source.footer()
    try:
        local = pq.read_metadata(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Unsuited(str(error)) from None
    kept = _kept(local, remote)
    begin = _start(remote.row_group(kept))
    copied = [_Copied(begin=0, end=begin, place=0), *_moved_features(local, remote, kept)]
    # Its last pieces hold the footer, and bytes of pieces that are digested anew.
    if record.pieces and not record.holds(path, begin - 1):
        raise Unsuited("the file at hand was damaged since its last check")
    staging.unlink(missing_ok=True)
    _compare(source, path, copied)
    end = source.size - len(source.end)
    with path.open("rb") as old, staging.open("wb") as new:
        for one, following in pairwise([*copied, _Copied(begin=end, end=end, place=0)]):
            _copy(old, new, one)
            for piece in source.read(one.end, following.begin) if one.end < following.begin else ():
                new.write(piece)
                if on_progress is not None:
                    on_progress(new.tell(), source.size)
        new.write(source.end)
        new.flush()
        os.fsync(new.fileno())
        done = new.tell()
    if done != source.size:
        raise Unsuited(f"{done} of {source.size} bytes")
    return ServedFile(size=source.size, etag=source.etag, kept=begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copied:
    """
    Bytes of the server's version that the version on disk has too.

    Attributes:
        begin: First byte in the server's version.
        end: Byte after the last one.
        place: First byte in the version on disk.
    """

    begin: int
    end: int
    place: int


def _moved_features(local: pq.FileMetaData, remote: pq.FileMetaData, first: int) -> list[_Copied]:
    """
    Return the features of row groups whose other columns alone differ, in the order of their bytes.

    Args:
        local: Footer of the version on disk.
        remote: Footer of the server's version.
        first: Number of the first row group that differs.
    """
    found: list[_Copied] = []
    for index in range(first, min(local.num_row_groups, remote.num_row_groups)):
        ours, theirs = local.row_group(index), remote.row_group(index)
        if (ours.num_rows, ours.num_columns) != (theirs.num_rows, theirs.num_columns):
            continue
        chunks = [(ours.column(column), theirs.column(column)) for column in range(theirs.num_columns)]
        features = [pair for pair in chunks if pair[1].path_in_schema.startswith(FEATURE_PREFIX)]
        if not all(_is_same_chunk(*pair) for pair in features):
            continue
        for one, other in features:
            start, place = chunk_start(other), chunk_start(one)
            size = other.total_compressed_size
            before = found[-1] if found else None
            if before is not None and (before.end, before.place + before.end - before.begin) == (start, place):
                found[-1] = replace(before, end=start + size)
            else:
                found.append(_Copied(begin=start, end=start + size, place=place))
    places = [byte for one in found for byte in (one.begin, one.end)]
    return found if places == sorted(places) else []


def _is_same_chunk(one: pq.ColumnChunkMetaData, other: pq.ColumnChunkMetaData) -> bool:
    """Return whether the footers describe the same values of a column, wherever they are in the file."""
    names = (
        "path_in_schema",
        "num_values",
        "total_compressed_size",
        "total_uncompressed_size",
        "compression",
        "encodings",
    )
    same = all(getattr(one, name) == getattr(other, name) for name in names)
    return same and one.statistics == other.statistics


def _kept(local: pq.FileMetaData, remote: pq.FileMetaData) -> int:
    """Return the number of leading row groups that are the same in both footers, at least one and fewer than remote."""
    same = 0
    for index in range(min(local.num_row_groups, remote.num_row_groups)):
        if not local.row_group(index).equals(remote.row_group(index)):
            break
        same += 1
    if same in (0, remote.num_row_groups):
        raise Unsuited("no row group is new" if same else "no row group to keep")
    return same


def _start(group: pq.RowGroupMetaData) -> int:
    """Return the offset of a row group's first byte."""
    return min(chunk_start(group.column(index)) for index in range(group.num_columns))


def _compare(source: Ranges, path: Path, copied: Sequence[_Copied]) -> None:
    """Compare a sample of the copied bytes with the server's; the offsets depend on the file's size."""
    random = np.random.default_rng(source.size)
    whole, moved = copied[0], copied[1:]
    probed = [whole] * SPANS + [
        moved[index] for index in random.integers(0, len(moved), size=MOVED_SPANS if moved else 0)
    ]
    with path.open("rb") as file:
        for one in probed:
            begin = int(random.integers(one.begin, max(one.end - SPAN, one.begin + 1)))
            file.seek(one.place + begin - one.begin)
            ours = file.read(min(SPAN, one.end - begin))
            if b"".join(source.read(begin, begin + len(ours))) != ours:
                raise Unsuited("kept row groups have other bytes on the server")


def _copy(old: IO[bytes], new: IO[bytes], one: _Copied) -> None:
    """Copy bytes inside the kernel to the end of the new version."""
    new.flush()
    done, size = 0, one.end - one.begin
    while done < size:
        sent = os.sendfile(new.fileno(), old.fileno(), one.place + done, size - done)
        if sent == 0:
            raise Unsuited("the file at hand ends early")
        done += sent
    new.seek(one.end)
