"""
Survive artifacts that end the process, or never return, while they score.

Scoring runs in the attempt's own process, so a model that takes all the memory or hangs ends the attempt. A note in the
ledger stays, and :mod:`bot.submission._turns` lets the next attempt begin below.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import FrameType
from typing import NoReturn

import structlog

from bot.errors import RetryLater
from bot.record.ledger import Deaths, Ledger

GRACE_S = 5.0
"""Seconds after the limit at which the kernel ends the process, should a library keep Python from ending it."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class ScoringWatch:
    """
    The scorings of one fallback's turn, which share its time.

    Attributes:
        ledger: Ledger that holds the notes.
        round_number: Number of the round.
        slot: Name of the slot.
        clock: Returns the server's time.
        left_s: Seconds that are left of the turn.
        deaths: Deaths in this round by artifact.
    """

    ledger: Ledger
    round_number: int
    slot: str
    clock: Callable[[], datetime]
    left_s: float
    deaths: Mapping[str, Deaths]

    @contextmanager
    def scoring(self, artifact: str) -> Iterator[None]:
        """Enclose the scoring of *artifact*: note it in the ledger, and end the process when the time of the turn is over."""
        started, began = self.clock(), time.monotonic()
        self.ledger.start_scoring(self.round_number, self.slot, artifact, at=started, limit_s=self.left_s)
        timer = threading.Timer(self.left_s, self._end_process, (artifact, started, self.left_s))
        timer.daemon = True
        # A library that holds Python's lock also holds back the timer, and a machine without a free thread has none; the
        # kernel's alarm, whose default is to end the process, needs neither.
        signal.setitimer(signal.ITIMER_REAL, self.left_s + GRACE_S)
        try:
            with suppress(RuntimeError):
                timer.start()
            with _stoppable():
                yield
        finally:
            timer.cancel()
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            self.left_s = max(1.0, self.left_s - (time.monotonic() - began))
            self.ledger.end_scoring(self.round_number, self.slot, artifact)

    def _end_process(self, artifact: str, started: datetime, limit_s: float) -> None:
        """Note the overrun and end this process. Nothing is lost, since nothing is intended before a scoring returns."""
        reason = f"artifact {artifact} did not score within {limit_s:.0f} s, its share of the time before the close"
        try:
            ended = started + timedelta(seconds=limit_s)
            # A connection belongs to one thread.
            Ledger(self.ledger.path).overrun_scoring(self.round_number, self.slot, artifact, at=ended)
            log.error("scoring.overran", artifact=artifact, seconds=round(limit_s))
            print(f"error: {reason}; the next attempt takes note of it", file=sys.stderr, flush=True)  # noqa: T201 - no command returns
        finally:  # a full disk or a closed terminal must not keep the process
            os._exit(RetryLater.exit_code)


@contextmanager
def _stoppable() -> Iterator[None]:
    """
    End the process on SIGTERM through the ``finally`` of its contexts.

    A bot that is stopped or restarted ends its attempt; the artifact must not count as one that ended its process.
    """

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(RetryLater.exit_code)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # only the main thread of a process handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
