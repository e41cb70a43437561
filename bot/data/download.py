"""
Downloads that can be trusted: fetched under another name, verified, and only then published.

A file appears under its own name complete or not at all. Only the large training files are ever resumed, and only
while the server proves that it still holds the same file (``If-Range``, a checked 206) and the disk that it holds what
came of it. Files at hand are compared with their recorded sha256 before anything is built on them.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from bot.data._resumable_download import ResumableDownload
from bot.data._tail_download import Unsuited, fetch_tail
from bot.data.live_file import LiveFile, prove_fresh, read_live
from bot.errors import DatasetIncomplete, OperatorNeeded
from bot.system.files import publish, rename, sha256_of
from bot.system.kill_points import kill_point
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient

__all__ = ["FetchedFile", "LiveFile", "fetch", "prove_fresh", "read_live", "recorded", "sync_files"]

STORED_FILES = ("train.parquet", "validation.parquet")
TRAINING_FILES = ("features.json", *STORED_FILES)
OPTIONAL_FILES = ("meta_model.parquet", "train_benchmark_models.parquet", "validation_benchmark_models.parquet")
_SYNCED = "sync.json"
_FREE = 1.1
"""Free space demanded before a download, in multiples of the file's size."""

PARTIAL_CONTENT = 206
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """A verified file; ``etag`` is the server's name for this content, ``modified`` when it says it was published."""

    path: Path
    size: int
    sha256: str
    etag: str
    modified: datetime | None


def fetch(
    client: NumeraiClient, filename: str, path: Path, *, resume: bool = False, on_progress: CountCallback | None = None
) -> FetchedFile:
    """
    Download a dataset file to *path*, verified.

    Args:
        client: Of the API.
        filename: As the server names it, such as ``v5.3/live.parquet``.
        path: Where the file appears once it is complete; an older file there is replaced then.
        resume: Continue an interrupted download of the same content; for large files only.
        on_progress: Called with the progress.

    Raises:
        DatasetIncomplete: What arrived is not the whole file, or not parquet where the name says so.
        NumeraiUnavailable: The server broke off or refused.
        OperatorNeeded: The disk is full.
    """
    with kill_point("fetch.folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = ResumableDownload(path)
    headers = part.resume() if resume else {}
    with client.download(filename, headers) as (response, pieces):
        length, etag = response.headers.get("Content-Length", ""), response.headers.get("ETag", "")
        if not length.isdecimal():
            raise DatasetIncomplete(f"{filename}: the server does not say how long the file is; it is fetched again")
        if response.status_code != PARTIAL_CONTENT:
            part.restart(etag)
        total = part.size + int(length)
        modified = _modified(response.headers.get("Last-Modified"))
        told = response.headers.get("Content-Range"), etag
        if part.size and told != (f"bytes {part.size}-{total - 1}/{total}", part.etag):
            part.remove()
            raise DatasetIncomplete(f"{filename}: the server answered another range than asked; it is fetched anew")
        with _enough_room(path.parent, filename, total - part.size):
            came = part.write(pieces, total, on_progress)
    _verify(part.path, filename, total)
    if sha256_of(part.path) != came:
        part.remove()
        raise DatasetIncomplete(f"{filename}: the disk does not hold what arrived; it is fetched again")
    part.publish(path)
    return FetchedFile(path=path, size=total, sha256=came, etag=etag, modified=modified)


def sync_files(
    client: NumeraiClient, folder: Path, version: str, *, on_progress: CountCallback | None = None
) -> tuple[str, ...]:
    """
    Bring the training files of a data version up to date; return the names of those that changed.

    A file is fetched when the server's content differs from what ``sync.json`` recorded, or when the file is gone or
    damaged. Files that the server does not offer are passed over unless training needs them.

    Raises:
        DatasetIncomplete: The server does not offer a file that training needs.
        OperatorNeeded: It offers other data versions, not this one.
    """
    names, home = offered(client, version), folder / version
    home.mkdir(parents=True, exist_ok=True)
    known_files = recorded(home)
    changed = []
    for name in names:
        known = known_files.get(name)
        path = home / name
        if known is not None and _intact(path, known):
            with client.download(f"{version}/{name}") as (response, _):
                same = response.headers.get("ETag") == known["etag"] and known["etag"]
            if same:
                continue
        fetched = _refetch(client, f"{version}/{name}", path, known, on_progress)
        known_files[name] = {"bytes": fetched.size, "etag": fetched.etag, "sha256": fetched.sha256}
        publish(home / _SYNCED, json.dumps(known_files, indent=1, sort_keys=True).encode())
        changed.append(name)
    return tuple(changed)


def offered(client: NumeraiClient, version: str) -> tuple[str, ...]:
    """
    Return the training files of a data version that the server offers, in the order in which they are fetched.

    Raises:
        DatasetIncomplete: One that training needs is not among them: the version is about to be published.
        OperatorNeeded: Other versions are offered, and not this one.
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


def _refetch(
    client: NumeraiClient,
    filename: str,
    path: Path,
    known: Mapping[str, object] | None,
    on_progress: CountCallback | None,
) -> FetchedFile:
    """Fetch what is new in a parquet file whose older version is at hand and sound, else the whole file."""
    if known is None or path.suffix != ".parquet" or not path.is_file() or sha256_of(path) != known["sha256"]:
        return fetch(client, filename, path, resume=True, on_progress=on_progress)
    staging = path.with_name(f".{path.name}.tail")
    try:
        with _enough_room(path.parent, filename, path.stat().st_size):
            size, etag = fetch_tail(client, filename, path, staging, on_progress=on_progress)
        _verify(staging, filename, size)
        sha256 = sha256_of(staging)
        rename(staging, path)
    except (Unsuited, DatasetIncomplete) as reason:
        log.info("dataset.whole", file=filename, reason=str(reason))
        return fetch(client, filename, path, resume=True, on_progress=on_progress)
    finally:
        staging.unlink(missing_ok=True)
    return FetchedFile(path=path, size=size, sha256=sha256, etag=etag, modified=None)


def recorded(home: Path) -> dict[str, dict[str, object]]:
    """Return ``bytes``, ``etag`` and ``sha256`` of each synced file by name, as they were when it was fetched."""
    try:
        content = json.loads((home / _SYNCED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    whole = {"bytes", "etag", "sha256"}
    listed = content.items() if isinstance(content, dict) else ()
    return {name: about for name, about in listed if isinstance(about, dict) and whole <= about.keys()}


def _intact(path: Path, known: Mapping[str, object]) -> bool:
    """Say whether a file is what was fetched; the store digests its two sources itself before it reads them."""
    if not path.is_file() or path.stat().st_size != known["bytes"]:
        return False
    return path.name in STORED_FILES or sha256_of(path) == known["sha256"]


def _modified(told: str | None) -> datetime | None:
    """Return the time of a ``Last-Modified`` header, ``None`` where there is none to read."""
    try:
        return None if told is None else parsedate_to_datetime(told).astimezone(UTC)
    except ValueError:
        return None


def _verify(staging: Path, filename: str, total: int) -> None:
    """Check length, and for parquet the magic at both ends and the footer; a failed file is removed."""
    size = staging.stat().st_size
    if size != total:
        _discard(staging)
        raise DatasetIncomplete(f"{filename}: {size:,} of {total:,} bytes arrived; it is fetched again")
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
        raise DatasetIncomplete(f"{filename}: what arrived is not a parquet file; it is fetched again") from None


def _discard(staging: Path) -> None:
    with kill_point("fetch.discard"):
        staging.unlink()


@contextmanager
def _enough_room(folder: Path, filename: str, needed: int) -> Iterator[None]:
    """Make sure of *needed* bytes and some more before a download, and say it where they are gone meanwhile."""
    wanted, free = int(needed * _FREE), shutil.disk_usage(folder).free
    if free < wanted:
        raise OperatorNeeded(f"{filename} needs {wanted:,} bytes in {folder}, {free:,} are free; make room")
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OperatorNeeded(f"the disk is full: {filename} needs {needed:,} bytes in {folder}; make room") from None
