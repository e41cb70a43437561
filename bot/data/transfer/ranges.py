"""
Read ranges of one version of a parquet file on the server; its footer says where every column chunk is.

Every range is requested with the ETag of the footer (``If-Range``), and an answer that is not exactly this range of this
version is refused.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus

import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.parquet_columns import HISTORY
from bot.errors import NumeraiUnavailable
from bot.tournament.client import NumeraiClient

MAGIC = b"PAR1"
GUESS = 1 << 16
"""Bytes of the file's end that are requested first. A footer of 3,600 columns takes megabytes and a second request."""


class Unsuited(Exception):
    """The file cannot be read by ranges; it has to be downloaded whole."""


class Ranges:
    """
    Ranges of one version of a file on the server.

    Attributes:
        size: Size in bytes, after :meth:`footer`.
        etag: ETag of the version, after :meth:`footer`.
        end: Bytes of the footer with its length and magic, after :meth:`footer`.
    """

    def __init__(self, client: NumeraiClient, filename: str) -> None:
        self._client, self._filename, self._url = client, filename, ""
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
        Yield the bytes from *begin* up to *end* piece by piece. Reads share one presigned URL until it expires.

        Raises:
            Unsuited: The server has another version of the file now.
        """
        headers = {"Range": f"bytes={begin}-{end - 1}", "If-Range": self.etag}
        is_new = not self._url
        try:
            self._url = self._url or self._client.address(self._filename)
            with self._client.download(self._filename, headers, url=self._url) as download:
                is_part = download.status == HTTPStatus.PARTIAL_CONTENT and not download.compressed
                served = download.headers.get("ETag"), download.headers.get("Content-Range")
                asked = self.etag, f"bytes {begin}-{end - 1}/{self.size}"
                if not is_part or served != asked or download.length != end - begin:
                    raise Unsuited("the server's file changed meanwhile")
                yield from download.chunks
        except NumeraiUnavailable as error:
            self._url = ""
            if is_new or not error.is_refusal:
                raise
            yield from self.read(begin, end)  # refused before the first byte: the URL's time is over


def chunk_start(chunk: pq.ColumnChunkMetaData) -> int:
    """Return the offset of a column chunk's first byte."""
    dictionary = chunk.dictionary_page_offset
    return int(chunk.data_page_offset if dictionary is None else dictionary)
