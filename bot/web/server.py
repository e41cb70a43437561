"""
The daemon's HTTP server: a thread beside the loop that serves pages, a webhook and orders, by default on the loopback.

The loop never waits for it. A port that cannot be opened is tried again every minute, while rounds go on.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Self

import structlog
import uvicorn

from bot.web._connections import Connection
from bot.web._control import Order
from bot.web.application import LARGEST_HEAD, Hook, Page, RefusalLog, application

AGAIN_S = 60.0
"""Seconds between two attempts to open the port."""

BACKLOG = 100
"""Connections that the kernel holds, and that are accepted between two looks at the others."""

STOP_S = 3.0
"""Longest wait for the server's end in seconds."""

log = structlog.get_logger()


class Web:
    """
    HTTP server of some pages; use it as a context manager.

    Args:
        host: Address or name to listen on.
        port: Port to listen on; 0 takes a free one.
        pages: Pages by path, see :func:`bot.web.application.application`.
        hosts: Names in the ``Host`` header that are accepted beside *host* and those of the own machine.
        hook: Called with the trigger id, or ``None``, of a POST to ``/hook/<token>``.
        token: Secret in the hook's path; without one there is no hook.
        order: Carries out an order of the page Now, see :mod:`bot.web._control`.
        control_token: Secret in the body of an order; without one there are no orders.
        report: Called in the server's thread with the reason why the port cannot be opened, and with ``None`` once it
            is open.

    Attributes:
        port: The port, once the server is open.
        opened: Set while the server is open.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        pages: Mapping[str, Page],
        hosts: Iterable[str] = (),
        hook: Hook | None = None,
        token: str | None = None,
        order: Order | None = None,
        control_token: str | None = None,
        report: Callable[[str | None], None] = lambda _reason: None,
    ) -> None:
        self.port, self.opened = port, threading.Event()
        self._host, self._report = host, report
        self._refusals = RefusalLog()
        self._application = application(
            pages=pages,
            hosts=(host, *hosts),
            hook=hook,
            token=token,
            order=order,
            control_token=control_token,
            refusals=self._refusals,
        )
        self._stop = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="web")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(STOP_S)

    def _run(self) -> None:
        logged = ""
        while not self._stop.is_set():
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 - an odd host raises errors of several kinds, and rounds go on
                reason = f"the pages cannot be served on {self._host!r}, port {self.port}: {error}"
                if reason != logged:
                    log.error("web.failed", reason=reason)  # noqa: TRY400 - one line
                logged = reason
                self._report(reason)
            self.opened.clear()
            self._stop.wait(AGAIN_S)

    def _serve(self) -> None:
        """Open the port and serve until the end."""
        with ExitStack() as opened:
            sockets = [opened.enter_context(one) for one in listen(self._host, self.port)]
            self.port = int(sockets[0].getsockname()[1])
            self._server = _Server(self._config())
            self._report(None)
            log.info("web.started", host=self._host, port=self.port, url=f"http://{_named(self._host)}:{self.port}/")
            self.opened.set()
            if not self._stop.is_set():
                self._server.run(sockets=sockets)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._application,
            http=type("Connection", (Connection,), {"refusals": self._refusals}),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,  # uvicorn's messages pass through the bot's own handler
            log_level=logging.ERROR,
            access_log=False,  # a health check comes every half minute, and the hook's path is a secret
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=LARGEST_HEAD,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
        )


class _Server(uvicorn.Server):
    """uvicorn's server; an error outside a request is one line of the log."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_log_error)
        await super().startup(sockets)


def _named(host: str) -> str:
    """Return the host of the pages' address, for a browser on this machine where the pages listen on every address."""
    plain = host.strip("[]")
    if plain in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{plain}]" if ":" in plain else plain


def listen(host: str, port: int) -> list[socket.socket]:
    """
    Return listening sockets for every address of *host*.

    Raises:
        OSError: The host is unknown or not of this machine, or the port is taken.
        ValueError: *host* cannot be a name.
    """
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            wanted = (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
            both = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
            sockets.append(socket.create_server(wanted, family=family, backlog=BACKLOG, dualstack_ipv6=both))
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _log_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    log.error("web.error", reason=f"{context.get('message')}: {context.get('exception')!r}")
