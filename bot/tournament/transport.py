"""
HTTP with deadlines, instead of the requests that numerapi makes.

Every exchange has one deadline from connecting to the last byte (:mod:`bot.tournament._deadline`). While a round is open,
an exchange takes at most a tenth of the time that is left. TLS certificates are always verified. Every failure is a typed
error that names the server's status, without the query of a presigned URL and without the key.
"""

import math
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from bot.errors import NumeraiUnavailable
from bot.tournament._deadline import Deadline, WatchedAdapter
from bot.tournament._network_settings import NoAuth, Unusable, check_proxy, trusted_certificates, web_address

CONNECT_S, READ_S = 10.0, 60.0
EXCHANGE_S = 60.0
"""Seconds for a whole GraphQL exchange, and for a download until its first byte."""

TRANSFER_S = 6 * 3600.0
"""Seconds for the whole download of one file."""

UPLOAD_S = 120.0
SHARE, COMMIT_SHARE = 0.1, 0.3
"""
Largest share of an open round's rest that an exchange may take; a mutation may take more, because Numerai checks a file
for up to 20 seconds before it answers, and giving up does not undo it.
"""

LEAST_S = 3.0
"""Seconds that an exchange may always take: a slow handshake and one repetition of a lost packet."""

SLOWEST = 16 << 10
"""Bytes a second below which a download is begun again: a live file of 13 MB would take over 13 minutes."""

PACE_S = 10.0
"""Seconds over which the speed of a download is measured; less where a round closes soon."""

HASTE = 1 / 3
"""Share of an open round's rest in which a download must be expected to end, except on its last try."""

CHUNK = 1 << 20
"""Bytes of the largest chunk of a response."""

ANSWER_BYTES = 32 << 20
"""Most bytes of a GraphQL answer: 150 rounds of 64 days of 10 scores are 16 MB."""

EXPANSION = 100
"""Most bytes of a downloaded file for a byte of its compressed form; ``features.json`` has 10, a bomb has 1,000."""

REDIRECTS = 5
"""Most redirects that are followed."""

REDIRECTING = (301, 302, 303, 307, 308)
KEEPING = (307, 308)
"""Statuses of redirects, and of those after which method and content stay the same."""

REFUSALS = (400, 401, 403, 404, 410, 416)
"""Statuses with which a storage refuses a request: it answers 403 for a file that does not exist."""

COMPRESSED = ("gzip", "x-gzip", "deflate")
PLAIN = ("", "identity", "aws-chunked", "utf-8", "binary")
"""Names of encodings that are understood; storage keeps the last three as some tools write them, and they change no byte."""

YEARS = range(2020, 2100)
"""Years of a plausible ``Date`` header."""


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


class _Session(requests.Session):
    """Proxies and certificates of the environment, but no ``.netrc``, and redirects that :class:`Transport` follows."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = NoAuth()
        self.headers["Accept-Encoding"] = "identity"
        for scheme in ("http://", "https://"):
            self.mount(scheme, WatchedAdapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target: requests would read the whole body of a redirect, however long it is."""


class Transport:
    """
    One HTTP session, and a clock that follows the server's.

    Args:
        connect_s: Seconds for connecting.
        read_s: Seconds for one read.
        exchange_s: Seconds for a whole GraphQL exchange.
    """

    def __init__(self, *, connect_s: float = CONNECT_S, read_s: float = READ_S, exchange_s: float = EXCHANGE_S) -> None:
        self._session = _Session()
        self._connect_s, self._read_s, self._exchange_s = connect_s, read_s, exchange_s
        self._server: tuple[datetime, float] | None = None
        self._closes_at: datetime | None = None

    def server_now(self) -> datetime | None:
        """Return the time of the server's last response plus the monotonic time since; ``None`` before the first one."""
        if self._server is None:
            return None
        time_then, monotonic_then = self._server
        return time_then + timedelta(seconds=time.monotonic() - monotonic_then)

    def hurry(self, closes_at: datetime) -> None:
        """Shorten the limits as *closes_at*, the close of the open round, comes nearer; after it they are as before."""
        self._closes_at = closes_at

    def limit_s(self, longest: float, share: float = SHARE) -> float:
        """Return the seconds that one step may take: *longest*, or less where the open round closes soon."""
        rest = self._rest_s()
        return longest if rest is None else min(longest, max(LEAST_S, rest * share))

    def post(
        self,
        url: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        *,
        share: float = SHARE,
        first_s: float | None = None,
    ) -> Answer:
        """
        Send one GraphQL request and return the response, whatever its status is.

        Args:
            url: URL of the API.
            body: Content of the request, sent as JSON.
            headers: Headers; a key in them stays with the host of *url*.
            share: Largest share of an open round's rest that the exchange may take.
            first_s: Seconds that the exchange may take while no close is known; ``None`` for the limit of every exchange.

        Raises:
            NumeraiUnavailable: There is no response in time, or it is too long.
        """
        longest = self._exchange_s
        if first_s is not None and self._rest_s() is None:
            longest = min(longest, first_s)
        with self._exchange("POST", url, self.limit_s(longest, share), json=body, headers=headers) as reply:
            self._set_clock(reply.response)
            return reply.answer()

    @contextmanager
    def download(
        self, url: str, headers: Mapping[str, str] | None = None, *, is_last: bool = False
    ) -> Iterator[Download]:
        """
        Open a download; it is closed with the context.

        Args:
            url: Presigned URL.
            headers: Headers of the request.
            is_last: Whether no other try follows: then any speed above ``SLOWEST`` is accepted.

        Raises:
            NumeraiUnavailable: The storage refuses, breaks off or sends too slowly. It returns 403 for a file that does
                not exist.
        """
        with self._exchange("GET", url, self.limit_s(self._exchange_s), headers=dict(headers or {})) as reply:
            if reply.response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise reply.answer().failure(REFUSALS)
            pace = _Pace(
                place=reply.place,
                span_s=self.limit_s(PACE_S),
                rest_s=None if is_last else self._rest_s(),
                left=reply.length,
            )
            yield Download(
                status=reply.response.status_code,
                headers=reply.response.headers,
                length=reply.length,
                compressed=reply.encoding is not None,
                chunks=reply.paced(pace),
            )

    def upload(self, url: str, content: bytes) -> None:
        """
        PUT *content* to a presigned URL.

        Raises:
            NumeraiUnavailable: The storage returned an error status or no response.
        """
        with self._exchange("PUT", url, self.limit_s(UPLOAD_S), data=content) as reply:
            answer = reply.answer()
        if not answer.is_ok:
            raise answer.failure()

    def _rest_s(self) -> float | None:
        """Return the seconds until the open round closes; ``None`` where none is open."""
        now = self.server_now()
        if self._closes_at is None or now is None or now >= self._closes_at:
            return None
        return (self._closes_at - now).total_seconds()

    @contextmanager
    def _exchange(
        self,
        method: str,
        url: str,
        limit_s: float,
        **content: Any,  # noqa: ANN401 - passed on to requests
    ) -> Iterator["_Reply"]:
        """Send a request and yield the response."""
        with Deadline(limit_s) as deadline:
            try:
                response = self._send(method, url, deadline, limit_s, **content)
                with response:
                    yield _Reply(response=response, deadline=deadline, place=_place(response.url))
            except BaseException:  # whatever it was, the state of the connection is unknown: the next one is new
                self._session.close()
                raise

    def _send(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        limit_s: float,
        *,
        headers: Mapping[str, str] | None = None,
        **content: Any,  # noqa: ANN401 - passed on to requests
    ) -> requests.Response:
        """Send a request and follow redirects; return the response with its body unread."""
        for _ in range(REDIRECTS + 1):
            try:
                place = _place(web_address(url))
            except Unusable as problem:
                raise NumeraiUnavailable(f"the server named a URL that cannot be used: {problem}") from None
            check_proxy(url)
            verify = trusted_certificates()
            limits = (min(self._connect_s, limit_s), min(self._read_s, limit_s))
            try:
                with deadline.applied():
                    response = self._session.request(
                        method, url, headers=headers, stream=True, allow_redirects=False, verify=verify, timeout=limits,
                        **content,
                    )  # fmt: skip
            except Exception as error:  # noqa: BLE001 - answers that break HTTP raise ValueError, UnicodeError and others
                if deadline.expired:
                    raise NumeraiUnavailable(f"{place} did not answer within {limit_s:.0f} seconds") from None
                raise NumeraiUnavailable(f"{place} did not answer: {type(error).__name__}") from None
            location = response.headers.get("Location")
            if location is None or response.status_code not in REDIRECTING:
                return response
            with response:
                url = _redirected(method, url, response, with_key="Authorization" in (headers or {}))
        raise NumeraiUnavailable(f"{place} redirects more than {REDIRECTS} times")

    def _set_clock(self, response: requests.Response) -> None:
        """Set the server's clock from the ``Date`` header, whose resolution is one second."""
        try:
            date = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError, TypeError, IndexError, OverflowError):  # the parser of emails raises all of them
            return
        # A time without a zone is UTC. A year out of range overflows when seconds are added, and no clock shows it.
        if response.ok and date.year in YEARS:
            zoned = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
            self._server = (zoned, time.monotonic())


@dataclass(kw_only=True)
class _Pace:
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
class _Reply:
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

    def paced(self, pace: _Pace) -> Iterator[bytes]:
        """Yield the body piece by piece, decompressed."""
        if self.encoding is None:
            return self._paced_pieces(pace)
        return self._decompressed(self._paced_pieces(pace), lambda came: CHUNK + EXPANSION * came)

    def _pieces(self) -> Iterator[bytes]:
        while piece := self._read():
            yield piece

    def _paced_pieces(self, pace: _Pace) -> Iterator[bytes]:
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
        except Exception as error:  # noqa: BLE001 - as in Transport._send
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


def _redirected(method: str, url: str, response: requests.Response, *, with_key: bool) -> str:
    """
    Return the URL to which a response redirects.

    Raises:
        NumeraiUnavailable: The request must not follow.
    """
    place = _place(url)
    try:
        target = web_address(urljoin(url, response.headers["Location"]))
    except ValueError:
        raise NumeraiUnavailable(f"{place} redirects to something that is no URL") from None
    old, new = urlsplit(url), urlsplit(target)
    if old.scheme == "https" != new.scheme:
        raise NumeraiUnavailable(f"{place} redirects to an address without TLS", is_refusal=True)
    if method != "GET" and response.status_code not in KEEPING:
        raise NumeraiUnavailable(
            f"{place} answered {response.status_code}, a redirect that loses the request", is_refusal=True
        )
    upgraded = (old.scheme, old.port, new.scheme, new.port) == ("http", None, "https", None)
    if with_key and (
        old.hostname != new.hostname or ((old.scheme, old.port) != (new.scheme, new.port) and not upgraded)
    ):
        raise NumeraiUnavailable(
            f"{place} redirects to {new.netloc}, where the API key must not go; see BOT_API_URL", is_refusal=True
        )
    return target


def _window_bits(first: bytes) -> int:
    """Return the argument with which zlib reads a body, by its first bytes."""
    # 47 reads gzip and zlib. Some servers send `deflate` without the header of zlib, whose method is 8.
    headless = first[:1] != b"\x1f" and first[0] & 0x0F != zlib.DEFLATED
    return -zlib.MAX_WBITS if headless else 47


def _whole(header: str | None) -> int | None:
    """Return the whole number of a header, ``None`` where it is absent or something else, such as ``²``."""
    return int(header) if header is not None and re.fullmatch(r"[0-9]{1,15}", header.strip()) else None


def _place(url: str) -> str:
    """Return host and path of a URL, without its query, which may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"
