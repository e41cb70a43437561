"""Columns that no store holds, written to disk as they are made, so that how many there are is no matter of memory."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]


class TemporaryColumns:
    """
    A file without a name: it is gone when the last column in it is.

    Args:
        folder: On the disk that takes it; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by :meth:`__exit__`

    def __enter__(self) -> Self:
        """Take columns until the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more columns; those that were taken stay mapped."""
        self._file.close()

    def write(self, columns: Sequence[Column]) -> list[Column]:
        """
        Return the columns, none of them in memory: those that are no view of a file are written to this one.

        Written, not mapped and assigned: a full disk is an error then, and never a crash.

        Raises:
            OSError: The disk is full.
        """
        kept = list(columns)
        for dtype in {column.dtype for column in columns}:
            loose = [index for index, one in enumerate(columns) if one.dtype == dtype and not is_mapped(one)]
            if not loose:
                continue
            start, rows = self._file.seek(0, 2), len(columns[loose[0]])
            for index in loose:
                self._file.write(np.ascontiguousarray(columns[index]).data)
            self._file.flush()
            mapped = np.memmap(self._file, dtype=dtype, mode="r", offset=start, shape=(len(loose), rows))
            for index, column in zip(loose, mapped.view(np.ndarray), strict=True):
                kept[index] = column
        return kept


def is_mapped(column: Column) -> bool:
    """Say whether an array is a view of a file, however many views lie between."""
    owner: object = column
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    return isinstance(owner, np.memmap)
