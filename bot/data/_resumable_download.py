"""The beginning of a large download, kept across interruptions and gone on from only where it is what the server sent."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from bot.system.files import rename
from bot.system.kill_points import kill_point
from bot.system.progress import CountCallback

NOTED = 1 << 26
"""Bytes after which it is noted how far a download is: no more than these are fetched again after a power cut."""

PIECE = 1 << 20


class ResumableDownload:
    """
    A download under way: the file it is written to, and a note of the server's name for it, its size and its sha256.

    Attributes:
        path: Of the file.
        size: Bytes that are there.
        etag: The server's name for the content.
    """

    def __init__(self, published: Path) -> None:
        self.path = published.with_name(f".{published.name}.part")
        self._note = published.with_name(f".{published.name}.etag")
        self.restart("")

    def restart(self, etag: str) -> None:
        """Forget what is there."""
        self.size, self.etag, self._digest = 0, etag, hashlib.sha256()

    def resume(self) -> dict[str, str]:
        """Take up what an earlier run left, if its bytes are still those that came; return headers that ask for the rest."""
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
        Write what arrives behind what is there; return the sha256 of all that came.

        Args:
            pieces: From the server.
            total: Bytes of the whole file.
            on_progress: Called with the progress.
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
                    if self.size - noted >= NOTED:
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
        """Give the file its own name."""
        rename(self.path, path)
        with kill_point("part.unmark"):
            self._note.unlink(missing_ok=True)

    def remove(self) -> None:
        """Leave nothing behind."""
        with kill_point("part.remove"):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def _take_note(self, total: int) -> None:
        """Note how far it is, where the server named the content strongly enough to ask for the rest of it."""
        if 0 < self.size < total and self.etag and not self.etag.startswith("W/"):
            with kill_point("part.mark"):
                self._note.write_text(f"{self.etag}\n{self.size}\n{self._digest.hexdigest()}", encoding="utf-8")
