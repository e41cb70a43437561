"""
Download only the new part of a parquet file that grows: the row groups after those that are unchanged.

Numerai replaces ``validation.parquet`` every week: the last eras get targets, and new eras follow. Row groups whose
footer entry is the same, with the sizes and statistics of every column, are copied from the file on disk; a sample of
their bytes is downloaded and compared. If anything is unexpected, the caller downloads the whole file.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.parquet_columns import HISTORY
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient

MAGIC = b"PAR1"
GUESS = 1 << 16
"""Bytes of the file's end that are requested first. A footer of 3,600 columns takes megabytes and a second request."""

SPANS, SPAN = 6, 1 << 15
"""Number of pieces of the kept part that are compared with the server's, and bytes of each piece."""


class Unsuited(Exception):
    """The file cannot be completed from the file on disk; it has to be downloaded whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """
    A version of a file on the server.

    Attributes:
        size: Size in bytes.
        etag: ETag of the version.
    """

    size: int
    etag: str


def fetch_tail(
    client: NumeraiClient, filename: str, path: Path, staging: Path, *, on_progress: CountCallback | None = None
) -> ServedFile:
    """
    Write the server's version of a parquet file to *staging*, with the unchanged row groups of *path*.

    Args:
        client: Client of the API.
        filename: Name on the server.
        path: The verified version on disk.
        staging: Path of the new version.
        on_progress: Called with bytes done and bytes in all; bytes copied from *path* count as done.

    Returns:
        The version that was written.

    Raises:
        Unsuited: No row group can be kept, the server does not serve ranges, or its file changed during the download.
        NumeraiUnavailable: The connection broke.
    """
    source = _Ranges(client, filename)
    remote = source.footer()
    try:
        local = pq.read_metadata(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Unsuited(str(error)) from None
    begin = _start(remote.row_group(_kept(local, remote)))
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
    return ServedFile(size=source.size, etag=source.etag)


class _Ranges:
    """
    Ranges of one version of a file on the server.

    Attributes:
        size: Size in bytes, after :meth:`footer`.
        etag: ETag of the version, after :meth:`footer`.
        end: Bytes of the footer with its length and magic, after :meth:`footer`.
    """

    def __init__(self, client: NumeraiClient, filename: str) -> None:
        self._client, self._filename = client, filename
        self.size, self.etag, self.end = 0, "", b""

    def footer(self) -> pq.FileMetaData:
        """
        Download the server's footer; later reads are of the same version.

        Raises:
            Unsuited: The server does not serve ranges, or the file has no footer.
        """
        with self._client.download(self._filename, {"Range": f"bytes=-{GUESS}"}) as download:
            content_range = download.headers.get("Content-Range", "")
            self.etag = download.headers.get("ETag", "")
            size = re.fullmatch(r"bytes [0-9]{1,15}-[0-9]{1,15}/([0-9]{1,15})", content_range)
            is_part = download.status == HTTPStatus.PARTIAL_CONTENT and not download.compressed
            if size is None or not is_part or not self.etag or (download.length or GUESS + 1) > GUESS:
                raise Unsuited("the server does not answer ranges")
            self.size = int(size[1])
            end = b"".join(download.chunks)
        length = int.from_bytes(end[-8:-4], "little") + 8
        if end[-4:] != MAGIC or length > min(self.size, HISTORY.footer):
            raise Unsuited("the server's file has no footer that could be read")
        if length > len(end):
            end = b"".join(self.read(self.size - length, self.size))
        self.end = end[-length:]
        try:
            return pq.read_metadata(pa.BufferReader(MAGIC + self.end))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise Unsuited(str(error)) from None

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        """
        Yield the bytes from *begin* up to *end* piece by piece.

        Raises:
            Unsuited: The server has another version of the file now.
        """
        headers = {"Range": f"bytes={begin}-{end - 1}", "If-Range": self.etag}
        with self._client.download(self._filename, headers) as download:
            is_part = download.status == HTTPStatus.PARTIAL_CONTENT and not download.compressed
            if not is_part or download.headers.get("ETag") != self.etag or download.length != end - begin:
                raise Unsuited("the server's file changed meanwhile")
            yield from download.chunks


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
    columns = (group.column(index) for index in range(group.num_columns))
    offsets = (
        column.data_page_offset if column.dictionary_page_offset is None else column.dictionary_page_offset
        for column in columns
    )
    return int(min(offsets))


def _compare(source: _Ranges, path: Path, end: int) -> None:
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
