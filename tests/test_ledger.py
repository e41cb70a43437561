"""The ledger: intents before effects, proofs after them, one holder at a time."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from bot.errors import BadConfig, StateLocked
from bot.ledger import Entry, Ledger, LiveRecord, state_lock

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


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_intent_survives_reopening(tmp_path):
    """What was intended is known to the next process."""
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
    """A round nobody touched has no entry."""
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
    """The proof of freshness sees the rounds before, newest first."""
    for number in (1401, 1403, 1402):
        ledger.record_live(
            LiveRecord(round=number, sha256="s", ids_sha256=f"i{number}", rows=5, fetched_at=NOW.isoformat())
        )

    assert [record.ids_sha256 for record in ledger.earlier_live(1403)] == ["i1402", "i1401"]


def test_events_tell_the_story_of_a_round(ledger):
    """Every effect leaves an event, in order."""
    ledger.intend(entry())
    ledger.confirm(1404, "mixer", submission_id="s-1", filename="f", at=NOW)

    assert [name for _, name in ledger.events(1404)] == ["submission.intended", "submission.confirmed"]


def test_chores_remember_their_outcome(ledger):
    """A chore's last end and outcome are kept."""
    ledger.start_chore("retrain", NOW)
    ledger.finish_chore("retrain", NOW, "ok")

    assert ledger.chore("retrain")["outcome"] == "ok"


def test_newer_ledger_is_refused(tmp_path):
    """A ledger of a newer bot is refused instead of misread."""
    Ledger(tmp_path / "ledger.sqlite").close()
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()

    with pytest.raises(BadConfig, match="newer bot"):
        Ledger(tmp_path / "ledger.sqlite")


def test_damaged_ledger_is_one_clear_error(tmp_path):
    """A file that is no database names itself and the way out."""
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database" * 100)

    with pytest.raises(BadConfig, match="backup"):
        Ledger(tmp_path / "ledger.sqlite")


def test_state_directory_has_one_holder(tmp_path):
    """A second process is turned away and told who holds the directory."""
    script = (
        "import sys; from pathlib import Path; from bot.ledger import state_lock\n"
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
