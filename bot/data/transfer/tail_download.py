"""
Download only the new part of a parquet file that grows: the row groups after those that are unchanged.

Numerai replaces ``validation.parquet`` every week: the last eras get targets, and new eras follow. Row groups whose
footer entry is the same, with the sizes and statistics of every column, are copied from the file on disk; a sample of
their bytes is downloaded and compared. If anything is unexpected, the caller downloads the whole file.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.file_record import FileRecord
from bot.data.transfer.ranges import Ranges, Unsuited, chunk_start
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient

SPANS, SPAN = 6, 1 << 15
"""Number of pieces of the kept part that are compared with the server's, and bytes of each piece."""


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
    begin = _start(remote.row_group(_kept(local, remote)))
    if record.pieces and not record.holds(path, begin - 1, begin):
        raise Unsuited("the file at hand was damaged since its last check")  # a piece of both versions is digested anew
    staging.unlink(missing_ok=True)
    _compare(source, path, begin)
    with path.open("rb") as old, staging.open("wb") as new:
        _copy(old, new, begin)
        done = begin
        for piece in source.read(begin, source.size - len(source.end)):
            new.write(piece)
            done += len(piece)
            if on_progress is not None:
                on_progress(done, source.size)
        new.write(source.end)
        done += len(source.end)
        new.flush()
        os.fsync(new.fileno())
    if done != source.size:
        raise Unsuited(f"{done} of {source.size} bytes")
    return ServedFile(size=source.size, etag=source.etag, kept=begin)


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


def _compare(source: Ranges, path: Path, end: int) -> None:
    """Compare a sample of the kept bytes with the server's; the offsets depend on the file's size."""
    random = np.random.default_rng(source.size)
    with path.open("rb") as file:
        for begin in random.integers(0, max(end - SPAN, 1), size=SPANS).tolist():
            file.seek(begin)
            ours = file.read(min(SPAN, end - begin))
            if b"".join(source.read(begin, begin + len(ours))) != ours:
                raise Unsuited("kept row groups have other bytes on the server")


def _copy(old: IO[bytes], new: IO[bytes], size: int) -> None:
    """Copy the first *size* bytes inside the kernel."""
    done = 0
    while done < size:
        sent = os.sendfile(new.fileno(), old.fileno(), done, size - done)
        if sent == 0:
            raise Unsuited("the file at hand ends early")
        done += sent
    new.seek(size)
