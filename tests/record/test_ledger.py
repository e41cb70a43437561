"""The ledger records intents before effects and confirmations after them, for one process at a time."""

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from bot.errors import BadConfig, StateForbidden, StateLocked, StateUnwritable
from bot.record.ledger import Entry, Ledger, LiveFileRecord
from bot.system.lock import state_lock

NOW = datetime(2026, 11, 24, 12, 1, tzinfo=UTC)


def entry(round_number=1404, slot="mixer", state="intended", artifact="a"):
    return Entry(
        round=round_number,
        slot=slot,
        state=state,
        token=f"r{round_number}-{slot}-0123abcd",
        csv_sha256="0123abcd" * 8,
        data_sha256="ff" * 32,
        artifact=artifact,
        submission_id=None,
        filename=None,
        intended_at=NOW.isoformat(),
        confirmed_at=None,
    )


def intend_all(ledger, numbers):
    for number in numbers:
        ledger.intend(entry(number))


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_intent_survives_reopening(tmp_path):
    """An intent can be read by the next process."""
    first = Ledger(tmp_path / "ledger.sqlite")
    first.intend(entry())
    first.close()
    second = Ledger(tmp_path / "ledger.sqlite")

    assert second.entry(1404, "mixer") == entry()
    second.close()


def test_confirming_keeps_the_intended_content(ledger):
    """A confirmation adds the server's names to the intent and changes nothing else."""
    ledger.intend(entry())
    ledger.confirm(1404, "mixer", submission_id="s-1", filename="r1404-mixer-0123abcd-x.csv", at=NOW)
    known = ledger.entry(1404, "mixer")

    assert (known.state, known.submission_id, known.csv_sha256) == ("confirmed", "s-1", entry().csv_sha256)


def test_unknown_round_is_none(ledger):
    """A round without a submission has no entry."""
    assert ledger.entry(1, "mixer") is None


def test_last_confirmed_looks_only_back(ledger):
    """The last confirmed submission is of an earlier round and of the same slot."""
    for number in (1401, 1402, 1404):
        ledger.intend(entry(number, artifact=str(number)))
        ledger.confirm(number, "mixer", submission_id="s", filename="f", at=NOW)
    ledger.intend(entry(1403))

    assert ledger.last_confirmed("mixer", before=1404).artifact == "1402"
    assert ledger.last_confirmed("other", before=1404) is None


def test_live_files_of_earlier_rounds_come_newest_first(ledger):
    """The live files of earlier rounds are returned newest first."""
    for number in (1401, 1403, 1402):
        ledger.record_live_file(
            LiveFileRecord(
                round=number, version="v5.3", sha256="s", ids_sha256=f"i{number}", rows=5, fetched_at=NOW.isoformat()
            )
        )

    assert [record.ids_sha256 for record in ledger.earlier_live_files(1403)] == ["i1402", "i1401"]


def test_events_tell_the_story_of_a_round(ledger):
    """Every effect leaves an event, in order."""
    ledger.intend(entry())
    ledger.confirm(1404, "mixer", submission_id="s-1", filename="f", at=NOW)

    assert [name for _, name in ledger.events(1404)] == ["submission.intended", "submission.confirmed"]


def test_chores_remember_their_outcome(ledger):
    """The end and outcome of a job's last run are recorded."""
    ledger.start_job("retrain", NOW)
    ledger.finish_job("retrain", NOW, "ok")

    assert ledger.job("retrain")["outcome"] == "ok"


def test_newer_ledger_is_refused(tmp_path):
    """A ledger of a newer bot is refused."""
    Ledger(tmp_path / "ledger.sqlite").close()
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()

    with pytest.raises(BadConfig, match=r"newer bot .*; upgrade the bot, or restore the backup"):
        Ledger(tmp_path / "ledger.sqlite")


def test_damaged_ledger_is_one_clear_error(tmp_path):
    """For a file that is not a database, the error contains its path and the remedy."""
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database" * 100)

    with pytest.raises(BadConfig, match="backup"):
        Ledger(tmp_path / "ledger.sqlite")


def test_full_disk_loses_nothing_and_passes(ledger):
    """A commit on a full disk raises a temporary error; earlier rows stay, and the next commit works."""
    ledger.intend(entry(1403))
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateUnwritable, match="the disk is full; make room"):
        intend_all(ledger, range(1404, 1500))
    kept = len(ledger.entries(limit=200))
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    ledger.intend(entry(1600))

    assert ledger.entry(1403, "mixer") == entry(1403)
    assert len(ledger.entries(limit=200)) == kept + 1


def test_ledger_of_another_user_is_named_with_its_owner(tmp_path, ledger, monkeypatch):
    """A ledger that this process may not write needs the operator, and is not called a full disk."""
    ledger._db.execute("PRAGMA query_only = ON")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(StateForbidden, match=f"belongs to uid {os.getuid()}"):
        ledger.intend(entry())


def test_ledger_that_another_process_writes_is_waited_for(tmp_path, ledger):
    """A ledger that stays busy raises a temporary error."""
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger._db.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(StateUnwritable, match="locked"):
        ledger.intend(entry())
    other.execute("ROLLBACK")
    other.close()
    ledger.intend(entry())

    assert ledger.entry(1404, "mixer") == entry()


def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    """If the ledger's folder cannot be made, the error names the file in its place."""
    (tmp_path / "state").write_text("a file")

    with pytest.raises(StateForbidden, match="state cannot be used: a file lies where a folder belongs"):
        Ledger(tmp_path / "state" / "ledger.sqlite")


def test_state_directory_that_cannot_be_made_is_one_clear_error(tmp_path):
    """If the state directory cannot be made, the error contains its path, and nothing stays locked."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateForbidden, match=r"state cannot be used"), state_lock(tmp_path / "state"):
        pass
    (tmp_path / "bot.holder").mkdir()
    with pytest.raises(StateUnwritable), state_lock(tmp_path):
        pass
    (tmp_path / "bot.holder").rmdir()

    with state_lock(tmp_path):
        assert (tmp_path / "bot.holder").read_text().isdecimal()


def test_page_that_rotted_is_one_clear_error(tmp_path):
    """For damage found while reading rows, the error contains the path and the remedy."""
    first = Ledger(tmp_path / "ledger.sqlite")
    intend_all(first, range(1000, 1400))
    (page,) = first._select("SELECT rootpage FROM sqlite_schema WHERE name = 'submission'")[0]
    first.close()
    content = bytearray((tmp_path / "ledger.sqlite").read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    (tmp_path / "ledger.sqlite").write_bytes(content)
    second = Ledger(tmp_path / "ledger.sqlite")

    with pytest.raises(BadConfig, match="backup"):
        second.entries()
    second.close()


def test_state_directory_has_one_holder(tmp_path):
    """A second process is refused, and the error contains the process that holds the directory."""
    script = (
        "import sys; from pathlib import Path; from bot.system.lock import state_lock\n"
        "with state_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(StateLocked, match=str(holder.pid)), state_lock(tmp_path):
            pass
        holder.kill()

    with state_lock(tmp_path):
        pass
