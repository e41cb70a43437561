"""Send alerts and pings from a thread of its own, with deadlines, so that no round waits for them."""

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
"""Longest duration of a ping in seconds."""

log = structlog.get_logger()


class Notifier:
    """
    Sends the outbox's messages through apprise, and pings a dead man's switch.

    Args:
        ledger_path: Database of the outbox.
        urls: Addresses of apprise services. Without any, messages stay in the outbox.
        ping_url: Address of a check like those of healthchecks.io: a GET reports success.
        send: Function that sends a message in place of apprise.
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
        """Start to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver once more, then end, within ``PING_S`` seconds."""
        self._stopped.set()
        self._wake.set()
        self._thread.join(timeout=PING_S)

    def wake(self) -> None:
        """Look into the outbox now."""
        self._wake.set()

    def ping(self) -> None:
        """Report a confirmed round to the dead man's switch. A ping that fails is sent again later."""
        self._pings += 1
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(PAUSE_S)
            self._wake.clear()
            last = (
                self._stopped.is_set()
            )  # read before the work: a message queued during it is delivered in one more turn
            for work in (self._deliver, self._send_ping):
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - apprise calls a hundred services; no error may end the thread
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

    def _send_ping(self) -> None:
        if self._pings and self._ping_url:
            requests.get(self._ping_url, timeout=PING_S).raise_for_status()
            self._pings = 0

    def _notify(self, message: Message) -> bool:
        """Send a message through apprise; return whether every service took it."""
        import apprise  # noqa: PLC0415 - a fifth of a second that only a message needs

        service = apprise.Apprise()
        for url in self._urls:
            service.add(url)
        kind = apprise.NotifyType.FAILURE if message.kind == "alert" else apprise.NotifyType.SUCCESS
        done = service.notify(title=f"numerai-bot: {message.title}", body=message.body, notify_type=kind)
        if not done:
            log.warning("message.delayed", trouble=message.alert, kind=message.kind, attempts=message.attempts + 1)
        return bool(done)
