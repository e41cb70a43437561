"""
The ledger: what the bot owes, intends and has proven, in one SQLite file per mode.

A row of ``submission`` is written *before* the first effect on the server (``intended``) and becomes ``confirmed``
only after the uploaded bytes were read back; a dry run leaves ``rehearsed``. ``event`` is append-only.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bot.boundaries import boundary
from bot.errors import BadConfig, StateLocked, StateUnwritable

_MIGRATIONS = (
    """
    CREATE TABLE submission (
        round INTEGER NOT NULL,
        slot TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('intended', 'confirmed', 'rehearsed')),
        token TEXT NOT NULL,
        csv_sha256 TEXT NOT NULL,
        data_sha256 TEXT NOT NULL,
        artifact TEXT NOT NULL,
        submission_id TEXT,
        filename TEXT,
        intended_at TEXT NOT NULL,
        confirmed_at TEXT,
        PRIMARY KEY (round, slot)
    ) STRICT;
    CREATE TABLE live_file (
        round INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL,
        ids_sha256 TEXT NOT NULL,
        rows INTEGER NOT NULL,
        fetched_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE chore (
        name TEXT PRIMARY KEY,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        outcome TEXT
    ) STRICT;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        name TEXT NOT NULL,
        round INTEGER,
        slot TEXT,
        detail TEXT NOT NULL
    ) STRICT;
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One round of one slot as the ledger knows it; ``state`` is intended, confirmed, or rehearsed in a dry run."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRecord:
    """The live file a round was scored on."""

    round: int
    sha256: str
    ids_sha256: str
    rows: int
    fetched_at: str


class Ledger:
    """
    Durable memory of rounds, slots and chores.

    Commits are synchronous (WAL, ``synchronous=FULL``): what a method returned from survives a power cut.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with boundary("ledger.open"), self._failing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
        with boundary("ledger.migrate"), self._failing():
            self._migrate(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def entry(self, round_number: int, slot: str) -> Entry | None:
        """Return what is known of *slot* in the round, or ``None``."""
        rows = self._select("SELECT * FROM submission WHERE round = ? AND slot = ?", round_number, slot)
        return Entry(**rows[0]) if rows else None

    def entries(self, *, limit: int = 20) -> tuple[Entry, ...]:
        """Return the newest entries first."""
        rows = self._select("SELECT * FROM submission ORDER BY round DESC, slot LIMIT ?", limit)
        return tuple(Entry(**row) for row in rows)

    def last_confirmed(self, slot: str, *, before: int) -> Entry | None:
        """Return the newest confirmed entry of *slot* in a round earlier than *before*."""
        rows = self._select(
            "SELECT * FROM submission WHERE slot = ? AND round < ? AND state = 'confirmed' ORDER BY round DESC LIMIT 1",
            slot,
            before,
        )
        return Entry(**rows[0]) if rows else None

    def intend(self, entry: Entry) -> None:
        """Record what is about to be uploaded; a later intent for the same round and slot replaces it."""
        with boundary("ledger.intend"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO submission (round, slot, state, token, csv_sha256, data_sha256, artifact,"
                " submission_id, filename, intended_at, confirmed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                ),
            )
            self._event("submission." + entry.state, entry.intended_at, entry.round, entry.slot, {"token": entry.token})

    def confirm(self, round_number: int, slot: str, *, submission_id: str, filename: str, at: datetime) -> None:
        """Record that the server holds exactly the intended bytes."""
        with boundary("ledger.confirm"), self._transaction():
            self._db.execute(
                "UPDATE submission SET state = 'confirmed', submission_id = ?, filename = ?, confirmed_at = ?"
                " WHERE round = ? AND slot = ?",
                (submission_id, filename, at.isoformat(), round_number, slot),
            )
            self._event("submission.confirmed", at.isoformat(), round_number, slot, {"submission_id": submission_id})

    def record_live(self, record: LiveRecord) -> None:
        """Remember the live file of a round, so that a later round can be proven to have a new one."""
        with boundary("ledger.record_live"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO live_file (round, sha256, ids_sha256, rows, fetched_at) VALUES (?, ?, ?, ?, ?)",
                (record.round, record.sha256, record.ids_sha256, record.rows, record.fetched_at),
            )
            self._event("dataset.fetched", record.fetched_at, record.round, None, {"sha256": record.sha256})

    def live(self, round_number: int) -> LiveRecord | None:
        """Return the live file recorded for the round, or ``None``."""
        rows = self._select("SELECT * FROM live_file WHERE round = ?", round_number)
        return LiveRecord(**rows[0]) if rows else None

    def earlier_live(self, round_number: int) -> tuple[LiveRecord, ...]:
        """Return the live files of earlier rounds, newest first."""
        rows = self._select("SELECT * FROM live_file WHERE round < ? ORDER BY round DESC LIMIT 50", round_number)
        return tuple(LiveRecord(**row) for row in rows)

    def start_chore(self, name: str, at: datetime) -> None:
        """Record that a chore began."""
        with boundary("ledger.start_chore"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO chore (name, started_at) VALUES (?, ?)",
                (name, at.isoformat()),
            )
            self._event("chore.started", at.isoformat(), None, None, {"chore": name})

    def finish_chore(self, name: str, at: datetime, outcome: str) -> None:
        """Record how a chore ended: ``ok`` or a reason."""
        with boundary("ledger.finish_chore"), self._transaction():
            self._db.execute(
                "UPDATE chore SET finished_at = ?, outcome = ? WHERE name = ?", (at.isoformat(), outcome, name)
            )
            self._event("chore.finished", at.isoformat(), None, None, {"chore": name, "outcome": outcome})

    def chore(self, name: str) -> dict[str, str | None] | None:
        """Return start, end and outcome of a chore's last run, or ``None``."""
        rows = self._select("SELECT * FROM chore WHERE name = ?", name)
        return dict(rows[0]) if rows else None

    def events(self, round_number: int) -> tuple[tuple[str, str], ...]:
        """Return (time, name) of everything recorded for a round, oldest first."""
        rows = self._select("SELECT at, name FROM event WHERE round = ? ORDER BY id", round_number)
        return tuple((row["at"], row["name"]) for row in rows)

    def _event(self, name: str, at: str, round_number: int | None, slot: str | None, detail: dict[str, str]) -> None:
        self._db.execute(
            "INSERT INTO event (at, name, round, slot, detail) VALUES (?, ?, ?, ?, ?)",
            (at, name, round_number, slot, json.dumps(detail, sort_keys=True)),
        )

    def _select(self, query: str, *values: int | str) -> list[sqlite3.Row]:
        with self._failing():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._failing():
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
        finally:
            # SQLite ends some failed transactions by itself; one that a full disk kept from committing, it does not.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Tell a disk that is full, failing or busy, which may pass, from a file that is damaged."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise StateUnwritable(f"the ledger {self._path} cannot be used now: {error}; is the disk full?") from None
        except sqlite3.DatabaseError as error:
            raise BadConfig(
                f"the ledger {self._path} cannot be used: {error}; restore it from a backup or move it away"
            ) from None

    def _migrate(self, path: Path) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_MIGRATIONS):
            raise BadConfig(f"the ledger {path} was written by a newer bot (schema {version}); upgrade the bot")
        for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
            self._db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


@contextmanager
def state_lock(state_dir: Path, name: str = "bot") -> Iterator[None]:
    """
    Hold the state directory for this process; the kernel frees it however the process ends.

    Args:
        state_dir: Directory to hold.
        name: What is held: ``bot`` for submitting, ``retrain`` for training.

    Raises:
        StateLocked: Another process holds it; the message names its process id.
    """
    with boundary("lock.folder"):
        state_dir.mkdir(parents=True, exist_ok=True)
    holder = state_dir / f"{name}.holder"
    lock = FileLock(state_dir / f"{name}.lock")
    try:
        with boundary("lock.acquire"):
            lock.acquire(timeout=0)
    except Timeout:
        pid = holder.read_text(encoding="utf-8") if holder.is_file() else "unknown"
        raise StateLocked(f"{state_dir} is held by process {pid}; stop it, or wait until it is done") from None
    try:
        with boundary("lock.holder"):
            holder.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()
