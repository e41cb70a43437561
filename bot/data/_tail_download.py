"""
Fetch only what a growing parquet file has new: the row groups after those that are the same as before.

Numerai replaces ``validation.parquet`` every week: the last eras get targets, and new eras follow. Row groups whose
description in the footer is the same, column by column with sizes and statistics, are taken from the file at hand;
some of their bytes are fetched all the same and compared. Whatever is unexpected makes the caller fetch the whole.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient

MAGIC = b"PAR1"
GUESS = 1 << 16
"""Bytes of the end that are asked for first; the footer of 3,600 columns takes megabytes and a second request."""

SPANS, SPAN = 6, 1 << 15
"""Pieces of the kept part that are compared with the server's, and the bytes of each."""


class Unsuited(Exception):
    """The file cannot be completed from what is at hand; it has to be fetched whole."""


def fetch_tail(
    client: NumeraiClient, filename: str, path: Path, staging: Path, *, on_progress: CountCallback | None = None
) -> tuple[int, str]:
    """
    Write the server's version of a parquet file to *staging*, with the unchanged row groups of *path*.

    Args:
        client: Of the API.
        filename: As the server names it.
        path: The version at hand, sound.
        staging: Where the new version is put together.
        on_progress: Called with the progress; what is taken from *path* counts as done.

    Returns:
        Size of the new version, and its ETag.

    Raises:
        Unsuited: Nothing can be kept, the server does not answer ranges, or its file changed meanwhile.
        NumeraiUnavailable: The server broke off.
    """
    source = _Ranges(client, filename)
    remote = source.footer()
    try:
        local = pq.read_metadata(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Unsuited(str(error)) from None
    same = 0
    for index in range(min(local.num_row_groups, remote.num_row_groups)):
        if not local.row_group(index).equals(remote.row_group(index)):
            break
        same += 1
    if same in (0, remote.num_row_groups):
        raise Unsuited("no row group is new" if same else "no row group to keep")
    begin = _start(remote.row_group(same))
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
    return source.size, source.etag


class _Ranges:
    """Ranges of one version of a file on the server; ``end`` is its footer."""

    def __init__(self, client: NumeraiClient, filename: str) -> None:
        self._client, self._filename = client, filename
        self.size, self.etag, self.end = 0, "", b""

    def footer(self) -> pq.FileMetaData:
        """Return the server's footer; from here on only the same version is read."""
        with self._client.download(self._filename, {"Range": f"bytes=-{GUESS}"}) as (response, pieces):
            content_range = response.headers.get("Content-Range", "")
            self.etag = response.headers.get("ETag", "")
            if response.status_code != 206 or not self.etag or not content_range.rpartition("/")[2].isdigit():
                raise Unsuited("the server does not answer ranges")
            self.size = int(content_range.rpartition("/")[2])
            end = b"".join(pieces)
        length = int.from_bytes(end[-8:-4], "little") + 8
        if end[-4:] != MAGIC or length > self.size:
            raise Unsuited("the server's file has no footer")
        if length > len(end):
            end = b"".join(self.read(self.size - length, self.size))
        self.end = end[-length:]
        try:
            return pq.read_metadata(pa.BufferReader(MAGIC + self.end))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise Unsuited(str(error)) from None

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from *begin* up to *end* piece by piece."""
        headers = {"Range": f"bytes={begin}-{end - 1}", "If-Range": self.etag}
        with self._client.download(self._filename, headers) as (response, pieces):
            if response.status_code != 206 or response.headers.get("ETag") != self.etag:
                raise Unsuited("the server's file changed meanwhile")
            yield from pieces


def _start(group: pq.RowGroupMetaData) -> int:
    """Return the first byte of a row group."""
    columns = (group.column(index) for index in range(group.num_columns))
    offsets = (
        column.data_page_offset if column.dictionary_page_offset is None else column.dictionary_page_offset
        for column in columns
    )
    return int(min(offsets))


def _compare(source: _Ranges, path: Path, end: int) -> None:
    """Compare some of the kept bytes with the server's, at places that differ from file to file."""
    random = np.random.default_rng(source.size)
    with path.open("rb") as file:
        for begin in random.integers(0, max(end - SPAN, 1), size=SPANS).tolist():
            file.seek(begin)
            ours = file.read(min(SPAN, end - begin))
            if b"".join(source.read(begin, begin + len(ours))) != ours:
                raise Unsuited("kept row groups have other bytes on the server")


def _copy(old: IO[bytes], new: IO[bytes], size: int) -> None:
    """Copy the first *size* bytes, inside the kernel."""
    done = 0
    while done < size:
        sent = os.sendfile(new.fileno(), old.fileno(), done, size - done)
        if sent == 0:
            raise Unsuited("the file at hand ends early")
        done += sent
    new.seek(size)
