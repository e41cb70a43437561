"""
Read the body of a response within limits of time, speed and size, and without a compression that nobody asked for.

Whatever the server sends, a failure is :class:`~bot.errors.NumeraiUnavailable`.
"""

import math
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import requests

from bot.errors import NumeraiUnavailable
from bot.tournament._deadline import Deadline

TRANSFER_S = 6 * 3600.0
"""Seconds for the whole download of one file."""

SLOWEST = 16 << 10
"""Bytes a second below which a download is begun again: a live file of 13 MB would take over 13 minutes."""

HASTE = 1 / 3
"""Share of an open round's rest in which a download must be expected to end, except on its last try."""

CHUNK = 1 << 20
"""Bytes of the largest chunk of a response."""

ANSWER_BYTES = 32 << 20
"""Most bytes of a GraphQL answer: 150 rounds of 64 days of 10 scores are 16 MB."""

EXPANSION = 100
"""Most bytes of a downloaded file for a byte of its compressed form; ``features.json`` has 10, a bomb has 1,000."""

COMPRESSED = ("gzip", "x-gzip", "deflate")
PLAIN = ("", "identity", "aws-chunked", "utf-8", "binary")
"""Names of encodings that are understood; storage keeps the last three as some tools write them, and they change no byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    A complete response.

    Attributes:
        status: HTTP status.
        place: Host and path of the URL, for messages.
        reason: Reason that the server gives with the status.
        content: The body.
        retry_after_s: Seconds that the server wants the client to wait; ``None`` if it named none.
    """

    status: int
    place: str
    reason: str
    content: bytes
    retry_after_s: float | None

    @property
    def is_ok(self) -> bool:
        """Return whether the request succeeded."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def failure(self, refusals: Sequence[int] = ()) -> NumeraiUnavailable:
        """Return the error of a status that is no success; one of *refusals* is the same when it is sent again."""
        return NumeraiUnavailable(
            f"{self.place} answered {self.status} {self.reason}",
            retry_after_s=self.retry_after_s,
            is_refusal=self.status in refusals,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """
    A download that has begun.

    Attributes:
        status: HTTP status, 200 or 206.
        headers: Headers of the response; the case of names does not matter.
        length: Bytes that the server announces; ``None`` if it does not.
        compressed: Whether the server compressed the file, unasked. Then *length* is that of the compressed form, and
            *chunks* checks that the file is complete.
        chunks: The body as it arrives, decompressed; each chunk may raise NumeraiUnavailable.
    """

    status: int
    headers: Mapping[str, str]
    length: int | None
    compressed: bool
    chunks: Iterator[bytes]


@dataclass(kw_only=True)
class Pace:
    """
    The speed of a download.

    Attributes:
        place: Host and path, for messages.
        span_s: Seconds over which the speed is measured.
        rest_s: Seconds until the open round closes; ``None`` where the download may take any time.
        left: Bytes that are still to come; ``None`` if that is not known.
    """

    place: str
    span_s: float
    rest_s: float | None
    left: int | None
    _bytes: int = 0
    _seconds: float = 0.0
    _waited_s: float = 0.0

    def add(self, size: int, seconds: float) -> None:
        """
        Count what arrived after waiting for it for *seconds*.

        Raises:
            NumeraiUnavailable: The download is too slow.
        """
        self._bytes += size
        self._seconds += seconds
        self._waited_s += seconds
        if self.left is not None:
            self.left -= size
        if self._seconds < self.span_s or self.left == 0:
            return
        needed = float(SLOWEST)
        if self.rest_s is not None and self.left is not None:
            allowed_s = self.rest_s * HASTE - self._waited_s
            needed = max(needed, self.left / allowed_s if allowed_s > 0 else math.inf)
        speed = self._bytes / self._seconds
        if speed < needed:
            raise NumeraiUnavailable(f"{self.place} sent too slowly and was given up: {speed:,.0f} bytes a second")
        self._bytes, self._seconds = 0, 0.0


@dataclass(kw_only=True)
class Reply:
    """
    A response whose body is read under a deadline.

    Attributes:
        response: The response.
        deadline: Deadline of its connection.
        place: Host and path, for messages.
        length: Bytes of the body as the server announces them; ``None`` if it does not.
        encoding: Compression of the body; ``None`` for none.
    """

    response: requests.Response
    deadline: Deadline
    place: str
    length: int | None = field(init=False)
    encoding: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.length = _whole(self.response.headers.get("Content-Length"))
        named = self.response.headers.get("Content-Encoding", "").strip().lower()
        if named not in (*COMPRESSED, *PLAIN):
            raise NumeraiUnavailable(f"{self.place} sent an answer in the unknown encoding {named[:20]!r}")
        self.encoding = named if named in COMPRESSED else None

    def answer(self) -> Answer:
        """Return the response with its whole body."""
        retry_after = _whole(self.response.headers.get("Retry-After"))
        return Answer(
            status=self.response.status_code,
            place=self.place,
            reason=str(self.response.reason)[:80],
            content=b"".join(self._decompressed(self._pieces(), lambda _: ANSWER_BYTES)),
            retry_after_s=None if retry_after is None else float(retry_after),
        )

    def paced(self, pace: Pace) -> Iterator[bytes]:
        """Yield the body piece by piece, decompressed."""
        if self.encoding is None:
            return self._paced_pieces(pace)
        return self._decompressed(self._paced_pieces(pace), lambda came: CHUNK + EXPANSION * came)

    def _pieces(self) -> Iterator[bytes]:
        while piece := self._read():
            yield piece

    def _paced_pieces(self, pace: Pace) -> Iterator[bytes]:
        ends = time.monotonic() + TRANSFER_S
        while True:
            self.deadline.move(2 * pace.span_s)
            began = time.monotonic()
            piece = self._read()
            pace.add(len(piece), time.monotonic() - began)
            if not piece:
                return
            if time.monotonic() > ends:
                raise NumeraiUnavailable(f"{self.place} sent too slowly and was given up")
            self.deadline.move(math.inf)  # the caller may take its time to write the piece
            yield piece

    def _read(self) -> bytes:
        """Return the next bytes of the body, none at its end."""
        try:
            piece: bytes = self.response.raw.read1(CHUNK) or b""
        except Exception as error:  # noqa: BLE001 - as in bot.tournament.transport
            if self.deadline.expired:
                raise NumeraiUnavailable(f"{self.place} sent too slowly and was given up") from None
            raise NumeraiUnavailable(f"{self.place} broke off: {type(error).__name__}") from None
        if self.deadline.expired:  # a body without a length seems to end where the connection is shut down
            raise NumeraiUnavailable(f"{self.place} sent too slowly and was given up")
        return piece

    def _decompressed(self, pieces: Iterator[bytes], most: Callable[[int], int]) -> Iterator[bytes]:
        """
        Yield a body without its compression, which a proxy may add although ``identity`` was requested.

        Args:
            pieces: The body.
            most: From the bytes that came to the most bytes that they may become.
        """
        inflate = None
        came = made = 0
        for piece in pieces:
            came += len(piece)
            if self.encoding is not None and inflate is None:
                inflate = zlib.decompressobj(wbits=_window_bits(piece))
            for part in (piece,) if inflate is None else self._inflated(inflate, piece):
                made += len(part)
                if made > most(came):
                    raise NumeraiUnavailable(f"{self.place} sent more than {most(came):,} bytes and was given up")
                yield part
        if self.encoding is not None and (inflate is None or not inflate.eof):
            raise NumeraiUnavailable(f"{self.place} broke off: its compressed answer is incomplete")

    def _inflated(self, inflate: "zlib._Decompress", piece: bytes) -> Iterator[bytes]:
        """Yield what compressed bytes become, no more than a chunk at a time."""
        part, rest = b"", piece
        while rest or len(part) == CHUNK:
            try:
                part = inflate.decompress(rest, CHUNK)
            except zlib.error:
                raise NumeraiUnavailable(f"{self.place} sent a damaged compressed answer") from None
            if inflate.unused_data:
                raise NumeraiUnavailable(f"{self.place} sent bytes after the end of its compressed answer")
            rest = inflate.unconsumed_tail
            yield part


def _window_bits(first: bytes) -> int:
    """Return the argument with which zlib reads a body, by its first bytes."""
    # 47 reads gzip and zlib. Some servers send `deflate` without the header of zlib, whose method is 8.
    headless = first[:1] != b"\x1f" and first[0] & 0x0F != zlib.DEFLATED
    return -zlib.MAX_WBITS if headless else 47


def _whole(header: str | None) -> int | None:
    """Return the whole number of a header, ``None`` where it is absent or something else, such as ``²``."""
    return int(header) if header is not None and re.fullmatch(r"[0-9]{1,15}", header.strip()) else None
