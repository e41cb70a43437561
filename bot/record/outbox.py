"""
What a person has to be told: one alert when a trouble begins, one word when it is over, however often it shows.

Messages are written to the ledger in the same transaction that opens or closes the trouble, and are sent from there, so
that neither a crash nor a messenger that is down loses or repeats one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bot.record.database import Database

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30, 900
"""Seconds between attempts to send: doubled from the first to the longest."""

Kind = Literal["alert", "recovery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to tell: about which trouble, and whether it begins or is over."""

    id: int
    alert: str
    kind: Kind
    title: str
    body: str
    attempts: int


class Outbox(Database):
    """The messages of a ledger."""

    def alert(self, name: str, title: str, body: str, *, at: datetime) -> bool:
        """
        Open a trouble and queue its alert; return whether it is a new one.

        Args:
            name: What is wrong; the same until it is over.
            title: One line.
            body: What is known, and what to do.
            at: Aware UTC.
        """
        with self._transaction():
            opened = self._db.execute(
                "INSERT OR IGNORE INTO trouble (name, since, title) VALUES (?, ?, ?)", (name, at.isoformat(), title)
            ).rowcount
            if opened:
                self._queue(name, "alert", title, body, at)
        return bool(opened)

    def resolve(self, name: str, body: str, *, at: datetime) -> bool:
        """Close a trouble and queue the word that it is over; return whether there was one."""
        with self._transaction():
            row = self._db.execute("DELETE FROM trouble WHERE name = ? RETURNING title, since", (name,)).fetchone()
            if row is not None:
                self._queue(name, "recovery", f"over: {row['title']}", f"{body} (since {row['since']})", at)
        return row is not None

    def open_alerts(self) -> dict[str, str]:
        """Return the title of every open trouble, by name."""
        return {row["name"]: row["title"] for row in self._select("SELECT name, title FROM trouble ORDER BY since")}

    def waiting(self) -> int:
        """Return how many messages have not been sent."""
        return int(self._select("SELECT count(*) AS n FROM message WHERE sent_at IS NULL")[0]["n"])

    def deliver(self, send: Callable[[Message], bool], *, now: datetime) -> int:
        """
        Send what is due, oldest first; return how many went out.

        A recovery never overtakes its alert: where one cannot be sent, what comes after it waits.

        Args:
            send: Says whether the message got through; may take its time, nothing is locked meanwhile.
            now: Aware UTC.
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

    def _queue(self, trouble: str, kind: Kind, title: str, body: str, at: datetime) -> None:
        self._db.execute(
            "INSERT INTO message (trouble, kind, title, body, queued_at, next_at) VALUES (?, ?, ?, ?, ?, ?)",
            (trouble, kind, title, body, at.isoformat(), at.isoformat()),
        )
