"""Back up the ledger and delete files of old rounds."""

import shutil
import sqlite3
from datetime import datetime
from pathlib import Path

from bot.errors import StateUnwritable
from bot.system.files import rename, sync

BACKUPS = 14
"""Backups of each ledger that are kept."""

LIVE_FILES = 5
"""Newest rounds whose live files are kept, 12 MB each."""

PREDICTIONS = 90
"""Newest rounds whose predictions are kept: a round resolves about 64 rounds later."""


def back_up(ledger_path: Path, folder: Path, *, at: datetime) -> Path:
    """
    Copy a ledger, which may be in use, check the copy, and return its path.

    Args:
        ledger_path: Path of the ledger.
        folder: Folder of the backups; only the newest of each ledger are kept.
        at: Aware time of the backup, UTC; it is part of the file's name.

    Raises:
        StateUnwritable: The disk is full, or the copy is damaged; earlier backups stay.
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
    # A name later than this one was given by a clock that was ahead: it goes first, or it would push out this copy.
    copies = folder.glob(f"{ledger_path.stem}-[0-9]*.sqlite")
    for old in sorted(copies, key=lambda one: (one.name <= path.name, one.name))[:-BACKUPS]:
        old.unlink()
    return path


def prune(rounds: Path) -> int:
    """
    Delete live files and predictions of old rounds, and return the bytes that were freed; reports stay.

    Args:
        rounds: Folder of the rounds.
    """
    numbers = sorted((int(one.name) for one in rounds.glob("*") if one.name.isdigit()), reverse=True)
    freed = 0
    for pattern, kept in (
        ("**/live.parquet", LIVE_FILES),
        ("**/live_benchmark_models.parquet*", LIVE_FILES),  # and the note that it was asked for
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
