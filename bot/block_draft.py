"""Writing the features of a block to disk, column by column, so that a full disk is an error and never a crash."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.parquet import Era


@dataclass(slots=True, kw_only=True)
class Draft:
    """
    A block whose features are being written, one column of one row group after another.

    Attributes:
        name: Of the block.
        path: Of its features.
        eras: That it will hold.
        columns: Number of features.
    """

    name: str
    path: Path
    eras: tuple[Era, ...]
    columns: int
    _file: int = -1

    @property
    def start(self) -> int:
        """Return its first row in the source."""
        return self.eras[0].start

    @property
    def stop(self) -> int:
        """Return the row after its last one in the source."""
        return self.eras[-1].start + self.eras[-1].rows

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the file open for :meth:`put`."""
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            yield
        finally:
            os.close(self._file)

    def put(self, column: int, codes: npt.NDArray[np.int8], start: int) -> None:
        """Write the rows of one column that belong here; *codes* begin at row *start* of the source."""
        first, last = max(self.start, start), min(self.stop, start + len(codes))
        where = column * (self.stop - self.start) + first - self.start
        view = codes[first - start : last - start].data
        while view:
            written = os.pwrite(self._file, view, where)
            view, where = view[written:], where + written


def sync_to_disk(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
