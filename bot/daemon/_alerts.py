"""Open and close alerts although the ledger may be unwritable at the moment: they are queued when it works again."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from bot.record.outbox import Outbox

log = structlog.get_logger()


class Alerts:
    """
    The alerts of the loop. No method raises, so an alert never holds up a round.

    Args:
        outbox: Queue of messages.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._owed: dict[str, Callable[[], object]] = {}

    def open(self, name: str, title: str, body: str, *, occasion: str = "") -> None:
        """Open an alert, unless it is open; its message is queued once, or once for each *occasion*."""
        self._owed[name] = partial(self._outbox.alert, name, title, body, at=datetime.now(UTC), occasion=occasion)
        self.flush()

    def close(self, name: str, body: str) -> None:
        """Close an alert if it is open; the message of its end is queued once."""
        self._owed[name] = partial(self._outbox.resolve, name, body, at=datetime.now(UTC))
        self.flush()

    def flush(self) -> None:
        """Queue what could not be queued before. Of several changes of one alert, only the newest counts."""
        for name, change in list(self._owed.items()):
            try:
                change()
            except Exception as error:  # noqa: BLE001 - the ledger may fail in any way; the next look tries again
                log.warning("alert.delayed", trouble=name, kind=type(error).__name__)
            else:
                del self._owed[name]
