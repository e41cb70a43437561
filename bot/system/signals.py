"""SIGTERM as a question that long work asks itself, and an end that does not wait for work that never asks."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.errors import RetryLater

GRACE_S = 25.0
"""Seconds after SIGTERM in which work may save and end by itself; supervisors kill after 30 or 90."""


@contextmanager
def stop_on_signal(grace_s: float = GRACE_S) -> Iterator[Callable[[], bool]]:
    """
    Yield a function that says whether SIGTERM has come.

    Python's own handlers wait until the main thread is back from whatever library it is in, which for a LightGBM
    Dataset takes minutes. So a second thread listens, and ends the process with the exit code of "try later" when
    *grace_s* have passed: everything the bot keeps is published in one step, so that nothing is lost but time.
    """
    heard, speak = os.pipe()
    os.set_blocking(speak, False)
    asked, over = threading.Event(), threading.Event()

    def listen() -> None:
        while (number := os.read(heard, 1)[0]) != signal.SIGTERM:
            if number == 0:
                return
        asked.set()
        if not over.wait(grace_s):
            print(f"error: stopped by SIGTERM after {grace_s:g} s; run it again, it goes on", file=sys.stderr)  # noqa: T201 - a logger may be locked
            os._exit(RetryLater.exit_code)

    handler = signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    listened = signal.set_wakeup_fd(speak, warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="stop", daemon=True)
    listener.start()
    try:
        yield asked.is_set
    finally:
        over.set()
        signal.set_wakeup_fd(listened)
        signal.signal(signal.SIGTERM, handler)
        os.write(speak, b"\0")
        listener.join()
        os.close(heard)
        os.close(speak)
