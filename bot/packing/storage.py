"""
The storage of packs: a folder of any file system that fsspec knows, such as ``s3://``, ``sftp://``, ``gs://`` or ``file://``.

Everything in it may come from anybody. Names are taken only in the form that the bot writes, sizes are limited before and
while a file is read, and every call has a time limit.
"""

import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fsspec.core import url_to_fs

from bot.errors import ArtifactInvalid, BadConfig, BotError, OperatorNeeded, StorageUnavailable
from bot.packing.pack_file import LARGEST, SUFFIX
from bot.system.redaction import without_credentials

CALL_S = 60.0
"""Longest wait in seconds for a listing or another small call."""

TRANSFER_S = 3600.0
"""Longest transfer of a pack in seconds."""

WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
"""Protocols whose files appear as a whole. With others, a file is written under another name and renamed."""

_NAME = re.compile(rf"[0-9][0-9A-Za-z-]{{0,63}}{re.escape(SUFFIX)}")
_VERSION = ("size", "ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")
"""Keys of a listing that change with the content. Access times and inodes are not among them."""

_CHUNK = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """
    A file of the storage.

    Attributes:
        name: Its name, such as ``2026-11-24T101800Z-3f9c.pack``.
        size: Bytes.
        version: Text that changes with its content.
    """

    name: str
    size: int
    version: str


class Storage:
    """
    Packs at a URL.

    Args:
        url: URL of a folder; options of the protocol come from its own variables and files.
        call_s: Longest wait in seconds for a listing or another small call; ``None`` for :data:`CALL_S`.

    Raises:
        BadConfig: The URL cannot be used.
        OperatorNeeded: The package of its protocol is not installed.
        StorageUnavailable: Its server does not answer.
    """

    def __init__(self, url: str, *, call_s: float | None = None) -> None:
        self.shown, self._call_s = without_credentials(url), CALL_S if call_s is None else call_s
        protocol = url.partition("://")[0] if "://" in url else "file"
        try:
            self._fs, self._root = self._call(
                lambda: url_to_fs(url, skip_instance_cache=True), self._call_s, passing=(ImportError, ValueError)
            )
        except ImportError as error:
            raise OperatorNeeded(f"BOT_ARTIFACTS_URL: {protocol}:// needs a package: {error}") from None
        except ValueError as error:
            raise BadConfig(f"BOT_ARTIFACTS_URL: {self.shown} cannot be used: {error}") from None
        self._is_whole = protocol in WHOLE

    def files(self) -> tuple[Stored, ...]:
        """
        Return the packs, newest first; none where the folder does not exist yet.

        Raises:
            StorageUnavailable: The storage does not answer.
        """

        def look() -> list[Mapping[str, Any]]:
            self._fs.invalidate_cache()
            try:
                return list(self._fs.ls(self._root, detail=True))
            except FileNotFoundError:
                return []

        found = [_stored(entry) for entry in self._call(look, self._call_s)]
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.name, reverse=True))

    def download(self, stored: Stored, path: Path) -> None:
        """
        Copy a pack to a local file.

        Raises:
            ArtifactInvalid: It is larger than any pack.
            StorageUnavailable: The storage does not answer, or the transfer breaks off.
        """

        def copy() -> None:
            left = LARGEST
            with self._fs.open(f"{self._root}/{stored.name}", "rb") as remote, path.open("wb") as local:
                while chunk := remote.read(_CHUNK):
                    if (left := left - len(chunk)) < 0:
                        raise ArtifactInvalid(f"{stored.name} has more than {LARGEST >> 30} GiB")
                    local.write(chunk)

        if stored.size > LARGEST:
            raise ArtifactInvalid(f"{stored.name} has {stored.size >> 20:,} MiB, more than {LARGEST >> 30} GiB")
        self._call(copy, TRANSFER_S)

    def publish(self, path: Path) -> Stored:
        """
        Copy a pack to the storage, where it appears as a whole; one of its name that is there stays.

        Raises:
            StorageUnavailable: The storage does not answer, or refuses the file.
        """
        target, part = f"{self._root}/{path.name}", f"{self._root}/.{path.name}.part"

        def copy() -> None:
            if self._fs.exists(target):
                return
            if self._is_whole:
                self._fs.put_file(str(path), target)
                return
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.put_file(str(path), part)
            self._fs.mv(part, target)

        self._call(copy, TRANSFER_S)
        published = next((one for one in self.files() if one.name == path.name), None)
        if published is None:
            raise StorageUnavailable(f"the storage {self.shown} does not show {path.name} after it was written")
        return published

    def _call(self, call: Callable[[], T], limit_s: float, *, passing: tuple[type[Exception], ...] = ()) -> T:
        """
        Return the result of a call in a thread of its own, which is abandoned after *limit_s* seconds.

        The libraries behind fsspec have no time limit in common. Errors of the kinds *passing* are raised as they are.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - every protocol's library has errors of its own
                future.set_exception(error)

        threading.Thread(target=run, daemon=True, name="storage").start()
        if not wait([future], timeout=limit_s).done:
            raise StorageUnavailable(f"the storage {self.shown} gave no answer within {limit_s:g} s")
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, (BotError, *passing)):
            raise error
        raise StorageUnavailable(f"the storage {self.shown} failed: {type(error).__name__}: {error}") from None


def _stored(entry: Mapping[str, Any]) -> Stored | None:
    """Return an entry of a listing; ``None`` where it is no pack."""
    name = str(entry.get("name", "")).rpartition("/")[2]
    if not _NAME.fullmatch(name) or entry.get("type") != "file" or entry.get("islink"):
        return None
    version = " ".join(f"{key}={entry[key]}" for key in _VERSION if entry.get(key) is not None)
    return Stored(name=name, size=int(entry.get("size") or 0), version=version)
