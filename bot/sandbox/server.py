"""HTTP server of the tournament: GraphQL at ``/``, presigned storage, and the sandbox's record and clock."""

import json
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from bot.sandbox._connection_faults import spoil
from bot.sandbox._events import cause
from bot.sandbox._file_faults import deliver, send
from bot.sandbox._graphql import execute, operations
from bot.sandbox._queries import Queries
from bot.sandbox._responses import iso
from bot.sandbox._storage import SIGNATURE, Storage
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import EVENTS, FILES, HOSTS, Fault, Faults, Phase, Plan
from bot.sandbox.schedule import Schedule
from bot.sandbox.tournament import DEMO_ACCOUNT, Account, Tournament
from bot.sandbox.world.generate import World

NOTHING = b'{"data": null}'
NOWHERE = "http://storage.invalid/"
"""Host name that never resolves, by RFC 2606."""


class Sandbox:
    """
    A running tournament; use it as a context manager.

    Args:
        datasets: A generated world, or a folder of files (``v5.3/live.parquet``) that are served in every round.
        clock: Clock of the tournament; real time if absent.
        schedule: Times of the rounds; Numerai's week if absent.
        accounts: Accounts with their keys.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        journal: File to which every effect is appended as JSON, or ``None``.
        first_era: Index of the world's live era that the first round uses.
        plan: Plan of faults.
        bytes_per_s: Most bytes of a file that a connection gets in a second; ``None`` for full speed.

    Attributes:
        file_bytes: Bytes of files that were sent.
    """

    def __init__(
        self,
        datasets: Path | World,
        *,
        clock: SandboxClock | None = None,
        schedule: Schedule | None = None,
        accounts: Sequence[Account] = (DEMO_ACCOUNT,),
        host: str = "127.0.0.1",
        port: int = 0,
        journal: Path | None = None,
        first_era: int = 0,
        plan: Plan | None = None,
        bytes_per_s: float | None = None,
    ) -> None:
        self.bytes_per_s, self.file_bytes = bytes_per_s, 0
        self.clock = clock or SandboxClock()
        self.tournament = Tournament(
            datasets,
            clock=self.clock,
            schedule=schedule or Schedule(),
            accounts=accounts,
            journal=journal,
            first_era=first_era,
        )
        self.storage, self.faults = Storage(), Faults(plan, self.clock)
        self.closing = threading.Event()
        self._server = _Server((host, port), self)
        self.url = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start to answer requests."""
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and stop listening."""
        self.closing.set()
        self._server.shutdown()
        self._server.break_off()
        self._server.server_close()
        self._thread.join()

    def record(self, url: str) -> dict[str, Any]:
        """Return the sandbox's time, its open round and all submissions with their scores, as JSON."""
        queries = Queries(self.tournament, self.storage, url)
        current = self.tournament.current()
        held = [
            {
                "id": one.id, "round": one.round, "slot": one.slot, "filename": one.filename, "sha256": one.sha256,
                "at": iso(one.inserted_at), "late": one.late, "status": one.status, "selected": one.selected,
                "scores": queries.scored(one),
            }
            for one in self.tournament.submissions
        ]  # fmt: skip
        return {
            "now": iso(self.clock.now()),
            "open_round": None if current is None else current.number,
            "submissions": held,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's signature
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the base class's signature
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def break_off(self) -> None:
        """Close all open connections, also idle ones."""
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's signature
        """Log nothing: clients disconnect all the time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def sandbox(self) -> Sandbox:
        return self.server.sandbox

    @property
    def url(self) -> str:
        """Return the address that this client used, so that presigned URLs reach the sandbox again."""
        return f"http://{self.headers['Host']}/" if self.headers.get("Host") else self.sandbox.url

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        skewed = self.sandbox.clock.now() + self.sandbox.tournament.skew
        now = skewed if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
        return format_datetime(now, usegmt=True)

    def do_POST(self) -> None:
        body = self._body()
        if urlsplit(self.path).path == "/sandbox/clock":
            self._move_clock(body)
            return
        try:
            asked = json.loads(body)
            query, variables = str(asked["query"]), asked.get("variables") or {}
        except (ValueError, KeyError, TypeError):
            self._json({"errors": [{"message": "no query"}]}, HTTPStatus.BAD_REQUEST)
            return
        names = operations(query)
        self.sandbox.tournament.settle()
        granted = self._granted(names)
        if granted is None:
            return
        stale = self._take(names, "stale")
        queries = Queries(
            self.sandbox.tournament, self.sandbox.storage, granted, stale_s=stale.seconds if stale else 0.0
        )
        account = self._account()

        def answer() -> dict[str, Any]:
            return execute(query, variables, lambda name, arguments: queries.resolve(account, name, arguments))

        delayed = self._take(names, "delayed")
        if delayed is not None:
            self.sandbox.tournament.later(delayed.seconds, answer)
            self._plain(HTTPStatus.GATEWAY_TIMEOUT, b"")
            return
        body = json.dumps(answer()).encode()
        if not self._misbehave(names, "after", body):
            self._plain(HTTPStatus.OK, body, {"Content-Type": "application/json"})

    def _granted(self, names: Sequence[str]) -> str | None:
        """Return the base of this request's presigned URLs; ``None`` if a fault has answered it already."""
        fault = self._take(names, "before")
        if fault is not None and fault.kind in HOSTS:
            return NOWHERE if fault.kind == "dns" else self.url.replace("http:", "https:")
        return None if fault is not None and spoil(self, fault, NOTHING, self.sandbox.closing) else self.url

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/sandbox/record":
            self._json(self.sandbox.record(self.url))
            return
        self.sandbox.tournament.settle()
        fault = self._take(("GET",), "before")
        if fault is not None and fault.kind not in FILES and spoil(self, fault, NOTHING, self.sandbox.closing):
            return
        delivery = deliver(
            self.sandbox.storage.content(_token(self.path)),
            wanted=self.headers.get("Range"),
            condition=self.headers.get("If-Range"),
            fault=fault,
            tournament=self.sandbox.tournament,
        )
        send(self, delivery, self.sandbox.closing, self.sandbox.bytes_per_s, on_bytes=self._count)

    def _count(self, count: int) -> None:
        self.sandbox.file_bytes += count

    def do_PUT(self) -> None:
        content = self._body()
        self.sandbox.tournament.settle()
        if self._misbehave(("PUT",), "before", NOTHING):
            return
        name = self.sandbox.storage.writable(_token(self.path))
        if name is None:
            self._plain(HTTPStatus.FORBIDDEN, b"")
            return
        delayed = self._take(("PUT",), "delayed")
        if delayed is not None:
            self.sandbox.tournament.later(delayed.seconds, lambda: self.sandbox.tournament.store(name, content))
            self._plain(HTTPStatus.GATEWAY_TIMEOUT, b"")
            return
        self.sandbox.tournament.store(name, content)
        if not self._misbehave(("PUT",), "after", NOTHING):
            self._plain(HTTPStatus.OK, b"")

    def _move_clock(self, body: bytes) -> None:
        asked = json.loads(body)
        if "now" in asked:
            self.sandbox.clock.set(datetime.fromisoformat(asked["now"]).astimezone(UTC))
        if "advance_s" in asked:
            self.sandbox.clock.advance(timedelta(seconds=asked["advance_s"]))
        if "rate" in asked:
            self.sandbox.clock.set_rate(float(asked["rate"]))
        self._json({"now": iso(self.sandbox.clock.now())})

    def _account(self) -> Account | None:
        key = self.headers.get("Authorization", "").removeprefix("Token ")
        known = {f"{one.public_id}${one.secret_key}": one for one in self.sandbox.tournament.accounts}
        return known.get(key)

    def _take(self, names: Sequence[str], phase: Phase) -> Fault | None:
        """Return the next fault of one of the operations, and apply the events before it."""
        for name in names:
            while (fault := self.sandbox.faults.take(name, phase)) is not None:
                self.sandbox.tournament.note("fault", operation=name, phase=phase, kind=fault.kind)
                if fault.kind not in EVENTS:
                    return fault
                cause(self.sandbox.tournament, fault)
        return None

    def _misbehave(self, names: Sequence[str], phase: Phase, answer: bytes) -> bool:
        """Apply the next fault of one of the operations; return whether it has answered the request."""
        fault = self._take(names, phase)
        return fault is not None and spoil(self, fault, answer, self.sandbox.closing)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, content: Any, status: int = HTTPStatus.OK) -> None:  # noqa: ANN401 - JSON
        self._plain(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.head(status, len(body), headers or {})
        self.wfile.write(body)

    def head(self, status: int, length: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        size = {} if length is None else {"Content-Length": str(length)}
        for name, value in {**headers, **size}.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, content: bytes) -> None:
        self.wfile.write(content)


def _token(target: str) -> str:
    asked = urlsplit(target)
    return parse_qs(asked.query).get(SIGNATURE, [""])[0] if asked.path.startswith("/storage/") else ""
