"""Handle SIGTERM: long work checks a flag and ends itself, and the process exits if the work takes too long."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.errors import RetryLater

GRACE_S = 25.0
"""Seconds after SIGTERM in which work may save and end itself; supervisors kill the process after 30 or 90."""


@contextmanager
def stop_on_signal(grace_s: float = GRACE_S) -> Iterator[Callable[[], bool]]:
    """
    Yield a function that returns whether SIGTERM has arrived.

    Python runs a signal handler only after the main thread has returned from the library that it is in, which for a
    LightGBM Dataset takes minutes. Therefore a second thread waits for the signal and exits the process with the code of
    "try later" after *grace_s* seconds. Only time is lost, since the bot publishes every file in one atomic step.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    requested, finished = threading.Event(), threading.Event()

    def wait_for_signal() -> None:
        while (number := os.read(reading, 1)[0]) != signal.SIGTERM:
            if number == 0:  # written below when the context ends
                return
        requested.set()
        if not finished.wait(grace_s):
            print(f"error: stopped by SIGTERM after {grace_s:g} s; run it again to continue", file=sys.stderr)  # noqa: T201 - a logger may be locked
            os._exit(RetryLater.exit_code)

    # Without a Python handler, SIGTERM would end the process before the signal number is written to the pipe.
    handler = signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    previous_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=wait_for_signal, name="stop", daemon=True)
    thread.start()
    try:
        yield requested.is_set
    finally:
        finished.set()
        signal.set_wakeup_fd(previous_fd)
        signal.signal(signal.SIGTERM, handler)
        os.write(writing, b"\0")
        thread.join()
        os.close(reading)
        os.close(writing)
