"""A large download that survives interruptions, and continues only from bytes that the server sent."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from bot.system.files import rename
from bot.system.kill_points import kill_point
from bot.system.progress import CountCallback

NOTE_EVERY = 1 << 26
"""Bytes after which the progress is noted; a power cut costs at most this much of the download."""

PIECE = 1 << 20
"""Bytes of a partial file that are hashed at a time."""


class ResumableDownload:
    """
    A partial file, with a note of the ETag, size and sha256 of its content.

    Args:
        published: Path of the complete file.

    Attributes:
        path: Path of the partial file.
        size: Bytes that have arrived.
        etag: ETag of the content on the server.
    """

    def __init__(self, published: Path) -> None:
        self.path = published.with_name(f".{published.name}.part")
        self._note = published.with_name(f".{published.name}.etag")
        self.restart("")

    def restart(self, etag: str) -> None:
        """Begin anew with the content of *etag*."""
        self.size, self.etag, self._digest = 0, etag, hashlib.sha256()

    def resume(self) -> dict[str, str]:
        """
        Continue an interrupted download, if the partial file still has the noted digest.

        Returns:
            HTTP headers that request the missing part; empty where there is nothing to continue.
        """
        digest = hashlib.sha256()
        try:
            etag, size, sha256 = self._note.read_text(encoding="utf-8").splitlines()
            left = int(size)
            with self.path.open("rb") as file:
                while left > 0 and (piece := file.read(min(left, PIECE))):
                    digest.update(piece)
                    left -= len(piece)
        except (OSError, ValueError):
            return {}
        if left or digest.hexdigest() != sha256:
            return {}
        self.size, self.etag, self._digest = int(size), etag, digest
        return {"Range": f"bytes={self.size}-", "If-Range": self.etag}

    def write(self, pieces: Iterable[bytes], total: int, on_progress: CountCallback | None) -> str:
        """
        Append what arrives, and return the sha256 of the whole content.

        Args:
            pieces: Bytes from the server.
            total: Size of the complete file in bytes.
            on_progress: Called with bytes done and bytes in all.
        """
        with kill_point("part.open"), self.path.open("r+b" if self.size else "wb") as file:
            file.seek(self.size)
            file.truncate()
            noted = self.size
            try:
                for piece in pieces:
                    with kill_point("part.piece"):
                        file.write(piece)
                    self._digest.update(piece)
                    self.size += len(piece)
                    if on_progress is not None:
                        on_progress(self.size, total)
                    if self.size - noted >= NOTE_EVERY:
                        file.flush()
                        self._take_note(total)
                        noted = self.size
            finally:
                file.flush()
                self._take_note(total)
            with kill_point("part.sync"):
                os.fsync(file.fileno())
        return self._digest.hexdigest()

    def publish(self, path: Path) -> None:
        """Rename the complete file to *path*."""
        rename(self.path, path)
        with kill_point("part.unmark"):
            self._note.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the partial file and its note."""
        with kill_point("part.remove"):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def _take_note(self, total: int) -> None:
        """Write the note, if the download is incomplete and the server gave a strong ETag, which a range request needs."""
        if 0 < self.size < total and self.etag and not self.etag.startswith("W/"):
            with kill_point("part.mark"):
                self._note.write_text(f"{self.etag}\n{self.size}\n{self._digest.hexdigest()}", encoding="utf-8")
