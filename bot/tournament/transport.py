"""
HTTP with deadlines, instead of the requests that numerapi makes.

Every request has a timeout per read and a limit for the whole exchange. TLS certificates are always verified. Every
failure is a typed error that names the server's status, without the query of a presigned URL and without the key.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from bot.errors import BadCredentials, NumeraiUnavailable

CONNECT_S, READ_S = 10.0, 60.0
EXCHANGE_S = 60.0
"""Seconds for a whole GraphQL exchange; a response that arrives byte by byte never exceeds the read timeout."""

TRANSFER_S = 6 * 3600.0
"""Seconds for the whole download of one file."""

UPLOAD_S = 120.0
CHUNK = 1 << 20
"""Bytes of the largest chunk of a response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """
    A download that has begun.

    Attributes:
        status: HTTP status, 200 or 206.
        headers: Headers of the response; the case of names does not matter.
        chunks: The body as it arrives; each chunk may raise NumeraiUnavailable.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class Transport:
    """
    One HTTP session, and a clock that follows the server's.

    Args:
        connect_s: Seconds for connecting.
        read_s: Seconds for one read.
        exchange_s: Seconds for a whole GraphQL exchange.
    """

    def __init__(self, *, connect_s: float = CONNECT_S, read_s: float = READ_S, exchange_s: float = EXCHANGE_S) -> None:
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        self._timeout = (connect_s, read_s)
        self._exchange_s = exchange_s
        self._server: tuple[datetime, float] | None = None

    def server_now(self) -> datetime | None:
        """Return the time of the server's last response plus the monotonic time since; ``None`` before the first one."""
        if self._server is None:
            return None
        time_then, monotonic_then = self._server
        return time_then + timedelta(seconds=time.monotonic() - monotonic_then)

    def post(self, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """
        Send one GraphQL request and return the JSON object of its response.

        Raises:
            BadCredentials: The status is 401 or 403.
            NumeraiUnavailable: There is no response in time, it has another bad status, or it is no JSON object.
        """
        with self._request("POST", url, self._exchange_s, json=body, headers=dict(headers)) as (response, deadline):
            self._set_clock(response)
            content = b"".join(_chunks(response, deadline))
            if response.status_code in (401, 403):
                raise BadCredentials(
                    f"Numerai answered {response.status_code} to the API key;"
                    " check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY and the key's scopes"
                )
            _require_success(response, url)
        try:
            answer = json.loads(content)
        except ValueError:
            raise NumeraiUnavailable(f"{_place(url)} answered something that is not JSON") from None
        if not isinstance(answer, dict):
            raise NumeraiUnavailable(f"{_place(url)} answered JSON that is not an object")
        return answer

    @contextmanager
    def download(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[Download]:
        """
        Open a download; it is closed with the context.

        Raises:
            NumeraiUnavailable: The storage refuses or breaks off. It returns 403 for a file that does not exist.
        """
        with self._request("GET", url, TRANSFER_S, headers=dict(headers or {})) as (response, deadline):
            _require_success(response, url)
            yield Download(status=response.status_code, headers=response.headers, chunks=_chunks(response, deadline))

    def upload(self, url: str, content: bytes) -> None:
        """
        PUT *content* to a presigned URL.

        Raises:
            NumeraiUnavailable: The storage returned an error status or no response.
        """
        with self._request("PUT", url, UPLOAD_S, data=content) as (response, deadline):
            b"".join(_chunks(response, deadline))
            _require_success(response, url)

    @contextmanager
    def _request(
        self,
        method: str,
        url: str,
        limit_s: float,
        **content: Any,  # noqa: ANN401 - passed on to requests
    ) -> Iterator[tuple[requests.Response, float]]:
        """Send a request; yield the response and the monotonic time of its deadline."""
        deadline = time.monotonic() + limit_s
        try:
            response = self._session.request(method, url, stream=True, timeout=self._timeout, **content)
        except requests.RequestException as error:
            raise NumeraiUnavailable(f"{_place(url)} did not answer: {type(error).__name__}") from None
        with response:
            yield response, deadline

    def _set_clock(self, response: requests.Response) -> None:
        """Set the server's clock from the ``Date`` header, whose resolution is one second."""
        try:
            date = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        self._server = (date.astimezone(UTC), time.monotonic())


def _require_success(response: requests.Response, url: str) -> None:
    if response.ok:
        return
    retry_after = response.headers.get("Retry-After", "")
    raise NumeraiUnavailable(
        f"{_place(url)} answered {response.status_code} {response.reason}",
        retry_after_s=float(retry_after) if retry_after.isdigit() else None,
    )


def _chunks(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """Yield the body as it arrives; give up at *deadline* even if bytes still arrive."""
    while True:
        try:
            chunk = response.raw.read1(CHUNK)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NumeraiUnavailable(f"{_place(response.url)} broke off: {type(error).__name__}") from None
        if not chunk:
            return
        if time.monotonic() > deadline:
            raise NumeraiUnavailable(f"{_place(response.url)} sent too slowly and was given up")
        yield chunk


def _place(url: str) -> str:
    """Return host and path of a URL, without its query, which may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"
