"""Faulty answers and broken connections, as a client sees them."""

import gzip
import json
import socket
import struct
import threading
from http import HTTPStatus
from typing import Protocol

from bot.sandbox._storage import ACCESS_DENIED
from bot.sandbox.faults import Fault

LINGER = struct.pack("ii", 1, 0)
"""Socket option with which closing sends RST instead of FIN."""

DRIPS = 50
"""Pieces in which a slow body is sent."""

PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>Bad gateway</body></html>"
RETRY_AFTER = {"Retry-After": "1"}
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}


class Wire(Protocol):
    """The part of a request handler that a fault uses."""

    connection: socket.socket
    close_connection: bool

    def head(self, status: int, length: int | None, headers: dict[str, str]) -> None:
        """Send status line and headers."""

    def body(self, content: bytes) -> None:
        """Send bytes."""


def spoil(wire: Wire, fault: Fault, answer: bytes, closing: threading.Event) -> bool:
    """
    Answer a request with a fault.

    Args:
        wire: Connection of the request.
        fault: Fault of a kind in ``ANSWERS``; other kinds are ignored.
        answer: Answer of a healthy server.
        closing: Event that the sandbox sets when it stops; it ends every wait.

    Returns:
        Whether the request is answered.
    """
    whole: dict[str, tuple[int, bytes, dict[str, str]]] = {
        "status": (fault.status, b"sandbox fault", fault.headers),
        "bad_gateway": (HTTPStatus.BAD_GATEWAY, PAGE, HTML),
        "unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, b"", RETRY_AFTER),
        "throttled": (HTTPStatus.TOO_MANY_REQUESTS, b"", RETRY_AFTER),
        "unauthorized": (HTTPStatus.UNAUTHORIZED, b"", {}),
        "expired": (HTTPStatus.FORBIDDEN, ACCESS_DENIED, {"Content-Type": "application/xml"}),
        "html": (HTTPStatus.OK, PAGE, HTML),
        "empty": (HTTPStatus.OK, b"", {}),
        "wrong_type": (HTTPStatus.OK, b"OK", {"Content-Type": "text/plain"}),
        "graphql_error": (
            HTTPStatus.OK, json.dumps({"data": None, "errors": [{"message": fault.message}]}).encode(), JSON,
        ),
        "gzip": (HTTPStatus.OK, gzip.compress(answer)[: len(answer) // 2], {**JSON, "Content-Encoding": "gzip"}),
    }  # fmt: skip
    if fault.kind in whole:
        status, body, headers = whole[fault.kind]
        wire.head(status, len(body), headers)
        wire.body(body)
        return True
    return _break(wire, fault, answer, closing)


def _break(wire: Wire, fault: Fault, answer: bytes, closing: threading.Event) -> bool:
    """Apply a fault of the connection itself; return whether the request is answered."""
    match fault.kind:
        case "slow":
            closing.wait(fault.seconds)
            return False
        case "hang":
            closing.wait(fault.seconds)
        case "reset":
            wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            wire.connection.close()
        case "fin":
            wire.head(HTTPStatus.OK, len(answer), JSON)
            wire.body(answer[: len(answer) // 2])
        case "short_length":
            wire.head(HTTPStatus.OK, len(answer) // 2, JSON)
            wire.body(answer)
        case "long":
            wire.head(HTTPStatus.OK, len(answer) + 100, JSON)
            wire.body(answer)
            closing.wait(fault.seconds)
        case "slow_headers":
            wire.body(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            _drip(wire, b"x", fault.seconds, closing)
            wire.body(b"\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        case "trickle":
            wire.head(HTTPStatus.OK, DRIPS, JSON)
            _drip(wire, b" ", fault.seconds, closing)
        case _:
            return False
    wire.close_connection = True
    return True


def _drip(wire: Wire, byte: bytes, seconds: float, closing: threading.Event) -> None:
    """Send a byte again and again for *seconds*."""
    for _ in range(DRIPS):
        if closing.wait(seconds / DRIPS):
            return
        wire.body(byte)
