"""The sandbox's clock, which can be set, stopped, and run at another rate."""

import threading
import time
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """
    Settable clock.

    Args:
        now: First time of the clock, aware; real time if absent.
        rate: Sandbox seconds per real second; at 0 the clock stands still.
    """

    def __init__(self, now: datetime | None = None, *, rate: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._base = now or datetime.now(UTC)
        self._since = time.monotonic()
        self._rate = rate

    def now(self) -> datetime:
        """Return the sandbox's time, aware UTC."""
        with self._lock:
            return self._base + timedelta(seconds=(time.monotonic() - self._since) * self._rate)

    def set(self, now: datetime) -> None:
        """Jump to *now*."""
        with self._lock:
            self._base, self._since = now, time.monotonic()

    def advance(self, by: timedelta) -> None:
        """Jump by *by*."""
        self.set(self.now() + by)

    def set_rate(self, rate: float) -> None:
        """Set the sandbox seconds per real second."""
        now = self.now()
        with self._lock:
            self._base, self._since, self._rate = now, time.monotonic(), rate
