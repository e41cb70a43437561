"""
One deadline for a whole HTTP exchange, from the look-up of the host's name to the last byte.

Timeouts of sockets hold for one read or write; a peer that sends a byte at a time never exceeds them. Here a thread shuts
the connection down at the deadline, whatever it waits for: TLS, a proxy, a request that the peer does not read, headers or
a body that drip. A look-up of a name cannot be interrupted: it runs in a thread of its own, which is left behind.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

STEP_S = 0.25
"""Longest time in seconds between two looks at a deadline that may have been moved."""

_current: ContextVar["Deadline | None"] = ContextVar("deadline", default=None)


class Deadline:
    """
    A time at which the connections of an exchange are shut down. Use it as a context manager.

    Args:
        seconds: Seconds until then.

    Attributes:
        expired: Whether the connections have been shut down.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._over, self._lock = threading.Event(), threading.Lock()
        self._watched: list[socket.socket] = []
        self.expired = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._wait, name="deadline", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._lock:
            for one in self._watched:
                one.close()
            self._watched.clear()

    def move(self, seconds: float) -> None:
        """Move the deadline to *seconds* from now."""
        self._ends = time.monotonic() + seconds

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Watch the connections that the enclosed code uses."""
        before = _current.set(self)
        try:
            yield
        finally:
            _current.reset(before)

    def connect(self, make: Callable[[], socket.socket]) -> socket.socket:
        """
        Return the connection that *make* makes; raise ``TimeoutError`` at the deadline.

        A connection that is made after the deadline is closed unused, so that nothing is sent late.
        """
        made: Future[socket.socket] = Future()

        def run() -> None:
            try:
                made.set_result(make())
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
                made.set_exception(error)

        threading.Thread(target=run, name="connect", daemon=True).start()
        try:
            connection = made.result(timeout=max(self._ends - time.monotonic(), 0.0))
        except TimeoutError:
            made.add_done_callback(_close)
            raise
        try:
            self.watch(connection)
        except TimeoutError:
            connection.close()
            raise
        return connection

    def watch(self, connection: socket.socket) -> None:
        """Shut *connection* down at the deadline, also after TLS has taken its descriptor over."""
        with self._lock:
            if self.expired:
                raise TimeoutError("the deadline has passed")
            # A descriptor of our own: the connection's may be closed, and its number given again, at any time.
            self._watched.append(socket.socket(fileno=os.dup(connection.fileno())))

    def _wait(self) -> None:
        while (left := self._ends - time.monotonic()) > 0:
            if self._over.wait(min(left, STEP_S)):
                return
        with self._lock:
            self.expired = True
            for one in self._watched:
                with suppress(OSError):  # the peer may have closed it already
                    one.shutdown(socket.SHUT_RDWR)


def _close(made: Future[socket.socket]) -> None:
    if made.exception() is None:
        made.result().close()


class _Watched(HTTPConnection):
    """A connection that is watched by the deadline of the exchange that uses it."""

    def _new_conn(self) -> socket.socket:
        deadline = _current.get()
        return super()._new_conn() if deadline is None else deadline.connect(super()._new_conn)

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to urllib3
        deadline = _current.get()
        if deadline is not None and self.sock is not None:  # kept from an earlier exchange
            deadline.watch(self.sock)
        super().request(*args, **kwargs)

    def _tunnel(self) -> None:
        super()._tunnel()
        deadline = _current.get()
        # A proxy's answer that was cut in its headers looks complete; TLS would begin on a dead connection.
        if deadline is not None and deadline.expired:
            raise TimeoutError("the deadline has passed")


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


class WatchedAdapter(HTTPAdapter):
    """Connections of a session, direct and by a proxy, that are watched by the deadline of their exchange."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to requests
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on to requests
        """Return the pools of connections by *proxy*."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager
