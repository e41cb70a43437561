"""
The ledger: what the bot owes, intends and has proven, in one SQLite file per mode.

A row of ``submission`` is written *before* the first effect on the server (``intended``) and becomes ``confirmed``
only after the uploaded bytes were read back; a dry run leaves ``rehearsed``. ``event`` is append-only.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.record.database import Database
from bot.system.kill_points import kill_point
from bot.tournament.rounds import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One round of one slot as the ledger knows it.

    ``state`` is intended, confirmed, or rehearsed in a dry run; ``filled_by`` is what filled the slot, see :mod:`bot.submission.fallbacks`.
    """

    round: int
    slot: str
    state: str
    token: str
    csv_sha256: str
    data_sha256: str
    artifact: str
    submission_id: str | None
    filename: str | None
    intended_at: str
    confirmed_at: str | None
    filled_by: str = "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFileRecord:
    """A live file that a round was scored on; its data version is empty where an older bot did not write it down."""

    round: int
    version: str
    sha256: str
    ids_sha256: str
    rows: int
    fetched_at: str


def rounds_folder(ledger_path: Path) -> Path:
    """
    Return the folder in which the rounds of a ledger keep what they saw and sent.

    Each mode has its own, as it has its ledger: a dry run never replaces what was sent.
    """
    return ledger_path.with_name(ledger_path.stem.replace("ledger", "rounds"))


class Ledger(Database):
    """Durable memory of rounds, slots and jobs."""

    @property
    def rounds(self) -> Path:
        """Return the folder of its rounds."""
        return rounds_folder(self._path)

    def entry(self, round_number: int, slot: str) -> Entry | None:
        """Return what is known of *slot* in the round, or ``None``."""
        rows = self._select("SELECT * FROM submission WHERE round = ? AND slot = ?", round_number, slot)
        return _to_entry(rows[0]) if rows else None

    def entries(self, *, limit: int = 20) -> tuple[Entry, ...]:
        """Return the newest entries first."""
        rows = self._select("SELECT * FROM submission ORDER BY round DESC, slot LIMIT ?", limit)
        return tuple(_to_entry(row) for row in rows)

    def last_confirmed(self, slot: str, *, before: int) -> Entry | None:
        """Return the newest confirmed entry of *slot* in a round earlier than *before*."""
        rows = self._select(
            "SELECT * FROM submission WHERE slot = ? AND round < ? AND state = 'confirmed' ORDER BY round DESC LIMIT 1",
            slot,
            before,
        )
        return _to_entry(rows[0]) if rows else None

    def intend(self, entry: Entry) -> None:
        """Record what is about to be uploaded; a later intent for the same round and slot replaces it."""
        with kill_point("ledger.intend"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO submission (round, slot, state, token, csv_sha256, data_sha256, artifact,"
                " submission_id, filename, intended_at, confirmed_at, rung) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    entry.round,
                    entry.slot,
                    entry.state,
                    entry.token,
                    entry.csv_sha256,
                    entry.data_sha256,
                    entry.artifact,
                    entry.submission_id,
                    entry.filename,
                    entry.intended_at,
                    entry.confirmed_at,
                    entry.filled_by,
                ),
            )
            self._event("submission." + entry.state, entry.intended_at, entry.round, entry.slot, {"token": entry.token})

    def confirm(self, round_number: int, slot: str, *, submission_id: str, filename: str, at: datetime) -> None:
        """Record that the server holds exactly the intended bytes."""
        with kill_point("ledger.confirm"), self._transaction():
            self._db.execute(
                "UPDATE submission SET state = 'confirmed', submission_id = ?, filename = ?, confirmed_at = ?"
                " WHERE round = ? AND slot = ?",
                (submission_id, filename, at.isoformat(), round_number, slot),
            )
            self._event("submission.confirmed", at.isoformat(), round_number, slot, {"submission_id": submission_id})

    def newest(self, slot: str) -> Entry | None:
        """Return the newest entry of *slot*."""
        rows = self._select("SELECT * FROM submission WHERE slot = ? ORDER BY round DESC LIMIT 1", slot)
        return _to_entry(rows[0]) if rows else None

    def queue(self, round_number: int, slot: str, *, submission_id: str, filename: str, at: datetime) -> None:
        """Record that the server holds the intended bytes for the round after, since they came late."""
        with kill_point("ledger.queue"), self._transaction():
            detail = {"submission_id": submission_id, "filename": filename}
            self._event("submission.queued", at.isoformat(), round_number, slot, detail)

    def queued(self, round_number: int, slot: str) -> bool:
        """Say whether what *slot* intended for the round was handed in late."""
        query = "SELECT 1 FROM event WHERE name = 'submission.queued' AND round = ? AND slot = ?"
        return bool(self._select(query, round_number, slot))

    def unsent(self) -> Round | None:
        """Return the newest round that was seen, if a slot of it was finished but neither confirmed nor handed in late."""
        rows = self._select(
            "SELECT * FROM round WHERE number = (SELECT max(number) FROM round) AND EXISTS (SELECT 1 FROM submission s"
            " WHERE s.round = number AND s.state = 'intended' AND NOT EXISTS (SELECT 1 FROM event e"
            " WHERE e.name = 'submission.queued' AND e.round = s.round AND e.slot = s.slot))"
        )
        return _to_round(rows[0]) if rows else None

    def record_live_file(self, record: LiveFileRecord) -> None:
        """Remember a live file of a round, so that a later round can be proven to have a new one."""
        with kill_point("ledger.record_live"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO live_file (round, version, sha256, ids_sha256, rows, fetched_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (record.round, record.version, record.sha256, record.ids_sha256, record.rows, record.fetched_at),
            )
            self._event("dataset.fetched", record.fetched_at, record.round, None, {"sha256": record.sha256})

    def live_files(self, round_number: int) -> tuple[LiveFileRecord, ...]:
        """Return the live files recorded for the round, one of each data version that was needed."""
        rows = self._select("SELECT * FROM live_file WHERE round = ? ORDER BY version", round_number)
        return tuple(LiveFileRecord(**row) for row in rows)

    def forget(self, round_number: int) -> None:
        """Forget the live files of a round and what was only intended on the strength of them."""
        with kill_point("ledger.forget"), self._transaction():
            self._db.execute("DELETE FROM live_file WHERE round = ?", (round_number,))
            self._db.execute("DELETE FROM submission WHERE round = ? AND state = 'intended'", (round_number,))

    def earlier_live_files(self, round_number: int) -> tuple[LiveFileRecord, ...]:
        """Return the live files of earlier rounds, newest first."""
        rows = self._select("SELECT * FROM live_file WHERE round < ? ORDER BY round DESC LIMIT 50", round_number)
        return tuple(LiveFileRecord(**row) for row in rows)

    def settled(self, round_number: int, slot: str) -> bool:
        """Say whether nothing is left to do for *slot* in the round: confirmed, or rehearsed in a dry run."""
        entry = self.entry(round_number, slot)
        return entry is not None and entry.state != "intended"

    def filled_by(self, round_number: int, slot: str) -> str:
        """Return what filled *slot* in the round; the champion where nothing has yet."""
        entry = self.entry(round_number, slot)
        return "champion" if entry is None else entry.filled_by

    def record_round(self, round_: Round) -> None:
        """Remember when a round opened and closes; what it looked like last counts."""
        with kill_point("ledger.see"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO round (number, opens_at, closes_at) VALUES (?, ?, ?)",
                (round_.number, round_.opens_at.isoformat(), round_.closes_at.isoformat()),
            )

    def last_round(self) -> dict[str, Any] | None:
        """Return number, opening and close of the newest round that was seen, ``None`` before the first."""
        rows = self._select("SELECT * FROM round ORDER BY number DESC LIMIT 1")
        return dict(rows[0]) if rows else None

    def opening_times(self, *, limit: int = 15) -> tuple[datetime, ...]:
        """Return when the newest rounds that were seen opened."""
        rows = self._select("SELECT opens_at FROM round ORDER BY number DESC LIMIT ?", limit)
        return tuple(datetime.fromisoformat(row["opens_at"]) for row in rows)

    def start_job(self, name: str, at: datetime) -> None:
        """Record that a job began."""
        with kill_point("ledger.start_job"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO chore (name, started_at) VALUES (?, ?)",
                (name, at.isoformat()),
            )
            self._event("chore.started", at.isoformat(), None, None, {"chore": name})

    def finish_job(self, name: str, at: datetime, outcome: str) -> None:
        """Record how a job ended: ``ok`` or a reason."""
        with kill_point("ledger.finish_job"), self._transaction():
            self._db.execute(
                "UPDATE chore SET finished_at = ?, outcome = ? WHERE name = ?", (at.isoformat(), outcome, name)
            )
            self._event("chore.finished", at.isoformat(), None, None, {"chore": name, "outcome": outcome})

    def job(self, name: str) -> dict[str, str | None] | None:
        """Return start, end and outcome of a job's last run, or ``None``."""
        rows = self._select("SELECT * FROM chore WHERE name = ?", name)
        return dict(rows[0]) if rows else None

    def jobs(self) -> tuple[dict[str, str | None], ...]:
        """Return the last run of every job."""
        return tuple(dict(row) for row in self._select("SELECT * FROM chore ORDER BY name"))

    def events(self, round_number: int) -> tuple[tuple[str, str], ...]:
        """Return (time, name) of everything recorded for a round, oldest first."""
        rows = self._select("SELECT at, name FROM event WHERE round = ? ORDER BY id", round_number)
        return tuple((row["at"], row["name"]) for row in rows)

    def _event(self, name: str, at: str, round_number: int | None, slot: str | None, detail: dict[str, str]) -> None:
        self._db.execute(
            "INSERT INTO event (at, name, round, slot, detail) VALUES (?, ?, ?, ?, ?)",
            (at, name, round_number, slot, json.dumps(detail, sort_keys=True)),
        )


def _to_entry(row: sqlite3.Row) -> Entry:
    columns = dict(row)
    return Entry(filled_by=columns.pop("rung"), **columns)


def _to_round(row: sqlite3.Row) -> Round:
    """Return a round as the table of that name keeps it."""
    opens_at, closes_at = (datetime.fromisoformat(row[name]) for name in ("opens_at", "closes_at"))
    return Round(number=row["number"], opens_at=opens_at, closes_at=closes_at)
