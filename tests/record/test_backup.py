"""A backup is a complete ledger even during writes; pruning deletes only large files of old rounds."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from bot.errors import StateUnwritable
from bot.record import backup
from bot.record.backup import BACKUPS, LIVE_FILES, PREDICTIONS, back_up, prune
from bot.record.ledger import Ledger

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_a_backup_opens_as_a_ledger_with_everything_in_it(tmp_path):
    """The copy of a ledger in use has every committed row, and the bot can continue from it."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_job("sync", NOW)

    path = back_up(tmp_path / "ledger.sqlite", tmp_path / "backups", at=NOW)
    restored = Ledger(path)

    assert restored.job("sync")["started_at"] == NOW.isoformat()
    assert [one.name for one in (tmp_path / "backups").glob("*.sqlite")] == ["ledger-20261124T120000Z.sqlite"]


def test_the_newest_backups_stay(tmp_path):
    """The backups of two weeks are kept, for each ledger separately."""
    Ledger(tmp_path / "ledger.sqlite").close()
    Ledger(tmp_path / "ledger-dry-run.sqlite").close()
    for day in range(BACKUPS + 3):
        back_up(tmp_path / "ledger.sqlite", tmp_path / "backups", at=NOW + timedelta(days=day))
    back_up(tmp_path / "ledger-dry-run.sqlite", tmp_path / "backups", at=NOW)

    kept = sorted(path.name for path in (tmp_path / "backups").glob("ledger-2*.sqlite"))
    assert len(kept) == BACKUPS
    assert kept[0] == "ledger-20261127T120000Z.sqlite"


@pytest.mark.parametrize(
    "step", [timedelta(hours=2), timedelta(hours=-2), timedelta(days=30), timedelta(days=-30)], ids=str
)
def test_a_wrong_clock_pushes_out_no_new_backup(tmp_path, step):
    """A backup of now stays and is among the last, whatever time earlier ones have in their names."""
    Ledger(tmp_path / "ledger.sqlite").close()
    for hour in range(BACKUPS + 3):
        back_up(tmp_path / "ledger.sqlite", tmp_path / "backups", at=NOW + step + timedelta(hours=hour))
    kept = [
        back_up(tmp_path / "ledger.sqlite", tmp_path / "backups", at=NOW + timedelta(days=day)).is_file()
        for day in range(3)
    ]

    assert kept == [True] * 3
    assert len(list((tmp_path / "backups").glob("*.sqlite"))) == BACKUPS


def test_backups_of_a_dry_run_push_out_no_live_one(tmp_path):
    """The copies of the two ledgers are counted apart, whichever is made last."""
    for name in ("ledger.sqlite", "ledger-dry-run.sqlite"):
        Ledger(tmp_path / name).close()
    for day in range(BACKUPS):
        back_up(tmp_path / "ledger-dry-run.sqlite", tmp_path / "backups", at=NOW + timedelta(days=day))
    live = back_up(tmp_path / "ledger.sqlite", tmp_path / "backups", at=NOW)

    assert live.is_file()
    assert len(list((tmp_path / "backups").glob("*.sqlite"))) == BACKUPS + 1


def test_a_damaged_ledger_replaces_no_backup(tmp_path):
    """A ledger that cannot be read raises an error, and earlier backups stay."""
    Ledger(tmp_path / "ledger.sqlite").close()
    good = back_up(tmp_path / "ledger.sqlite", tmp_path / "backups", at=NOW)
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1000)

    with pytest.raises(StateUnwritable):
        back_up(tmp_path / "ledger.sqlite", tmp_path / "backups", at=NOW + timedelta(days=1))
    with sqlite3.connect(good) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_old_rounds_keep_their_reports(tmp_path):
    """Live files, predictions and drafts of old rounds are deleted; reports and recent files stay."""
    for number in range(1000, 1000 + PREDICTIONS + 10):
        slot = tmp_path / str(number) / "slot"
        slot.mkdir(parents=True)
        (tmp_path / str(number) / "v5.3").mkdir()
        (tmp_path / str(number) / "v5.3" / "live.parquet").write_bytes(b"x" * 100)
        (tmp_path / str(number) / "v5.3" / "live_benchmark_models.parquet").write_bytes(b"b" * 50)
        (slot / "predictions.csv").write_bytes(b"y" * 10)
        (slot / "draft.csv").write_bytes(b"z")
        (slot / "report.json").write_bytes(b"{}")

    freed = prune(tmp_path)

    assert len(list(tmp_path.glob("*/v5.3/live.parquet"))) == LIVE_FILES
    assert len(list(tmp_path.glob("*/slot/predictions.csv"))) == PREDICTIONS
    assert len(list(tmp_path.glob("*/slot/draft.csv"))) == PREDICTIONS
    assert len(list(tmp_path.glob("*/slot/report.json"))) == PREDICTIONS + 10
    assert len(list(tmp_path.glob("*/v5.3/live_benchmark_models.parquet"))) == LIVE_FILES
    assert freed == (PREDICTIONS + 5) * (100 + 50) + 10 * 10 + 10
    assert prune(tmp_path / "nowhere") == backup.prune(tmp_path) == 0
