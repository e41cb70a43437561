"""Presigned storage: every URL grants one GET or PUT to its holder."""

import hashlib
import mmap
import os
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

ACCESS_DENIED = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
SIGNATURE = "X-Amz-Signature"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """HTTP answer of the storage."""

    status: int
    body: memoryview
    headers: dict[str, str]


class Storage:
    """Presigned URLs. A file is read when it is fetched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readable: dict[str, Path | bytes] = {}
        self._writable: dict[str, str] = {}

    def grant_get(self, content: Path | bytes) -> str:
        """Return the token of a URL that serves *content*. A missing file is refused at the GET."""
        token = secrets.token_hex(16)
        with self._lock:
            self._readable[token] = content
        return token

    def grant_put(self, name: str) -> str:
        """Return the token of a URL that accepts a file named *name*."""
        token = secrets.token_hex(16)
        with self._lock:
            self._writable[token] = name
        return token

    def writable(self, token: str) -> str | None:
        """Return the file name that *token* accepts, or ``None``."""
        return self._writable.get(token)

    def content(self, token: str) -> "Content | None":
        """Return the content that *token* serves, or ``None``."""
        source = self._readable.get(token)
        if source is None or isinstance(source, bytes):
            return None if source is None else Content.of(source)
        return Content.map(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes of a file, memory-mapped, with the ETag of this version."""

    view: memoryview
    etag: str
    path: Path | None = None

    @classmethod
    def of(cls, content: bytes) -> "Content":
        """Return content from memory."""
        return cls(view=memoryview(content), etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    @classmethod
    def map(cls, path: Path) -> "Content | None":
        """Return the content of a file, or ``None`` if it is missing or empty."""
        try:
            with path.open("rb") as file:
                about = os.fstat(file.fileno())
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return None
        version = f"{about.st_ino} {about.st_size} {about.st_mtime_ns}"
        return cls(view=memoryview(mapped), etag=f'"{hashlib.sha256(version.encode()).hexdigest()[:32]}"', path=path)


def answer(content: Content | None, *, wanted: str | None, condition: str | None) -> Reply:
    """
    Answer a GET.

    Args:
        content: The file; ``None`` gets status 403, as S3 answers for a missing file.
        wanted: ``Range`` header. A malformed one, or one with several ranges, is ignored.
        condition: ``If-Range`` header. If it names another version, the whole file is sent.
    """
    if content is None:
        return Reply(status=403, body=memoryview(ACCESS_DENIED), headers={"Content-Type": "application/xml"})
    view, size = content.view, len(content.view)
    headers = {"ETag": content.etag, "Accept-Ranges": "bytes", "Content-Type": "binary/octet-stream"}
    asked = _RANGE.fullmatch(wanted or "")
    first, last = asked.groups() if asked else ("", "")
    malformed = not (first or last) or (first and last and int(last) < int(first))
    if malformed or (condition is not None and condition != content.etag):
        return Reply(status=200, body=view, headers=headers)
    begin = int(first) if first else max(size - int(last), 0)
    end = int(last) if first and last else size - 1
    if begin >= size:
        return Reply(status=416, body=memoryview(b""), headers={"Content-Range": f"bytes */{size}"})
    part = view[begin : end + 1]
    headers["Content-Range"] = f"bytes {begin}-{begin + len(part) - 1}/{size}"
    return Reply(status=206, body=part, headers=headers)
