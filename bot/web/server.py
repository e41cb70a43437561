"""The daemon's HTTP server: read-only pages, and a webhook that wakes the loop. It listens on the loopback by default."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

import structlog

READ_S = 10.0
"""Longest time in seconds for a client to send its request."""

LARGEST_HOOK = 4096
"""Longest accepted body of a webhook call in bytes."""

log = structlog.get_logger()
HOOK = "/hook/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    An HTTP answer.

    Attributes:
        body: Content.
        kind: Content type.
        status: HTTP status.
    """

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: int = 200


class Web:
    """
    HTTP server of some pages; use it as a context manager.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        pages: Functions that answer a GET, by path. A path that ends in ``/`` also answers for all paths below it. Each
            function takes the whole path and may return ``None`` for "not found".
        hook: Called with the trigger id, or ``None``, of a POST to ``/hook/<token>``.
        token: Secret in the hook's path; without one there is no hook.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        pages: Mapping[str, Callable[[str], Answer | None]],
        hook: Callable[[str | None], None] | None = None,
        token: str | None = None,
    ) -> None:
        self.host, self.pages, self.hook, self.token = host, pages, hook, token
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True, name="web")

    def __enter__(self) -> Self:
        self._thread.start()
        log.info("web.started", host=self.host, port=self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, path: str) -> Answer:
        """Return the answer to a GET."""
        below = [page for page in self.pages if page.endswith("/") and page != "/" and path.startswith(page)]
        name = path if path in self.pages else max(below, key=len, default="")
        answer = self.pages[name](path) if name in self.pages else None
        return answer or Answer(body=b"not found\n", status=404)

    def post(self, path: str, content: bytes) -> Answer:
        """Call the hook if the path holds its token; return the answer to a POST."""
        if self.hook is None or not self.token or path != HOOK + self.token:
            return Answer(body=b"not found\n", status=404)
        try:
            call = json.loads(content or b"{}")
            trigger = call.get("triggerId") if isinstance(call, dict) else None
        except ValueError:
            trigger = None
        self.hook(str(trigger) if trigger else None)
        return Answer(body=b"{}\n", kind="application/json")


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = READ_S
        server_version, sys_version = "numerai-bot", ""

        def do_GET(self) -> None:
            self._send(web.get(urlsplit(self.path).path))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or int(length) > LARGEST_HOOK:
                self._send(Answer(body=b"too large\n", status=413))
                return
            self._send(web.post(urlsplit(self.path).path, self.rfile.read(int(length))))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", "default-src 'self' 'unsafe-inline' data:; form-action 'none'")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Log nothing: a health check comes every half minute, and the hook's path is a secret."""

    return Handler
