"""Keep what must not be lost twice, and let go of what nobody will ask for again."""

import shutil
import sqlite3
from datetime import datetime
from pathlib import Path

from bot.errors import StateUnwritable
from bot.system.files import rename, sync

BACKUPS = 14
"""Backups of the ledger that are kept."""

LIVE_FILES = 5
"""Newest rounds whose live file is kept, 12 MB each."""

PREDICTIONS = 90
"""Newest rounds whose predictions are kept: a round resolves after some 64 later ones."""


def back_up(ledger_path: Path, folder: Path, *, at: datetime) -> Path:
    """
    Copy a ledger that may be in use, check the copy, and publish it under a name with its time.

    Args:
        ledger_path: The ledger.
        folder: Of the backups; the newest of each ledger are kept.
        at: Aware UTC.

    Raises:
        StateUnwritable: The disk is full, or the copy is not sound; the backups before stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{ledger_path.stem}-{at:%Y%m%dT%H%M%SZ}.sqlite"
    staging = folder / f".{path.name}.tmp"
    staging.unlink(missing_ok=True)
    source, copy = sqlite3.connect(ledger_path, timeout=30.0), sqlite3.connect(staging)
    try:
        source.backup(copy)
        verdict = copy.execute("PRAGMA quick_check").fetchone()[0]
        copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise StateUnwritable(f"the ledger {ledger_path} could not be backed up: {error}") from None
    finally:
        copy.close()
        source.close()
    if verdict != "ok":
        raise StateUnwritable(f"the backup of {ledger_path} is not sound: {verdict}")
    sync(staging)
    rename(staging, path)
    for old in sorted(folder.glob(f"{ledger_path.stem}-*.sqlite"))[:-BACKUPS]:
        old.unlink()
    return path


def prune(rounds: Path) -> int:
    """
    Remove live files and predictions of rounds long gone; reports stay. Return the bytes that were freed.

    Args:
        rounds: Folder of the rounds.
    """
    numbers = sorted((int(one.name) for one in rounds.glob("*") if one.name.isdigit()), reverse=True)
    freed = 0
    for pattern, kept in (
        ("**/live.parquet", LIVE_FILES),
        ("*/predictions.csv", PREDICTIONS),
        ("*/draft.csv", PREDICTIONS),
    ):
        for number in numbers[kept:]:
            for path in (rounds / str(number)).glob(pattern):
                freed += path.stat().st_size
                path.unlink()
    for leftover in rounds.glob("*/.*.tmp"):
        if int(leftover.parent.name) < max(numbers, default=0):
            leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)
    return freed
