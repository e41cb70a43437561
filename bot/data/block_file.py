"""
Writing a file of a block from front to back, so that a full disk is an error and never a crash.

What is written is hashed on the way, and leaves the page cache again: a store may be larger than the memory of the
machine that makes it, and pages that are used again cost less than fresh ones. ``bench/ingest.py`` holds the sum.
"""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from bot.data.era_store_manifest import StoredFile

BUFFER = 1 << 20
"""Bytes handed to the kernel at a time; columns are shorter, and each call costs."""

KEPT = 32 << 20
"""Bytes after which what was written is brought to disk and leaves the page cache."""


class BlockFile:
    """
    A file being written.

    Use it as a context manager; leaving it closes the file.

    Args:
        path: Where; a file that is there makes room, and who has it mapped keeps it.

    Raises:
        OSError: The disk is full; so do the methods.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path, self.bytes = path, 0
        self._sha256, self._since = hashlib.sha256(), 0
        self._file = path.open("xb", buffering=BUFFER)

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def append(self, values: np.ndarray) -> None:
        """Write values of any shape after those before, as their bytes in C order; they are best contiguous."""
        content = values.reshape(-1).view(np.uint8).data
        self._sha256.update(content)
        self._file.write(content)
        self.bytes += len(content)
        self._since += len(content)
        if self._since >= KEPT:
            self._to_disk()

    def finish(self) -> StoredFile:
        """Bring everything to disk and say what was written."""
        self._to_disk()
        return StoredFile(name=self.path.name, bytes=self.bytes, sha256=self._sha256.hexdigest())

    def _to_disk(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._since = 0
