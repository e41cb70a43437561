"""
Send alerts and pings, each service from a thread of its own, so that no round and no other service waits for it.

The threads wait for processes that end themselves (:mod:`bot.daemon._post`), so none of them waits for ever.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog

from bot.daemon._post import post
from bot.errors import BadConfig, BotError
from bot.record.outbox import Message, Outbox

PAUSE_S = 10.0
"""Seconds between two looks into the outbox."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 900.0
"""Seconds after a failure before a service is tried again: doubled from the first pause to the longest."""

DEAD = 5
"""Failures of a service in a row after which the other services receive an alert about it."""

STOP_S = 5.0
"""Longest duration of the last delivery in seconds."""

Post = Callable[[Mapping[str, Any]], None]
log = structlog.get_logger()


class Notifier:
    """
    Sends the outbox's messages through apprise, and pings a dead man's switch.

    Args:
        ledger_path: Database of the outbox.
        urls: Addresses of apprise services. Without any, no message waits for anything.
        ping_url: Address of a check like those of healthchecks.io: a GET reports success.
        logging: Arguments of :func:`bot.system.logs.configure` but for the secrets.
        post: Carries out an order to send; replaced in tests.
    """

    def __init__(
        self,
        *,
        ledger_path: Path,
        urls: Sequence[str] = (),
        ping_url: str | None = None,
        logging: Mapping[str, Any] | None = None,
        post: Post = post,
    ) -> None:
        def send(order: Mapping[str, Any]) -> None:
            post(
                {**order, "logging": {**(logging or {}), "secrets": (order["url"],)}}
            )  # the process needs no other secret

        urls = tuple(dict.fromkeys(urls))
        self.services = [
            Service(place=place, url=url, ledger_path=ledger_path, others=self.names, post=send)
            for place, url in enumerate(urls, start=1)
        ]
        self._pinger = Pinger(ping_url, send) if ping_url else None
        self._ledger_path = ledger_path
        turns = [one.turn for one in self.services] + ([self._pinger.turn] if self._pinger else [])
        self._workers = [_Worker(turn) for turn in turns]

    def names(self) -> list[str]:
        """Return the names of the services that can be used."""
        return [one.name for one in self.services if not one.malformed]

    def start(self) -> None:
        """Give each service its place in the queue, then start to deliver."""
        # Now, not in the first turn: the check of an address can take long, and what begins and ends meanwhile is news.
        try:
            with closing(Outbox(self._ledger_path)) as outbox:
                outbox.register(self.names())
                self._end_alerts_of_removed(outbox)
        except BotError as error:  # each turn registers the services again
            log.warning("message.failed", kind=type(error).__name__, again_s=0.0)
        for worker in self._workers:
            worker.start()

    def _end_alerts_of_removed(self, outbox: Outbox) -> None:
        """End the alerts about places that ``BOT_ALERT_URLS`` no longer has: no service is left that could end them."""
        for name in outbox.open_alerts():
            about, _, place = name.partition(" ")
            if about in ("address", "service") and int(place) > len(self.services):
                outbox.resolve(name, f"BOT_ALERT_URLS has no address {place} now", at=datetime.now(UTC))

    def stop(self) -> None:
        """Deliver once more, then end, within ``STOP_S`` seconds."""
        end = time.monotonic() + STOP_S
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join(max(0.0, end - time.monotonic()))

    def wake(self) -> None:
        """Look into the outbox now."""
        for worker in self._workers:
            worker.wake()

    def ping(self) -> None:
        """Report a confirmed round to the dead man's switch. A ping that fails is sent again later."""
        if self._pinger is not None:
            self._pinger.owed = True
        self.wake()


class Service:
    """
    An alert service, with its place in the queue.

    Args:
        place: Its number in ``BOT_ALERT_URLS``, from 1, which names it in messages: its address is a secret.
        url: Its address.
        ledger_path: Database of the outbox.
        others: Returns the names of all services that can be used.
        post: Carries out an order to send.

    Attributes:
        name: Name of its place in the queue.
        malformed: Whether its address was found to be no apprise URL. Nothing is sent there.
        failures: Failed deliveries in a row.
    """

    def __init__(self, *, place: int, url: str, ledger_path: Path, others: Callable[[], list[str]], post: Post) -> None:
        self.name = sha256(url.encode()).hexdigest()[:16]
        self.malformed, self.failures = False, 0
        self._place, self._url, self._path, self._others, self._post = place, url, ledger_path, others, post
        # The newest message that was sent, also where the ledger could not note it: it is not sent again.
        self._taken, self._works = 0, False
        self._checked = False

    def turn(self) -> None:
        """
        Deliver what waits for the service.

        Raises:
            BotError: The service takes no message now, or the ledger cannot be used.
        """
        if self.malformed and self._checked:
            return
        with closing(Outbox(self._path)) as outbox:
            # Before the check, as in Notifier.start, which may have found the ledger busy.
            outbox.register(self._others())
            if not self._checked:
                self._check(outbox)
            if self.malformed:
                return
            try:
                outbox.deliver(self._send, service=self.name, now=datetime.now(UTC), taken=self._taken)
            except BotError:
                if self.failures >= DEAD and len(self._others()) > 1:
                    self._alert(
                        outbox, f"alert service {self._place} takes no messages", "the others do; the log has more"
                    )
                raise
            if self._works:
                outbox.resolve(f"service {self._place}", "it takes messages again", at=datetime.now(UTC))
                self._works = False

    def _check(self, outbox: Outbox) -> None:
        try:
            self._post({"do": "check", "url": self._url})
        except BadConfig as error:
            self.malformed = True
            outbox.register(self._others())  # its place goes: nothing waits for it
            title = f"address {self._place} of BOT_ALERT_URLS cannot be used"
            log.error("alerts.malformed", setting="BOT_ALERT_URLS", place=self._place, reason=str(error))  # noqa: TRY400 - one line
            self._alert(outbox, title, str(error))
        else:
            outbox.resolve(f"address {self._place}", "it can be used", at=datetime.now(UTC))
        self._checked = True

    def _alert(self, outbox: Outbox, title: str, body: str) -> None:
        name = f"address {self._place}" if self.malformed else f"service {self._place}"
        # Another address in the same place is news, though the alert about the one before it is open.
        outbox.alert(name, title, body, at=datetime.now(UTC), occasion=self.name)

    def _send(self, message: Message) -> None:
        about = {"title": message.title, "body": message.body, "kind": message.kind}
        try:
            self._post({"do": "message", "url": self._url, **about})
        except BotError as error:
            log.warning(
                "message.delayed", trouble=message.alert, kind=message.kind, service=self._place,
                attempts=self.failures + 1, reason=str(error),
            )  # fmt: skip
            self.failures += 1
            raise
        self.failures, self._taken, self._works = 0, message.id, True


class Pinger:
    """
    A dead man's switch.

    Args:
        url: Its address.
        post: Carries out an order to ping.

    Attributes:
        owed: Whether a round was confirmed since the last ping that arrived.
    """

    def __init__(self, url: str, post: Post) -> None:
        self._url, self._post, self.owed = url, post, False

    def turn(self) -> None:
        """Send a ping if one is owed. Raises ``BotError`` if it does not arrive."""
        if self.owed:
            self.owed = False  # before the ping: a round that is confirmed meanwhile owes another one
            try:
                self._post({"do": "ping", "url": self._url})
            except BaseException:
                self.owed = True
                raise


class _Worker:
    """A thread that takes one turn after another, with growing pauses after failures."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn, self._failures, self._hold_until = turn, 0, 0.0
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="notifier")

    def start(self) -> None:
        self._thread.start()
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_s)

    def _run(self) -> None:
        while True:
            self._wake.wait(PAUSE_S)
            self._wake.clear()
            last = (
                self._stopped.is_set()
            )  # read before the turn: a message queued during it is delivered in one more turn
            if time.monotonic() >= self._hold_until:
                self._take_turn()
            if last:
                return

    def _take_turn(self) -> None:
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001 - whatever fails, the thread goes on and tries again
            pause_s = min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
            self._failures = min(self._failures + 1, 10)
            self._hold_until = time.monotonic() + pause_s
            log.warning("message.failed", kind=type(error).__name__, again_s=pause_s)
        else:
            self._failures = 0
