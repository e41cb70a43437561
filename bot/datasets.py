"""
Downloads that can be trusted: fetched under another name, verified, and only then published.

A file appears under its own name complete or not at all. Only the large training files are ever resumed, and only
while the server proves that it still holds the same file (``If-Range``, a checked 206).
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from bot.artifacts import sha256_of
from bot.errors import DatasetIncomplete, OperatorNeeded
from bot.livefile import LiveFile, prove_fresh, read_live
from bot.numerai import NumeraiClient
from bot.tail_fetch import Unsuited, fetch_tail

__all__ = ["FetchedFile", "LiveFile", "fetch", "prove_fresh", "read_live", "recorded", "sync"]

TRAINING_FILES = ("features.json", "train.parquet", "validation.parquet")
OPTIONAL_FILES = ("meta_model.parquet", "train_benchmark_models.parquet", "validation_benchmark_models.parquet")
_SYNCED = "sync.json"
_FREE = 1.1
"""Free space demanded before a download, in multiples of the file's size."""

log = structlog.get_logger()
Watcher = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """A verified file; ``etag`` is the server's name for this content."""

    path: Path
    size: int
    sha256: str
    etag: str


def fetch(
    client: NumeraiClient, filename: str, path: Path, *, resume: bool = False, watch: Watcher | None = None
) -> FetchedFile:
    """
    Download a dataset file to *path*, verified.

    Args:
        client: Of the API.
        filename: As the server names it, such as ``v5.3/live.parquet``.
        path: Where the file appears once it is complete; an older file there is replaced then.
        resume: Continue an interrupted download of the same content; for large files only.
        watch: Told about progress.

    Raises:
        DatasetIncomplete: What arrived is not the whole file, or not parquet where the name says so.
        NumeraiUnavailable: The server broke off or refused.
        OperatorNeeded: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.part")
    mark = path.with_name(f".{path.name}.etag")
    begun = staging.stat().st_size if resume and staging.is_file() and mark.is_file() else 0
    headers = {"Range": f"bytes={begun}-", "If-Range": mark.read_text(encoding="utf-8")} if begun else {}
    with client.download(filename, headers) as (response, pieces):
        continued = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {begun}-"
        )
        if begun and response.status_code == 206 and not continued:
            staging.unlink()
            raise DatasetIncomplete(f"{filename}: the server answered another range than asked; it is fetched anew")
        begun = begun if continued else 0
        length = response.headers.get("Content-Length")
        if length is None:
            raise DatasetIncomplete(f"{filename}: the server does not say how long the file is; it is fetched again")
        total, etag = begun + int(length), response.headers.get("ETag", "")
        try:
            _demand_space(path.parent, filename, total - begun)
            mark.write_text(etag, encoding="utf-8")
            with staging.open("ab" if begun else "wb") as file:
                _copy(pieces, file, begun, total, watch)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OperatorNeeded(f"the disk is full: {filename} needs {total:,} bytes in {path.parent}") from None
            raise
    _verify(staging, filename, total)
    sha256 = sha256_of(staging)
    staging.replace(path)
    mark.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return FetchedFile(path=path, size=total, sha256=sha256, etag=etag)


def sync(client: NumeraiClient, folder: Path, version: str, *, watch: Watcher | None = None) -> tuple[str, ...]:
    """
    Bring the training files of a data version up to date; return the names of those that changed.

    A file is fetched when the server's content differs from what ``sync.json`` recorded, or when the file is gone or
    has another size. Files that the server does not offer are passed over unless training needs them.

    Raises:
        DatasetIncomplete: The server does not offer a file that training needs.
    """
    home = folder / version
    home.mkdir(parents=True, exist_ok=True)
    offered = set(client.datasets())
    absent = [name for name in TRAINING_FILES if f"{version}/{name}" not in offered]
    if absent:
        raise DatasetIncomplete(f"the server offers no {version}/{absent[0]}; is BOT_DATA_VERSION right?")
    known_files = recorded(home)
    changed = []
    for name in (*TRAINING_FILES, *(name for name in OPTIONAL_FILES if f"{version}/{name}" in offered)):
        known = known_files.get(name)
        path = home / name
        if known is not None and path.is_file() and path.stat().st_size == known["bytes"]:
            with client.download(f"{version}/{name}") as (response, _):
                same = response.headers.get("ETag") == known["etag"] and known["etag"]
            if same:
                continue
        fetched = _refetch(client, f"{version}/{name}", path, known, watch)
        known_files[name] = {"bytes": fetched.size, "etag": fetched.etag, "sha256": fetched.sha256}
        staging = home / f".{_SYNCED}"
        staging.write_text(json.dumps(known_files, indent=1, sort_keys=True), encoding="utf-8")
        staging.replace(home / _SYNCED)
        changed.append(name)
    return tuple(changed)


def _refetch(
    client: NumeraiClient, filename: str, path: Path, known: Mapping[str, object] | None, watch: Watcher | None
) -> FetchedFile:
    """Fetch what is new in a parquet file whose older version is at hand and sound, else the whole file."""
    if known is None or path.suffix != ".parquet" or not path.is_file() or sha256_of(path) != known["sha256"]:
        return fetch(client, filename, path, resume=True, watch=watch)
    staging = path.with_name(f".{path.name}.tail")
    try:
        size, etag = fetch_tail(client, filename, path, staging, watch=watch)
        _verify(staging, filename, size)
    except (Unsuited, DatasetIncomplete) as reason:
        log.info("dataset.whole", file=filename, reason=str(reason))
        staging.unlink(missing_ok=True)
        return fetch(client, filename, path, resume=True, watch=watch)
    sha256 = sha256_of(staging)
    staging.replace(path)
    _sync_folder(path.parent)
    return FetchedFile(path=path, size=size, sha256=sha256, etag=etag)


def recorded(home: Path) -> dict[str, dict[str, object]]:
    """Return ``bytes``, ``etag`` and ``sha256`` of each synced file by name, as they were when it was fetched."""
    try:
        content = json.loads((home / _SYNCED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _copy(pieces: Iterator[bytes], file: IO[bytes], begun: int, total: int, watch: Watcher | None) -> None:
    done = begun
    for piece in pieces:
        file.write(piece)
        done += len(piece)
        if watch is not None:
            watch(done, total)
    file.flush()
    os.fsync(file.fileno())


def _verify(staging: Path, filename: str, total: int) -> None:
    """Check length, and for parquet the magic at both ends and the footer; a failed file is removed."""
    size = staging.stat().st_size
    if size != total:
        staging.unlink()
        raise DatasetIncomplete(f"{filename}: {size:,} of {total:,} bytes arrived; it is fetched again")
    if not filename.endswith(".parquet"):
        return
    with staging.open("rb") as file:
        head = file.read(4)
        file.seek(-4, os.SEEK_END)
        tail = file.read(4)
    try:
        if (head, tail) != (b"PAR1", b"PAR1"):
            raise pa.ArrowInvalid("no magic")
        pq.ParquetFile(staging, pre_buffer=False)
    except (pa.ArrowException, OSError):
        staging.unlink()
        raise DatasetIncomplete(f"{filename}: what arrived is not a parquet file; it is fetched again") from None


def _demand_space(folder: Path, filename: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed * _FREE:
        raise OperatorNeeded(
            f"{filename} needs {int(needed * _FREE):,} bytes in {folder}, {free:,} are free; make room"
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
