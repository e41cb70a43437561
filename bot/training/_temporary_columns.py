"""Write derived columns to temporary files, so that memory does not grow with their number."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]


class TemporaryColumns:
    """
    Columns in a file without a name; the disk space is freed with the last reference to a column.

    Args:
        folder: Folder on the disk to write to; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by :meth:`__exit__`

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; columns that were written stay mapped."""
        self._file.close()

    def write(self, columns: Sequence[Column]) -> list[Column]:
        """
        Write the columns that are in memory to the file, and return all columns as views of files.

        Raises:
            OSError: The disk is full.
        """
        kept = list(columns)
        for dtype in {column.dtype for column in columns}:
            loose = [index for index, one in enumerate(columns) if one.dtype == dtype and not is_mapped(one)]
            if not loose:
                continue
            start, rows = self._file.seek(0, 2), len(columns[loose[0]])
            # Written, not assigned through a writable map: a full disk raises here and does not crash the process.
            for index in loose:
                self._file.write(np.ascontiguousarray(columns[index]).data)
            self._file.flush()
            mapped = np.memmap(self._file, dtype=dtype, mode="r", offset=start, shape=(len(loose), rows))
            for index, column in zip(loose, mapped.view(np.ndarray), strict=True):
                kept[index] = column
        return kept


def is_mapped(column: Column) -> bool:
    """Return whether an array is a view of a file, directly or through other views."""
    owner: object = column
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    return isinstance(owner, np.memmap)
