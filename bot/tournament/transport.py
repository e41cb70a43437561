"""
HTTP with a deadline: what numerapi leaves to chance.

Every request has a timeout per read and a limit on the whole exchange, TLS is always verified, and every failure is a
typed error that says what the server answered, without a presigned query string or a key in it.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from bot.errors import BadCredentials, NumeraiUnavailable

CONNECT_S, READ_S = 10.0, 60.0
EXCHANGE_S = 60.0
"""Longest a GraphQL exchange may take as a whole; a dripping answer would reset the read timeout for ever."""

TRANSFER_S = 6 * 3600.0
"""Longest a download of one file may take as a whole."""

UPLOAD_S = 120.0
PIECE = 1 << 20


class Transport:
    """One HTTP session, and the server's clock as its answers tell it."""

    def __init__(self, *, connect_s: float = CONNECT_S, read_s: float = READ_S, exchange_s: float = EXCHANGE_S) -> None:
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        self._timeout = (connect_s, read_s)
        self._exchange_s = exchange_s
        self._server: tuple[datetime, float] | None = None

    def server_now(self) -> datetime | None:
        """Return the server's time, carried on by the monotonic clock since its last answer; ``None`` before one."""
        if self._server is None:
            return None
        told, at = self._server
        return told + timedelta(seconds=time.monotonic() - at)

    def post(self, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """
        Send one GraphQL request and return the JSON object it answers.

        Raises:
            BadCredentials: 401 or 403.
            NumeraiUnavailable: No answer in time, another status, or not a JSON object.
        """
        with self._request("POST", url, self._exchange_s, json=body, headers=dict(headers)) as (response, deadline):
            self._listen(response)
            content = b"".join(_pieces(response, deadline))
            if response.status_code in (401, 403):
                raise BadCredentials(
                    f"Numerai answered {response.status_code} to the API key;"
                    " check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY and the key's scopes"
                )
            _expect(response, url)
        try:
            answer = json.loads(content)
        except ValueError:
            raise NumeraiUnavailable(f"{_place(url)} answered something that is not JSON") from None
        if not isinstance(answer, dict):
            raise NumeraiUnavailable(f"{_place(url)} answered JSON that is not an object")
        return answer

    @contextmanager
    def download(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[tuple[requests.Response, Iterator[bytes]]]:
        """
        Open a download; yield the response and its body piece by piece.

        Raises:
            NumeraiUnavailable: The storage refuses or breaks off; 403 is how it says that a file is not there.
        """
        with self._request("GET", url, TRANSFER_S, headers=dict(headers or {})) as (response, deadline):
            _expect(response, url)
            yield response, _pieces(response, deadline)

    def upload(self, url: str, content: bytes) -> None:
        """
        PUT *content* to a presigned URL.

        Raises:
            NumeraiUnavailable: The storage did not take it: any status but 2xx.
        """
        with self._request("PUT", url, UPLOAD_S, data=content) as (response, deadline):
            b"".join(_pieces(response, deadline))
            _expect(response, url)

    @contextmanager
    def _request(
        self,
        method: str,
        url: str,
        limit_s: float,
        **content: Any,  # noqa: ANN401 - handed through to requests
    ) -> Iterator[tuple[requests.Response, float]]:
        deadline = time.monotonic() + limit_s
        try:
            response = self._session.request(method, url, stream=True, timeout=self._timeout, **content)
        except requests.RequestException as error:
            raise NumeraiUnavailable(f"{_place(url)} did not answer: {type(error).__name__}") from None
        with response:
            yield response, deadline

    def _listen(self, response: requests.Response) -> None:
        """Set the server's clock from the ``Date`` header; one second is its resolution."""
        try:
            told = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        self._server = (told.astimezone(UTC), time.monotonic())


def _expect(response: requests.Response, url: str) -> None:
    if response.ok:
        return
    wish = response.headers.get("Retry-After", "")
    raise NumeraiUnavailable(
        f"{_place(url)} answered {response.status_code} {response.reason}",
        retry_after_s=float(wish) if wish.isdigit() else None,
    )


def _pieces(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """Yield the body as it arrives, and give up at the deadline however often a byte still comes."""
    while True:
        try:
            piece = response.raw.read1(PIECE)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NumeraiUnavailable(f"{_place(response.url)} broke off: {type(error).__name__}") from None
        if not piece:
            return
        if time.monotonic() > deadline:
            raise NumeraiUnavailable(f"{_place(response.url)} sent too slowly and was given up")
        yield piece


def _place(url: str) -> str:
    """Return host and path of a URL; its query may carry a signature."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"
