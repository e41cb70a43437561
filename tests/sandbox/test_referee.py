"""The referee finds each broken promise in the records of a run, and none in a sound run."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.record.ledger import Entry, Ledger
from bot.sandbox.referee import judge, read_history

OPENED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def created(identity="s1", sha256="aa", minutes=5.0, ids="i", round_number=1405, late=False):
    return {
        "event": "created", "id": identity, "round": round_number, "slot": "mixer", "filename": f"{identity}.csv",
        "sha256": sha256, "late": late, "ids_sha256": ids, "live_sha256": "i",
        "at": (OPENED + timedelta(minutes=minutes)).isoformat(), "opens_at": OPENED.isoformat(),
        "closes_at": (OPENED + timedelta(hours=1)).isoformat(),
    }  # fmt: skip


def claim(path, submission="s1", sha256="aa"):
    ledger = Ledger(path / "ledger.sqlite")
    entry = Entry(
        round=1405, slot="mixer", state="intended", token="t", csv_sha256=sha256, data_sha256="d", artifact="a",
        submission_id=None, filename=None, intended_at=OPENED.isoformat(), confirmed_at=None,
    )  # fmt: skip
    ledger.intend(entry)
    ledger.intend(replace(entry, round=1406))
    ledger.confirm(1405, "mixer", submission_id=submission, filename="f", at=OPENED)
    ledger.close()
    return [path / "ledger.sqlite"]


def broken(*arguments, **details):
    return [breach.promise for breach in judge(*arguments, **details)]


def test_sound_run_breaks_nothing(tmp_path):
    """A submission and its confirmation, repeated with the same bytes, keep every promise."""
    history = [{"event": "put"}, created(), created("s2")]

    assert not broken(history, ledgers=claim(tmp_path), owed=[(1405, "mixer")], written=[tmp_path], canaries=["SECRET"])


@pytest.mark.parametrize(
    ("history", "promises"),
    [
        ([created(), created("s2", "bb")], ["I1"]),
        ([created(), created("s2", "bb", round_number=1406)], []),
        ([created(ids="other")], ["I2"]),
        ([created(minutes=-1)], ["I3"]),
        ([created(minutes=58.9)], []),
        ([created(minutes=59.1)], ["I3"]),
        ([created(minutes=61)], ["I3"]),
    ],
)
def test_server_side_promises(history, promises):
    """Contents, ids and times are checked from the history alone."""
    assert broken(history) == promises


def test_late_uploads_can_be_allowed():
    """With late uploads allowed, an upload after the close breaks no promise."""
    assert not broken([created(minutes=61)], late_is_allowed=True)


def test_a_queued_file_is_not_the_next_rounds_own_content():
    """A queued file may differ from the next round's own file; two queued files must not differ."""
    queued, fresh = created(minutes=61, late=True, round_number=1406), created("s2", "bb", round_number=1406)
    again = created("s3", "cc", minutes=62, late=True, round_number=1406)

    assert not broken([queued, fresh], late_is_allowed=True)
    assert broken([queued, again, fresh], late_is_allowed=True) == ["I1"]


@pytest.mark.parametrize(("submission", "sha256"), [("s1", "bb"), ("s9", "aa")])
def test_false_confirmation_is_found(tmp_path, submission, sha256):
    """A ledger that confirms another submission or other bytes than the server's breaks I4."""
    assert broken([created()], ledgers=claim(tmp_path, submission, sha256)) == ["I4"]


def test_lost_round_is_found():
    """An owed round without a submission is lost; a submission placed by hand counts."""
    placed = {"event": "placed", "id": "p", "round": 1406, "slot": "mixer", "sha256": "cc"}

    assert broken([created(), placed], owed=[(1405, "mixer"), (1406, "mixer"), (1407, "mixer")]) == ["I5"]


def test_secret_in_a_file_is_found(tmp_path):
    """A canary in any file of a folder, or in a single file, is a leak."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "log").write_bytes(b"... SECRET ...")

    assert broken([], written=[tmp_path, tmp_path / "state" / "log"], canaries=["SECRET"]) == ["I6", "I6"]


def test_referee_is_a_program(tmp_path):
    """With a history and a state directory, it prints the breaches and exits with 1."""
    claim(tmp_path, "s9")
    (tmp_path / "history.jsonl").write_text(json.dumps(created()) + "\n")
    command = [sys.executable, "-m", "bot.sandbox.referee", str(tmp_path / "history.jsonl"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 1, result.stderr
    assert result.stdout.splitlines() == [
        "I4: round 1405 of mixer is not on the server as confirmed",
        "1 lines, 1 submissions, 1 breaches",
    ]
    assert read_history(tmp_path / "nothing") == []
