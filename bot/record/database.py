"""
The bot's SQLite file: connection, migrations, and errors.

Commits are synchronous (WAL, ``synchronous=FULL``): once a method returns, its changes survive a power cut.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from bot.errors import BadConfig, BotError, LedgerDamaged, StateUnwritable
from bot.system.files import refusal, state_error
from bot.system.kill_points import kill_point

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk is full or fails; make room and check it",
    sqlite3.SQLITE_BUSY: "another process holds its lock; wait or stop it",
}
"""Cause and remedy by SQLite's primary result code."""

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
    """
    CREATE TABLE round (
        number INTEGER PRIMARY KEY,
        opens_at TEXT NOT NULL,
        closes_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE trouble (
        name TEXT PRIMARY KEY,
        since TEXT NOT NULL,
        title TEXT NOT NULL
    ) STRICT;
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        trouble TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('alert', 'recovery')),
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        queued_at TEXT NOT NULL,
        next_at TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        sent_at TEXT
    ) STRICT;
    """,
    """
    ALTER TABLE submission ADD COLUMN rung TEXT NOT NULL DEFAULT 'champion';
    """,
    """
    CREATE TABLE live_score (
        round INTEGER NOT NULL,
        slot TEXT NOT NULL,
        name TEXT NOT NULL,
        value REAL NOT NULL,
        percentile REAL,
        day INTEGER NOT NULL,
        date TEXT NOT NULL,
        resolved INTEGER NOT NULL,
        PRIMARY KEY (round, slot, name)
    ) STRICT;
    CREATE TABLE round_pay (
        round INTEGER PRIMARY KEY,
        multipliers TEXT NOT NULL,
        clip REAL NOT NULL,
        factor REAL NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE live_file RENAME TO live_file_of_any_version;
    CREATE TABLE live_file (
        round INTEGER NOT NULL,
        version TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        ids_sha256 TEXT NOT NULL,
        rows INTEGER NOT NULL,
        fetched_at TEXT NOT NULL,
        PRIMARY KEY (round, version)
    ) STRICT;
    INSERT INTO live_file SELECT round, '', sha256, ids_sha256, rows, fetched_at FROM live_file_of_any_version;
    DROP TABLE live_file_of_any_version;
    """,
    """
    CREATE TABLE diagnosis (
        artifact TEXT PRIMARY KEY,
        recipe TEXT NOT NULL,
        model_id TEXT NOT NULL,
        token TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('intended', 'sent', 'agrees', 'differs', 'refused')),
        diagnostics_id TEXT,
        ours TEXT NOT NULL,
        theirs TEXT,
        verdict TEXT,
        at TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE round_paid (
        round INTEGER NOT NULL,
        slot TEXT NOT NULL,
        nmr REAL NOT NULL,
        at_risk REAL,
        settled INTEGER NOT NULL,
        PRIMARY KEY (round, slot)
    ) STRICT;
    """,
    """
    ALTER TABLE submission ADD COLUMN passed_over TEXT NOT NULL DEFAULT '';
    CREATE TABLE scoring (
        round INTEGER NOT NULL,
        slot TEXT NOT NULL,
        artifact TEXT NOT NULL,
        started_at TEXT,
        limit_s REAL NOT NULL,
        killed INTEGER NOT NULL DEFAULT 0,
        overran INTEGER NOT NULL DEFAULT 0,
        lost_s REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (round, slot, artifact)
    ) STRICT;
    """,
    """
    ALTER TABLE message RENAME TO message_of_one_queue;
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        trouble TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('alert', 'recovery')),
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        queued_at TEXT NOT NULL,
        sent_at TEXT
    ) STRICT;
    INSERT INTO message SELECT id, trouble, kind, title, body, queued_at, sent_at FROM message_of_one_queue;
    DROP TABLE message_of_one_queue;
    CREATE TABLE service (
        name TEXT PRIMARY KEY,
        taken INTEGER NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE look (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        recipe TEXT NOT NULL,
        artifact TEXT NOT NULL,
        champion TEXT NOT NULL,
        renewal INTEGER NOT NULL,
        first_era TEXT NOT NULL,
        last_era TEXT NOT NULL,
        promoted INTEGER NOT NULL,
        spent REAL NOT NULL,
        remaining REAL NOT NULL,
        lead TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE failure (
        round INTEGER NOT NULL,
        slot TEXT NOT NULL,
        kind TEXT NOT NULL,
        message TEXT NOT NULL,
        gates TEXT NOT NULL,
        first_at TEXT NOT NULL,
        last_at TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        PRIMARY KEY (round, slot)
    ) STRICT;
    CREATE TABLE pause (
        slot TEXT PRIMARY KEY,
        since TEXT NOT NULL,
        until TEXT
    ) STRICT;
    ALTER TABLE trouble ADD COLUMN occasion TEXT NOT NULL DEFAULT '';
    ALTER TABLE trouble ADD COLUMN body TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE hosted_pickle (
        slot TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        account TEXT NOT NULL,
        model_id TEXT NOT NULL,
        artifact TEXT NOT NULL,
        filename TEXT NOT NULL,
        pickle TEXT NOT NULL,
        stale_after TEXT,
        state TEXT NOT NULL CHECK (state IN ('intended', 'uploaded', 'refused', 'assigned', 'replaced')),
        detail TEXT NOT NULL,
        at TEXT NOT NULL,
        assigned_at TEXT,
        checked_at TEXT,
        PRIMARY KEY (slot, sha256)
    ) STRICT;
    """,
)


NUMERAI, ANOTHER = 1, 2
"""Values of SQLite's ``application_id``: whose rounds a ledger has; 0 is that of a file which nobody has claimed."""

READERS_WAIT_S = 2.0
"""Longest wait of a reader for a busy file in seconds; a page is asked for again, a round is not."""


class Database:
    """
    A connection to the file, for one thread.

    Args:
        path: Path of the file; the file and its folder are made if they are absent.
        read_only: Open an existing file to read only: nothing is made, written or migrated on the disk, and the disk
            may be full or read-only. A file of an earlier bot is migrated in memory.

    Raises:
        LedgerDamaged: The file is damaged.
        BadConfig: It was written by a newer bot.
        StateUnwritable: The disk is full or failing, or the file is busy; for a reader also: there is no file.
        StateForbidden: The file is another user's, or read-only.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        if read_only:
            with kill_point("ledger.read"):  # of the commands, only those that show things open it so
                with self._translated_errors():
                    self._db = _open_to_read(path)
                    self._db.row_factory = sqlite3.Row
                    version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if version != len(_MIGRATIONS):
                    with self._translated_errors():
                        self._db = _copy_in_memory(self._db)
                    self._migrate(path)
            return
        with kill_point("ledger.open"), self._translated_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
        with kill_point("ledger.migrate"), self._translated_errors():
            self._migrate(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def claim(self, *, for_numerai: bool) -> None:
        """
        Keep the file for the rounds of Numerai, or for those of another server such as the sandbox.

        Raises:
            BadConfig: It has rounds of the other kind. Their numbers are alike, so that a rehearsal would count as a submission.
        """
        server = NUMERAI if for_numerai else ANOTHER
        with kill_point("ledger.claim"), self._transaction():
            kept = self._db.execute("PRAGMA application_id").fetchone()[0]
            if kept not in (0, server):
                rounds = "a sandbox or another server" if for_numerai else "Numerai"
                raise BadConfig(
                    f"the ledger {self._path} has rounds of {rounds}; set BOT_STATE_DIR to another folder, or BOT_API_URL"
                    " to the address that it was used with"
                )
            if kept == 0:
                self._db.execute(f"PRAGMA application_id = {server}")

    def probe(self) -> None:
        """
        Check that the file can be written: take the lock that every write needs, and release it.

        Raises:
            StateUnwritable: Another process has held the lock for five seconds.
        """
        with kill_point("ledger.probe"), self._transaction():
            pass

    def _select(self, query: str, *values: int | str) -> list[sqlite3.Row]:
        with self._translated_errors():
            return self._db.execute(query, values).fetchall()

    def _event(self, name: str, at: str, round_number: int | None, slot: str | None, detail: Mapping[str, str]) -> None:
        """Append an event; call it in a transaction."""
        self._db.execute(
            "INSERT INTO event (at, name, round, slot, detail) VALUES (?, ?, ?, ?, ?)",
            (at, name, round_number, slot, json.dumps(detail, sort_keys=True)),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._translated_errors():
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
        finally:
            # SQLite rolls back some failed transactions by itself, but not a commit that failed on a full disk.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """
        Translate what SQLite and the disk refuse.

        StateUnwritable is a full, failing or busy disk, which may pass. StateForbidden is another user's file or a
        read-only one. LedgerDamaged is a damaged file.
        """
        try:
            yield
        except OSError as error:
            raise state_error(self._path, error) from None
        except sqlite3.OperationalError as error:
            raise self._refused(error) from None
        except sqlite3.DatabaseError as error:
            raise LedgerDamaged(
                f"the ledger {self._path} cannot be used: {error}; restore it from a backup or move it away"
            ) from None

    def _refused(self, error: sqlite3.OperationalError) -> BotError:
        """Return the bot's error for what SQLite refuses; of a file that it cannot open it does not give the cause."""
        # Python's own OperationalErrors carry no code.
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            found = refusal(self._path)
            if found is not None:
                return state_error(self._path, found)
        remedy = _REMEDIES.get(primary, "check the disk")
        return StateUnwritable(f"the ledger {self._path} cannot be used now: {error}: {remedy}")

    def _migrate(self, path: Path) -> None:
        with self._transaction():  # of two processes that open a new file, one waits for the other
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(_MIGRATIONS):
                raise BadConfig(
                    f"the ledger {path} was written by a newer bot (schema {version}); upgrade the bot, or restore the"
                    " backup that was made before the upgrade"
                )
            if version == len(_MIGRATIONS):
                return  # writes nothing: an opening costs no fsync, and what was queued can be read on a full disk
            for script in _MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    database = sqlite3.connect(address, uri=True, timeout=READERS_WAIT_S, isolation_level=None)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        database.close()
        log = path.with_name(f"{path.name}-wal")
        unmade = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not unmade or not path.is_file() or (log.is_file() and log.stat().st_size):
            raise
        # Even a reader makes files beside a database in WAL mode. Where that fails, nobody writes, and without a log the
        # file alone is complete.
        database = sqlite3.connect(f"{address}&immutable=1", uri=True, isolation_level=None)
    return database


def _copy_in_memory(source: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy of a database that lives in memory, and close *source*."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    source.backup(copy)
    source.close()
    copy.row_factory = sqlite3.Row
    return copy
