"""Run a call that waits for the network in a thread of its own, so that the loop never waits for it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from bot.errors import NumeraiUnavailable

LIMIT_S = 60.0
"""Seconds after which a call is abandoned."""

MOST_ABANDONED = 8
"""Abandoned calls that may still run. With more of them, only a new process helps."""

T = TypeVar("T")


class StillWaiting(Exception):
    """The call has not returned yet; the next look waits for the same call."""


class BackgroundCall(Generic[T]):
    """
    A call that is made again and again, one at a time, in a thread.

    A peer that sends one byte a second can keep any HTTP library waiting. Such a call is abandoned, and the next one uses
    new connections.

    Args:
        open_call: Returns the function to call. It is called again after a call was abandoned, and must then return a
            function that shares no connection with the abandoned one.
        done: Called from the thread when a call has returned whose caller has not waited for it.
        limit_s: Seconds after which a call is abandoned.
    """

    def __init__(
        self,
        open_call: Callable[[], Callable[[], T]],
        *,
        done: Callable[[], None] = lambda: None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._open_call, self._done, self._limit_s = open_call, done, limit_s
        self._call: Callable[[], T] | None = None
        self._future: Future[T] | None = None
        self._began, self._calls_done = 0.0, False
        self._abandoned: list[Future[T]] = []

    @property
    def is_running(self) -> bool:
        """Return whether a call has been started whose result was not taken."""
        return self._future is not None

    def start(self) -> Future[T]:
        """
        Start a call, unless one is running; return its future.

        Raises:
            RuntimeError: No thread can be started, or too many abandoned calls still run.
        """
        if self._future is not None:
            return self._future
        self._abandoned = [one for one in self._abandoned if not one.done()]
        if len(self._abandoned) >= MOST_ABANDONED:
            raise RuntimeError(f"{len(self._abandoned)} abandoned calls still wait for an answer")
        self._call = self._call or self._open_call()
        future: Future[T] = Future()
        threading.Thread(target=self._run, args=(self._call, future), daemon=True, name="call").start()
        self._future, self._began, self._calls_done = future, time.monotonic(), False
        return future

    def result(self, wait_s: float) -> T:
        """
        Return the result of the running call, or of a new one.

        Args:
            wait_s: Longest wait in seconds.

        Raises:
            StillWaiting: The call has not returned in time; it goes on.
            NumeraiUnavailable: The call has run for ``limit_s`` seconds and was abandoned.
            Exception: Anything that the call raised.
        """
        future = self.start()
        if not wait([future], timeout=wait_s).done:
            if time.monotonic() - self._began >= self._limit_s:
                self._abandoned.append(future)
                self._future = self._call = None
                raise NumeraiUnavailable(f"no complete answer within {self._limit_s:g} s; it was given up")
            if not self._calls_done:
                # Only for a caller that has gone on: for one that has waited, it would start another call at once.
                self._calls_done = True
                future.add_done_callback(lambda _: self._done())
            raise StillWaiting
        self._future = None
        return future.result()

    def _run(self, call: Callable[[], T], future: Future[T]) -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop receives it
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - an exit from a thread must not end the loop
            future.set_exception(RuntimeError(f"the call ended with {type(error).__name__}"))
