"""
HTTP with deadlines, instead of the requests that numerapi makes.

Every exchange has one deadline from connecting to the last byte (:mod:`bot.tournament._deadline`). While a round is open,
an exchange takes at most a tenth of the time that is left. TLS certificates are always verified. Every failure is a typed
error that names the server's status, without the query of a presigned URL and without the key.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from bot.errors import NumeraiUnavailable, RefuseToSubmit
from bot.tournament._deadline import Deadline, WatchedAdapter
from bot.tournament._network_settings import NoAuth, Unusable, check_proxy, trusted_certificates, web_address
from bot.tournament._reply import Answer, Download, Pace, Reply

CONNECT_S, READ_S = 10.0, 60.0
EXCHANGE_S = 60.0
"""Seconds for a whole GraphQL exchange, and for a download until its first byte."""

UPLOAD_S = 120.0
SLOWEST_UPLOAD = 128 << 10
"""Seconds for an upload, and the bytes a second that a large file may take in addition: a pickle may have 100 MB."""

SHARE, COMMIT_SHARE = 0.1, 0.3
"""
Largest share of an open round's rest that an exchange may take; a mutation may take more, because Numerai checks a file
for up to 20 seconds before it answers, and giving up does not undo it.
"""

LEAST_S = 3.0
"""Seconds that an exchange may always take: a slow handshake and one repetition of a lost packet."""

PACE_S = 10.0
"""Seconds over which the speed of a download is measured; less where a round closes soon."""

REDIRECTS = 5
"""Most redirects that are followed."""

REDIRECTING = (301, 302, 303, 307, 308)
KEEPING = (307, 308)
"""Statuses of redirects, and of those after which method and content stay the same."""

REFUSALS = (400, 401, 403, 404, 410, 416)
"""Statuses with which a storage refuses a request: it answers 403 for a file that does not exist."""

YEARS = range(2020, 2100)
"""Years of a plausible ``Date`` header."""


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
            pace = Pace(
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

    def upload(self, url: str, content: bytes, *, in_proportion: bool = False) -> None:
        """
        PUT *content* to a presigned URL.

        Args:
            url: Presigned URL.
            content: The file.
            in_proportion: Whether a large file may take longer than a submission.

        Raises:
            NumeraiUnavailable: The storage returned an error status or no response.
            RefuseToSubmit: The file is too large for the storage.
        """
        longest = UPLOAD_S + (len(content) / SLOWEST_UPLOAD if in_proportion else 0.0)
        with self._exchange("PUT", url, self.limit_s(longest), data=content) as reply:
            answer = reply.answer()
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or b"EntityTooLarge" in answer.content:
            size = f"{len(content) / 1e6:,.1f} MB"
            raise RefuseToSubmit(f"{answer.place} takes no file of {size} (status {answer.status}); it must be smaller")
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
    ) -> Iterator[Reply]:
        """Send a request and yield the response."""
        with Deadline(limit_s) as deadline:
            try:
                response = self._send(method, url, deadline, limit_s, **content)
                with response:
                    yield Reply(response=response, deadline=deadline, place=_place(response.url))
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


def _place(url: str) -> str:
    """Return host, port and path of a URL, without its query, which may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.hostname}{'' if parts.port is None else f':{parts.port}'}{parts.path}"
