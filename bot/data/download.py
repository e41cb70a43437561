"""
Download Numerai's files: under another name, verified, and published only when complete.

Only the large training files are resumed, and only while the server proves that it still has the same file
(``If-Range`` and a checked 206) and the disk still has the bytes that arrived. What is read of a file on disk is compared
with its recorded digests before anything is derived from it (:mod:`bot.data.file_record`).
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from bot.data.file_record import PIECE, FileRecord
from bot.data.transfer.ranges import Unsuited
from bot.data.transfer.resumable_download import ResumableDownload
from bot.data.transfer.tail_download import fetch_tail
from bot.errors import DatasetIncomplete, NumeraiUnavailable, OperatorNeeded
from bot.system.files import publish, rename
from bot.system.kill_points import kill_point
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.retries import retry_context

STORED_FILES = ("train.parquet", "validation.parquet")
"""Files that the era store is written from."""

TRAINING_FILES = ("features.json", *STORED_FILES)
"""Files that training needs."""

OPTIONAL_FILES = ("meta_model.parquet", "train_benchmark_models.parquet", "validation_benchmark_models.parquet")
"""Files that are downloaded if the server offers them."""

TRIES = 3
"""Most downloads of a file for one call."""

PAUSES = {"wait_initial": 0.2, "wait_max": 1.0, "wait_jitter": 0.2}
"""Seconds of the first pause between two tries, of the longest one, and of its random part."""

SYNCED = "sync.json"
"""File with the entry of each synced file."""

FIRST_BYTE = {"Range": "bytes=0-0"}
"""Header of a request for a file's ETag. Without it the server sends megabytes before it sees that nobody reads them."""

_FREE = 1.1
"""Free disk space that a download needs, in multiples of its size."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """
    A verified file.

    Attributes:
        path: Path of the file.
        size: Size in bytes.
        sha256: Digest of the content as hex.
        etag: ETag of the content on the server.
        modified: ``Last-Modified`` of the server, aware; ``None`` where it gives none.
        record: Digests of its pieces.
    """

    path: Path
    size: int
    sha256: str
    etag: str
    modified: datetime | None
    record: FileRecord


def fetch(
    client: NumeraiClient,
    filename: str,
    path: Path,
    *,
    resume: bool = False,
    on_progress: CountCallback | None = None,
    tries: int = TRIES,
) -> FetchedFile:
    """
    Download a file to *path* and verify it; a download that fails is tried again on a new connection.

    Args:
        client: Client of the API.
        filename: Name on the server, such as ``v5.3/live.parquet``.
        path: Path of the complete file; an older file is replaced once the download is complete.
        resume: Whether to continue an interrupted download of the same content; for large files only.
        on_progress: Called with bytes done and bytes in all.
        tries: Most downloads; a slow one is given up early unless it is the last.

    Raises:
        DatasetIncomplete: The download is incomplete, or not what its name ends in: parquet or JSON.
        NumeraiUnavailable: The connection broke, or the server refused.
        OperatorNeeded: The disk is full.
    """
    with kill_point("fetch.folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in retry_context(on=may_pass, attempts=tries, timeout=None, **PAUSES):
        with attempt:
            fetched = _fetch_once(
                client, filename, path, resume=resume, on_progress=on_progress, is_last=attempt.num >= tries
            )
    return fetched


def may_pass(error: Exception) -> bool:
    """Return whether a download is tried again at once: not where the storage refuses the file, which may be late."""
    if isinstance(error, NumeraiUnavailable):
        return not error.is_refusal
    return isinstance(error, DatasetIncomplete)


def _fetch_once(
    client: NumeraiClient,
    filename: str,
    path: Path,
    *,
    resume: bool,
    on_progress: CountCallback | None,
    is_last: bool,
) -> FetchedFile:
    part = ResumableDownload(path)
    headers = part.resume() if resume else {}
    with client.download(filename, headers, is_last=is_last) as download:
        length, etag = download.length, download.headers.get("ETag", "")
        if length is None:
            raise DatasetIncomplete(f"{filename}: the server does not give the file's length; it is fetched again")
        if download.status != HTTPStatus.PARTIAL_CONTENT:
            part.restart(etag)
        total = part.size + length
        modified = _modified(download.headers.get("Last-Modified"))
        served = download.headers.get("Content-Range"), etag
        # A range of a compressed form is no range of the file.
        if part.size and (served != (f"bytes {part.size}-{total - 1}/{total}", part.etag) or download.compressed):
            part.remove()
            raise DatasetIncomplete(f"{filename}: the server sent another range than requested; it is fetched anew")
        with enough_room(path.parent, filename, total - part.size):
            sha256 = part.write(download.chunks, total, on_progress)
        if (
            download.compressed
        ):  # its chunks have ended at the end of the compressed file; the server names no other length
            total = part.size
    _verify(part.path, filename, total)
    on_disk = hashlib.sha256()
    record = FileRecord.of(part.path, etag=etag, whole=on_disk)
    if on_disk.hexdigest() != sha256:
        part.remove()
        raise DatasetIncomplete(f"{filename}: the file on disk differs from what arrived; it is fetched again")
    part.publish(path)
    return FetchedFile(path=path, size=total, sha256=sha256, etag=etag, modified=modified, record=record)


def sync_files(
    client: NumeraiClient, folder: Path, version: str, *, on_progress: CountCallback | None = None
) -> tuple[str, ...]:
    """
    Update the training files of a data version, and return the names of those that changed.

    A file is downloaded when the server's content differs from the entry in ``sync.json``, or when the file is absent
    or damaged. Optional files that the server does not offer are skipped.

    Args:
        client: Client of the API.
        folder: Folder of all data versions.
        version: Data version.
        on_progress: Called with bytes done and bytes in all, file by file.

    Raises:
        DatasetIncomplete: The server does not offer a file that training needs.
        OperatorNeeded: The server offers other data versions, but not this one.
    """
    names, home = offered(client, version), folder / version
    home.mkdir(parents=True, exist_ok=True)
    entries = recorded(home)
    changed = []
    for name in names:
        path, before = home / name, FileRecord.from_entry(entries[name]) if name in entries else None
        record = None if before is None else _checked(path, before)
        if record is None or not _is_current(client, f"{version}/{name}", record):
            record = _refetch(client, f"{version}/{name}", path, record, on_progress)
            changed.append(name)
        if record != before:
            entries[name] = record.to_entry()
            publish(home / SYNCED, json.dumps(entries, sort_keys=True).encode())
    return tuple(changed)


def _is_current(client: NumeraiClient, filename: str, record: FileRecord) -> bool:
    """Return whether the server has the recorded content of a file."""
    with client.download(filename, FIRST_BYTE) as download:
        return bool(record.etag) and download.headers.get("ETag") == record.etag


def offered(client: NumeraiClient, version: str) -> tuple[str, ...]:
    """
    Return the training files of a data version that the server offers, in the order of their download.

    Raises:
        DatasetIncomplete: A file that training needs is missing: Numerai is about to publish the version.
        OperatorNeeded: The server offers other data versions, but not this one.
    """
    listed = set(client.datasets())
    versions = sorted({name.partition("/")[0] for name in listed})
    if versions and version not in versions:
        raise OperatorNeeded(
            f"data version {version} is not offered; there are {', '.join(versions)}: name one of them by"
            " `bot retrain --data-version` or BOT_DATA_VERSION"
        )
    absent = [name for name in TRAINING_FILES if f"{version}/{name}" not in listed]
    if absent:
        raise DatasetIncomplete(f"{version} is not complete: the server offers no {', '.join(absent)} of it; try later")
    return (*TRAINING_FILES, *(name for name in OPTIONAL_FILES if f"{version}/{name}" in listed))


def recorded(home: Path) -> dict[str, dict[str, Any]]:
    """Return the entry of each synced file by name, with at least ``bytes``, ``etag`` and ``sha256``."""
    try:
        content = json.loads((home / SYNCED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    keys = {"bytes", "etag", "sha256"}
    entries = content.items() if isinstance(content, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, dict) and keys <= entry.keys()}


def _refetch(
    client: NumeraiClient, filename: str, path: Path, record: FileRecord | None, on_progress: CountCallback | None
) -> FileRecord:
    """
    Download the new part of a parquet file if an intact older version is on disk, else the whole file.

    Args:
        client: Client of the API.
        filename: Name on the server.
        path: Path of the file.
        record: Record of the intact file on disk; ``None`` where there is none.
        on_progress: Called with bytes done and bytes in all.
    """
    if record is None or path.suffix != ".parquet":
        return _fetch_recorded(client, filename, path, on_progress)
    staging = path.with_name(f".{path.name}.tail")
    try:
        with enough_room(path.parent, filename, path.stat().st_size):
            served = fetch_tail(client, filename, path, record, staging, on_progress=on_progress)
        _verify(staging, filename, served.size)
        found = FileRecord.of(staging, etag=served.etag, kept=record.pieces[: served.kept // PIECE])
        rename(staging, path)
    except (Unsuited, DatasetIncomplete) as reason:
        log.info("dataset.whole", file=filename, reason=str(reason))
        return _fetch_recorded(client, filename, path, on_progress)
    finally:
        staging.unlink(missing_ok=True)
    # The kept pieces were not read, so that the whole file is due for a check when the version before was.
    return found.published(path, checked=record.checked)


def _fetch_recorded(client: NumeraiClient, filename: str, path: Path, on_progress: CountCallback | None) -> FileRecord:
    """Download a whole file; return its record."""
    return fetch(client, filename, path, resume=True, on_progress=on_progress).record.published(
        path, checked=time.time()
    )


def _checked(path: Path, record: FileRecord) -> FileRecord | None:
    """
    Return the record of a file that is as it was downloaded; ``None`` for another one.

    The store's sources are large: one whose marks are those of its last check is read again after a month only.
    """
    if path.name in STORED_FILES and record.is_untouched(path):
        return record
    found = record.read(path)
    return record if found and record.pieces and path.name not in STORED_FILES else found


def _modified(header: str | None) -> datetime | None:
    """Return the time of a ``Last-Modified`` header, ``None`` where it is absent or unreadable."""
    try:
        return None if header is None else parsedate_to_datetime(header).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser of emails raises all of them
        return None


def _verify(staging: Path, filename: str, total: int) -> None:
    """Check a download's length, of parquet the magic at both ends and the footer, of JSON all; remove a file that fails."""
    size = staging.stat().st_size
    if size != total:
        _discard(staging)
        raise DatasetIncomplete(f"{filename}: {size:,} of {total:,} bytes arrived; it is fetched again")
    if filename.endswith(".json"):
        _verify_json(staging, filename)
    if not filename.endswith(".parquet"):
        return
    try:
        with staging.open("rb") as file:
            head = file.read(4)
            file.seek(-4, os.SEEK_END)
            tail = file.read(4)
        if (head, tail) != (b"PAR1", b"PAR1"):
            raise pa.ArrowInvalid("no magic")
        pq.ParquetFile(staging, pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError):
        _discard(staging)
        raise DatasetIncomplete(f"{filename}: the download is not a parquet file; it is fetched again") from None


def _verify_json(staging: Path, filename: str) -> None:
    try:
        json.loads(staging.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        _discard(staging)
        raise DatasetIncomplete(f"{filename}: the download is not JSON; it is fetched again") from None


def _discard(staging: Path) -> None:
    with kill_point("fetch.discard"):
        staging.unlink()


@contextmanager
def enough_room(folder: Path, filename: str, needed: int) -> Iterator[None]:
    """Check the free disk space before a download, and report a disk that fills up during it."""
    required, free = int(needed * _FREE), shutil.disk_usage(folder).free
    if free < required:
        raise OperatorNeeded(f"{filename} needs {required:,} bytes in {folder}, {free:,} are free; make room")
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OperatorNeeded(f"the disk is full: {filename} needs {needed:,} bytes in {folder}; make room") from None
