"""
Queue of alerts: one message when a problem starts and one when it ends, however often it is reported.

A message is written to the ledger in the transaction that opens or closes its alert, and sent from there. So neither a
crash nor a notification service that is down loses or repeats a message.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bot.record.database import Database
from bot.system.redaction import redact

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30, 900
"""Seconds between attempts to send a message: doubled from the first pause to the longest."""

Kind = Literal["alert", "recovery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    A message to the operator.

    Attributes:
        id: Number of the message.
        alert: Name of the alert.
        kind: ``alert`` when the problem starts, ``recovery`` when it ends.
        title: One line.
        body: Details.
        attempts: Failed attempts to send it.
    """

    id: int
    alert: str
    kind: Kind
    title: str
    body: str
    attempts: int


class Outbox(Database):
    """The alerts and messages of a ledger."""

    def alert(self, name: str, title: str, body: str, *, at: datetime) -> bool:
        """
        Open an alert and queue its message; return whether the alert is new.

        Args:
            name: Name of the problem, the same until it ends.
            title: One line.
            body: Details, and what to do.
            at: Aware time, UTC.
        """
        title, body = redact(title), redact(body)
        with self._transaction():
            opened = self._db.execute(
                "INSERT OR IGNORE INTO trouble (name, since, title) VALUES (?, ?, ?)", (name, at.isoformat(), title)
            ).rowcount
            if opened:
                self._queue(name, "alert", title, body, at)
        return bool(opened)

    def resolve(self, name: str, body: str, *, at: datetime) -> bool:
        """Close an alert and queue the message of its end; return whether it was open."""
        with self._transaction():
            row = self._db.execute("DELETE FROM trouble WHERE name = ? RETURNING title, since", (name,)).fetchone()
            if row is not None:
                self._queue(name, "recovery", f"over: {row['title']}", f"{redact(body)} (since {row['since']})", at)
        return row is not None

    def open_alerts(self) -> dict[str, str]:
        """Return the title of each open alert by name."""
        return {row["name"]: row["title"] for row in self._select("SELECT name, title FROM trouble ORDER BY since")}

    def waiting(self) -> int:
        """Return the number of messages that have not been sent."""
        return int(self._select("SELECT count(*) AS n FROM message WHERE sent_at IS NULL")[0]["n"])

    def deliver(self, send: Callable[[Message], bool], *, now: datetime) -> int:
        """
        Send the due messages, oldest first; return how many were sent.

        Messages after one that cannot be sent wait, so that a recovery never overtakes its alert.

        Args:
            send: Sends a message and returns whether that succeeded. The ledger is not locked meanwhile.
            now: Aware time, UTC.
        """
        sent = 0
        for row in self._select("SELECT * FROM message WHERE sent_at IS NULL ORDER BY id"):
            if datetime.fromisoformat(row["next_at"]) > now:
                break
            message = Message(
                id=row["id"],
                alert=row["trouble"],
                kind=row["kind"],
                title=row["title"],
                body=row["body"],
                attempts=row["attempts"],
            )
            if not send(message):
                pause = min(FIRST_PAUSE_S * 2**message.attempts, LONGEST_PAUSE_S)
                with self._transaction():
                    self._db.execute(
                        "UPDATE message SET attempts = attempts + 1, next_at = ? WHERE id = ?",
                        ((now + timedelta(seconds=pause)).isoformat(), message.id),
                    )
                break
            with self._transaction():
                self._db.execute("UPDATE message SET sent_at = ? WHERE id = ?", (now.isoformat(), message.id))
            sent += 1
        return sent

    def _queue(self, alert: str, kind: Kind, title: str, body: str, at: datetime) -> None:
        self._db.execute(
            "INSERT INTO message (trouble, kind, title, body, queued_at, next_at) VALUES (?, ?, ?, ?, ?, ?)",
            (alert, kind, title, body, at.isoformat(), at.isoformat()),
        )
