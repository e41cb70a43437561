"""The sandbox's own time: it can be set, stopped, and made to run faster."""

import threading
import time
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """
    A settable clock.

    Args:
        now: Aware; where it starts.
        rate: Sandbox seconds per real second; 0 stands still.
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
        """Let the clock run at *rate* from now on."""
        now = self.now()
        with self._lock:
            self._base, self._since, self._rate = now, time.monotonic(), rate
