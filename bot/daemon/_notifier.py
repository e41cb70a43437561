"""Bring messages and pings to where a person sees them, off the critical path: a thread of its own, with deadlines."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import requests
import structlog

from bot.record.outbox import Message, Outbox

PAUSE_S = 10.0
"""Seconds between two looks into the outbox."""

PING_S = 5.0
"""Seconds a ping may take."""

log = structlog.get_logger()


class Notifier:
    """
    Sends the outbox's messages through apprise and pings a dead man's switch.

    Args:
        ledger_path: Where the outbox is.
        urls: Of apprise's services; messages are only kept while there are none.
        ping_url: Of a check in the manner of healthchecks.io: a GET says that all is well.
        send: Replaces apprise.
    """

    def __init__(
        self,
        *,
        ledger_path: Path,
        urls: tuple[str, ...] = (),
        ping_url: str | None = None,
        send: Callable[[Message], bool] | None = None,
    ) -> None:
        self._path, self._urls, self._ping_url = ledger_path, urls, ping_url
        self._send = send or (self._notify if urls else None)
        self._wake, self._stopped, self._pings = threading.Event(), threading.Event(), 0
        self._thread = threading.Thread(target=self._run, daemon=True, name="notifier")

    def start(self) -> None:
        """Deliver from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver what is due once more and end, within seconds."""
        self._stopped.set()
        self._wake.set()
        self._thread.join(timeout=PING_S)

    def wake(self) -> None:
        """Look into the outbox now."""
        self._wake.set()

    def ping(self) -> None:
        """Say that a round is confirmed; a switch that does not answer costs nobody anything."""
        self._pings += 1
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(PAUSE_S)
            self._wake.clear()
            last = self._stopped.is_set()  # before the work: what comes up during it is delivered once more
            for work in (self._deliver, self._say_all_is_well):
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - a library of a hundred services; none may end the thread
                    log.warning("message.failed", kind=type(error).__name__)
            if last:
                return

    def _deliver(self) -> None:
        if self._send is None:
            return
        outbox = Outbox(self._path)
        try:
            outbox.deliver(self._send, now=datetime.now(UTC))
        finally:
            outbox.close()

    def _say_all_is_well(self) -> None:
        if self._pings and self._ping_url:
            requests.get(self._ping_url, timeout=PING_S).raise_for_status()
            self._pings = 0

    def _notify(self, message: Message) -> bool:
        import apprise  # noqa: PLC0415 - a fifth of a second that only a message needs

        service = apprise.Apprise()
        for url in self._urls:
            service.add(url)
        kind = apprise.NotifyType.FAILURE if message.kind == "alert" else apprise.NotifyType.SUCCESS
        done = service.notify(title=f"numerai-bot: {message.title}", body=message.body, notify_type=kind)
        if not done:
            log.warning("message.delayed", trouble=message.alert, kind=message.kind, attempts=message.attempts + 1)
        return bool(done)
