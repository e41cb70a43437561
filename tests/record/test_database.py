"""The ledger's file is atomic, durable and migrated; one process holds its directory."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from bot.errors import BadConfig, StateLocked, StateUnwritable
from bot.record.ledger import Ledger, LiveFileRecord
from bot.system.child_process import PARENT_VARIABLE
from bot.system.kill_points import listening
from bot.system.lock import state_lock
from tests.record.test_ledger_memory import ENTRY, opened


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_a_failed_write_is_undone_whole(tmp_path, ledger):
    """A transaction that fails halfway leaves no row, no event and no lock."""
    ledger._db.execute("DROP TABLE event")
    with pytest.raises(StateUnwritable, match="no such table"):
        ledger.intend(ENTRY)
    other = sqlite3.connect(tmp_path / "ledger.sqlite", timeout=0)
    other.execute("BEGIN IMMEDIATE")
    other.close()

    assert ledger.entries() == ()


def test_the_folder_is_made_however_deep(tmp_path):
    """A new installation needs no folder made by hand."""
    with closing(Ledger(tmp_path / "a" / "b" / "ledger.sqlite")) as ledger:
        assert ledger.entries() == ()


def test_probe_finds_a_busy_ledger(tmp_path, ledger):
    """The probe takes and releases the write lock; it raises while another process has the lock."""
    ledger.probe()
    other = sqlite3.connect(tmp_path / "ledger.sqlite", timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(StateUnwritable, match="locked"):
        ledger.probe()
    other.execute("ROLLBACK")
    other.close()

    ledger.probe()


def test_commits_are_durable_and_wait_for_others(ledger):
    """The database uses a write-ahead log, full synchronization and a timeout of five seconds."""
    pragmas = {
        name: ledger._db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_an_older_ledger_is_brought_up_to_date(tmp_path, ledger):
    """Rows of the first schema stay and get the later columns; a current ledger is not changed."""
    ledger.intend(replace(ENTRY, filled_by="champion", passed_over=""))
    ledger.close()
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    for statement in (
        "DROP TABLE round",
        "DROP TABLE trouble",
        "DROP TABLE message",
        "DROP TABLE service",
        "ALTER TABLE submission DROP COLUMN rung",
        "DROP TABLE live_score",
        "DROP TABLE round_pay",
        "DROP TABLE live_file",
        "CREATE TABLE live_file (round INTEGER, sha256 TEXT, ids_sha256 TEXT, rows INTEGER, fetched_at TEXT) STRICT",
        "INSERT INTO live_file VALUES (1404, 's', 'i1404', 5, '2026')",
        "DROP TABLE diagnosis",
        "DROP TABLE round_paid",
        "ALTER TABLE submission DROP COLUMN passed_over",
        "DROP TABLE scoring",
        "DROP TABLE look",
        "DROP TABLE failure",
        "DROP TABLE pause",
        "DROP TABLE hosted_pickle",
        "PRAGMA user_version = 1",
    ):
        database.execute(statement)
    database.commit()
    database.close()
    with closing(Ledger(tmp_path / "ledger.sqlite")) as first, closing(Ledger(tmp_path / "ledger.sqlite")) as second:
        first.record_round(opened(1404))

        assert second.entry(1404, "mixer") == replace(ENTRY, filled_by="champion", passed_over="")
        assert second.newest_round().number == 1404
        assert second.live_files(1404) == (
            LiveFileRecord(round=1404, version="", sha256="s", ids_sha256="i1404", rows=5, fetched_at="2026"),
        )


@pytest.mark.parametrize("first", [True, False])
def test_rounds_of_numerai_and_of_a_sandbox_have_ledgers_of_their_own(tmp_path, first):
    """The round numbers of both are alike: a rehearsed round would count as a submission."""
    for _ in range(2):
        with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
            ledger.claim(for_numerai=first)
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger, pytest.raises(BadConfig, match="set BOT_STATE_DIR"):
        ledger.claim(for_numerai=not first)


def test_opening_a_current_ledger_writes_nothing(tmp_path, ledger):
    """The write-ahead log of an up-to-date file keeps its size, so that the file opens on a full disk too."""
    log = tmp_path / "ledger.sqlite-wal"
    before = log.stat().st_size
    for _ in range(3):
        Ledger(tmp_path / "ledger.sqlite").close()

    assert log.stat().st_size == before > 0


def test_a_child_is_let_in_beside_its_holder_but_only_one(tmp_path, monkeypatch):
    """A child of the process that holds the directory takes its own lock; a second child does not get it."""
    with state_lock(tmp_path):
        (tmp_path / "bot.holder").write_text(str(os.getppid()))
        monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
        with state_lock(tmp_path):
            assert (tmp_path / "bot.child.holder").read_text() == str(os.getpid())
            with pytest.raises(StateLocked, match=f"held by process {os.getpid()}"), state_lock(tmp_path):
                pass


def refuses_a_stranger(monkeypatch, folder, name):
    """Check that a process without a parent that holds anything does not get the lock, and is told who has it."""
    monkeypatch.delenv(PARENT_VARIABLE)
    with pytest.raises(StateLocked, match=f"held by process {os.getpid()}"), state_lock(folder, name):
        pass


def test_a_child_excludes_others_from_work_that_its_parent_does_not_hold(tmp_path, monkeypatch):
    """The sync of a running bot and that of a person are never at work together."""
    with state_lock(tmp_path):
        (tmp_path / "bot.holder").write_text(str(os.getppid()))
        monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
        with state_lock(tmp_path, "sync"):
            refuses_a_stranger(monkeypatch, tmp_path, "sync")


def test_a_name_that_a_killed_holder_left_gives_no_child_a_lock_of_its_own(tmp_path, monkeypatch):
    """In a container the next bot has the id of the killed one; its child takes the lock that nobody holds."""
    (tmp_path / "sync.holder").write_text(str(os.getppid()))
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
    with state_lock(tmp_path, "sync"):
        refuses_a_stranger(monkeypatch, tmp_path, "sync")

    assert not (tmp_path / "sync.holder").exists()


def test_a_holder_that_left_no_name_is_unknown(tmp_path):
    """Between taking the lock and writing who took it, the holder is not known; submitting and training are apart."""

    def unname(name):
        if name == "lock.folder:after":
            (tmp_path / "bot.holder").unlink(missing_ok=True)

    with state_lock(tmp_path), state_lock(tmp_path, "retrain"):
        with listening(unname), pytest.raises(StateLocked, match="process unknown"), state_lock(tmp_path):
            pass

        assert (tmp_path / "retrain.holder").is_file()


def test_the_state_directory_is_free_after_a_failure(tmp_path):
    """The next process gets the directory however the work ended, even while the error is still referenced."""
    with pytest.raises(KeyError) as of_the_work, state_lock(tmp_path):
        raise KeyError
    with state_lock(tmp_path):
        (tmp_path / "bot.holder").unlink()
        (tmp_path / "bot.holder").mkdir()
    with pytest.raises(StateUnwritable) as of_the_disk, state_lock(tmp_path):
        pass
    (tmp_path / "bot.holder").rmdir()

    with state_lock(tmp_path):
        assert (of_the_work.type, of_the_disk.type) == (KeyError, StateUnwritable)


def test_a_reader_changes_nothing(tmp_path, ledger):
    """A read-only connection reads what is committed, refuses to write, and makes no file where there is none."""
    ledger.intend(ENTRY)
    with closing(Ledger(tmp_path / "ledger.sqlite", read_only=True)) as reader:
        assert reader.entries() == (ENTRY,)
        with pytest.raises(StateUnwritable, match="readonly"):
            reader.intend(ENTRY)
    with pytest.raises(StateUnwritable, match="unable to open"):
        Ledger(tmp_path / "none" / "ledger.sqlite", read_only=True)

    assert not (tmp_path / "none").exists()


def test_a_reader_needs_no_file_beside_a_complete_ledger(tmp_path, ledger):
    """Where the write-ahead log cannot be made, as on a read-only disk, the file alone is read."""
    ledger.intend(ENTRY)
    ledger.close()
    (tmp_path / "ledger.sqlite-wal").mkdir()
    with closing(Ledger(tmp_path / "ledger.sqlite", read_only=True)) as reader:
        assert reader.entries() == (ENTRY,)


def test_a_reader_of_an_older_ledger_migrates_a_copy(tmp_path, ledger):
    """A file of an earlier schema is read as of today and stays as it is."""
    path = tmp_path / "ledger.sqlite"
    ledger.intend(ENTRY)
    ledger.close()
    with closing(sqlite3.connect(path)) as database:
        for statement in (
            "DROP TABLE round_paid",
            "ALTER TABLE submission DROP COLUMN passed_over",
            "DROP TABLE scoring",
            "DROP TABLE service",
            "DROP TABLE look",
            "DROP TABLE failure",
            "DROP TABLE pause",
            "DROP TABLE hosted_pickle",
            "ALTER TABLE trouble DROP COLUMN occasion",
            "ALTER TABLE trouble DROP COLUMN body",
            "PRAGMA user_version = 6",
        ):
            database.execute(statement)
        database.commit()
    with closing(Ledger(path, read_only=True)) as reader:
        assert reader.entries() == (replace(ENTRY, passed_over=""),)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (6,)


def test_a_reader_does_not_wait_long_for_a_busy_ledger(tmp_path, ledger):
    """A reader waits two seconds at most."""
    with closing(Ledger(tmp_path / "ledger.sqlite", read_only=True)) as reader:
        assert reader._db.execute("PRAGMA busy_timeout").fetchone()[0] == 2000
