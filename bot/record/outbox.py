"""
Queue of alerts: one message when a problem starts and one when it ends, however often it is reported.

A problem that lasts over several rounds names the round as its occasion: each round is reported once.

A message is written to the ledger in the transaction that opens or closes its alert, and sent from there. Each service has
a place of its own in the queue. So neither a crash nor a service that is down loses or repeats a message, and a service
that is dead for ever holds up no other. No time is compared: a clock that was wrong delays nothing.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.errors import BotError
from bot.record.database import Database
from bot.system.redaction import redact

BACKLOG = 5
"""Most messages that a service gets one by one. More of them are old news, and are summed up in one message."""

LISTED = 20
"""Messages that a summary lists, newest first."""

SHORT = 200
"""Characters of each body in a summary; services limit the length of a message."""

Kind = Literal["alert", "recovery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    A message to the operator.

    Attributes:
        id: Number of the message; of a summary, that of the newest one in it.
        alert: Name of the alert.
        kind: ``alert`` when the problem starts, ``recovery`` when it ends.
        title: One line.
        body: Details.
    """

    id: int
    alert: str
    kind: Kind
    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """
    An open alert.

    Attributes:
        name: Name of the problem.
        since: ISO time at which it began, UTC.
        title: One line.
        body: Details, and what to do; empty for an alert that an older bot opened.
    """

    name: str
    since: str
    title: str
    body: str


CLOSED_BY_SUCCESS = ("round", "account", "numerai", "attempt", "loop", "restart", "state")
"""Names of the alerts that end when every slot of a round is filled."""


class Outbox(Database):
    """The alerts and messages of a ledger."""

    def alert(self, name: str, title: str, body: str, *, at: datetime, occasion: str = "") -> bool:
        """
        Open an alert and queue its message; return whether the message is new.

        An open alert keeps its first message. Its title and body change where the occasion is given, and an occasion other
        than the last one queues another message.

        Args:
            name: Name of the problem, the same until it ends.
            title: One line.
            body: Details, and what to do.
            at: Aware time, UTC.
            occasion: What the alert is about this time, such as the number of a round.
        """
        title, body, occasion = redact(title), redact(body), redact(occasion)
        with self._transaction():
            known = self._db.execute("SELECT occasion FROM trouble WHERE name = ?", (name,)).fetchone()
            if known is None:
                self._db.execute(
                    "INSERT INTO trouble (name, since, title, body, occasion) VALUES (?, ?, ?, ?, ?)",
                    (name, at.isoformat(), title, body, occasion),
                )
            elif occasion:
                self._db.execute(
                    "UPDATE trouble SET title = ?, body = ?, occasion = ? WHERE name = ?", (title, body, occasion, name)
                )
            is_new = known is None or (bool(occasion) and occasion != known["occasion"])
            if is_new:
                self._queue(name, "alert", title, body, at)
        return is_new

    def resolve(self, name: str, body: str, *, at: datetime) -> bool:
        """Close an alert and queue the message of its end; return whether it was open."""
        with self._transaction():
            row = self._db.execute("DELETE FROM trouble WHERE name = ? RETURNING title, since", (name,)).fetchone()
            if row is not None:
                self._queue(
                    name,
                    "recovery",
                    f"over: {row['title']}",
                    f"{redact(body)}; the trouble began at {row['since'][:16].replace('T', ' ')} UTC",
                    at,
                )
        return row is not None

    def open_alerts(self) -> dict[str, str]:
        """Return the title of each open alert by name."""
        return {row["name"]: row["title"] for row in self._select("SELECT name, title FROM trouble ORDER BY since")}

    def problems(self) -> tuple[Problem, ...]:
        """Return the open alerts with their details, oldest first."""
        rows = self._select("SELECT name, since, title, body FROM trouble ORDER BY since")
        return tuple(Problem(**dict(row)) for row in rows)

    def register(self, services: Collection[str]) -> None:
        """
        Keep a place in the queue for exactly these services; nothing waits for any other.

        A new service begins after the last message that any service took. Where there was no service before, it gets no
        message of a problem that is over.

        Args:
            services: Names of the services that are configured; they must not contain a secret.
        """
        known = {str(row["name"]) for row in self._select("SELECT name FROM service")}
        if known == set(services):
            return
        with self._transaction():
            if not known:
                self._db.execute(
                    "DELETE FROM message WHERE sent_at IS NULL AND trouble NOT IN (SELECT name FROM trouble)"
                )
            for name in known - set(services):
                self._db.execute("DELETE FROM service WHERE name = ?", (name,))
            for name in set(services) - known:
                self._db.execute(
                    "INSERT OR IGNORE INTO service (name, taken)"
                    " SELECT ?, coalesce(max(id), 0) FROM message WHERE sent_at IS NOT NULL",
                    (name,),
                )

    def waiting(self) -> int:
        """Return the number of messages that a service has not taken yet; 0 where no service is configured."""
        rows = self._select("SELECT count(*) AS n FROM message WHERE id > (SELECT min(taken) FROM service)")
        return int(rows[0]["n"])

    def deliver(self, send: Callable[[Message], object], *, service: str, now: datetime, taken: int = 0) -> None:
        """
        Send the messages that a registered service has not taken, oldest first.

        A backlog is summed up in one message. A message whose sending raises stays, with those after it, so that a
        recovery never overtakes its alert. A message that was sent holds up no other where the ledger cannot note it.

        Args:
            send: Sends a message, or raises. The ledger is not locked meanwhile.
            service: Name of the service.
            now: Aware time, UTC; it is only recorded.
            taken: Number of the newest message that the service is known to have taken; where the ledger could not note
                it before, it is noted now and not sent again.

        Raises:
            StateUnwritable: What was sent could not be noted.
        """
        try:
            while (message := self._next(service, taken)) is not None:
                send(message)
                taken = message.id
                with suppress(BotError):  # tried again at the end
                    self._note(taken, service, now)
        finally:
            self._note(taken, service, now)

    def _note(self, taken: int, service: str, now: datetime) -> None:
        """Record that a service has taken the messages up to number *taken*, unless that is recorded."""
        if not self._select("SELECT 1 FROM service WHERE name = ? AND taken < ?", service, taken):
            return
        with self._transaction():
            self._db.execute("UPDATE service SET taken = ? WHERE name = ?", (taken, service))
            self._db.execute(
                "UPDATE message SET sent_at = ? WHERE id <= ? AND sent_at IS NULL", (now.isoformat(), taken)
            )

    def _next(self, service: str, taken: int) -> Message | None:
        rows = self._select(
            "SELECT message.* FROM message JOIN service ON message.id > max(service.taken, ?) WHERE service.name = ?"
            " ORDER BY id",
            taken,
            service,
        )
        if len(rows) > BACKLOG:
            return self._summary(
                [(str(row["queued_at"]), str(row["title"]), str(row["body"])) for row in rows], rows[-1]["id"]
            )
        if not rows:
            return None
        row = rows[0]
        return Message(id=row["id"], alert=row["trouble"], kind=row["kind"], title=row["title"], body=row["body"])

    def _summary(self, messages: list[tuple[str, str, str]], newest: int) -> Message:
        """Return one message in place of many, given as time, title and body: open problems first, then the newest."""
        known = self.open_alerts()
        lines = [f"open now: {title}" for title in known.values()] or ["no problem is open now"]
        lines += [f"{at[:16]} {title}: {body[:SHORT]}" for at, title, body in reversed(messages[-LISTED:])]
        lines += [f"and {len(messages) - LISTED} older ones"] * (len(messages) > LISTED)
        return Message(
            id=newest,
            alert="backlog",
            kind="alert" if known else "recovery",
            title=f"{len(messages)} messages that were not sent before",
            body="\n".join(lines),
        )

    def _queue(self, alert: str, kind: Kind, title: str, body: str, at: datetime) -> None:
        self._db.execute(
            "INSERT INTO message (trouble, kind, title, body, queued_at) VALUES (?, ?, ?, ?, ?)",
            (alert, kind, title, body, at.isoformat()),
        )
