"""
The live file: read without pandas, and proven to be this round's.

Numerai does not stop a wrong-round upload: ids of the previous round are mapped onto the current one, silently. So a
file is believed only when its ids are new, its era says live, and its size is that of a round.
"""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.columns import DATA_TYPE, ERA, FEATURE_PREFIX, FEATURE_VALUES, ID, LIVE_ERA
from bot.errors import DatasetIncomplete
from bot.preprocess import MISSING

MAX_ROW_CHANGE = 0.2
"""Largest change of the row count from one round to the next; neighbouring eras differ by 7.3 % at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFile:
    """
    The rows of a live file.

    Attributes:
        ids: In file order.
        era: The one era label of all rows.
        names: Feature columns in file order.
        values: Codes, -1 where the file has none or something that is no code. Shape ``(rows, columns)``, int8.
        missing: Values that were null or NaN.
        strange: Values that were no whole number of one byte.
    """

    ids: tuple[str, ...]
    era: str
    names: tuple[str, ...]
    values: npt.NDArray[np.int8]
    missing: int
    strange: int

    @property
    def ids_sha256(self) -> str:
        """Return a digest of the set of ids, whatever their order."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()


def read_live(path: Path) -> LiveFile:
    """
    Read ids and features of a live file.

    Raises:
        DatasetIncomplete: The file is damaged, has no rows, several eras, or lacks the id column.
    """
    try:
        # One thread and raw buffers: pyarrow's conversions would import pandas, a quarter of a second.
        table = pq.ParquetFile(path, pre_buffer=False).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DatasetIncomplete(f"{path.name} cannot be read: {type(error).__name__}; it is fetched again") from None
    absent = [name for name in (ID, ERA) if name not in table.column_names]
    if absent:
        raise DatasetIncomplete(f"{path.name} has no column {absent[0]!r}; it is not a live file")
    eras = set(table.column(ERA).to_pylist())
    if table.num_rows == 0 or len(eras) != 1:
        raise DatasetIncomplete(f"{path.name} has {table.num_rows} rows of {len(eras)} eras; a live file has one era")
    names = tuple(name for name in table.column_names if name.startswith(FEATURE_PREFIX))
    columns = np.empty((len(names), table.num_rows), dtype=np.int8)
    missing = strange = 0
    for index, name in enumerate(names):
        absent_here, strange_here = _decode(table.column(name), columns[index])
        missing += absent_here
        strange += strange_here
    return LiveFile(
        ids=tuple(table.column(ID).to_pylist()),
        era=str(eras.pop()),
        names=names,
        values=np.ascontiguousarray(columns.T),
        missing=missing,
        strange=strange,
    )


def prove_fresh(live: LiveFile, *, previous_ids_sha256: AbstractSet[str], previous_rows: int | None) -> None:
    """
    Refuse a live file that is not this round's.

    Args:
        live: As read.
        previous_ids_sha256: Digests of the ids of earlier rounds' live files.
        previous_rows: Rows of the last round's.

    Raises:
        DatasetIncomplete: It is an earlier round's file, holds other than live rows, repeats ids, or has a size that
            no round has.
    """
    if live.era != LIVE_ERA:
        raise DatasetIncomplete(f"the live file holds era {live.era!r}, not {LIVE_ERA!r}; it is fetched again")
    if len(set(live.ids)) != len(live.ids) or not all(live.ids):
        raise DatasetIncomplete("the live file repeats ids; it is fetched again")
    if live.ids_sha256 in previous_ids_sha256:
        raise DatasetIncomplete("the live file is still an earlier round's (same ids); it is fetched again")
    if previous_rows is not None and abs(len(live.ids) - previous_rows) > MAX_ROW_CHANGE * previous_rows:
        raise DatasetIncomplete(
            f"the live file has {len(live.ids)} rows, the last round's had {previous_rows}; it is fetched again"
        )
    if DATA_TYPE in live.names:
        raise DatasetIncomplete("the live file's data_type is among its features")


def _decode(column: pa.ChunkedArray, out: npt.NDArray[np.int8]) -> tuple[int, int]:
    """Write a column's codes to *out*; return how many values were absent and how many were no codes."""
    start = missing = strange = 0
    for chunk in column.chunks:
        part = out[start : start + len(chunk)]
        start += len(chunk)
        if chunk.type == pa.int8() and chunk.null_count == 0:
            part[:] = np.frombuffer(chunk.buffers()[1], dtype=np.int8, count=len(chunk), offset=chunk.offset)
            continue
        values = np.array([np.nan if value is None else float(value) for value in chunk.to_pylist()])
        absent = np.isnan(values)
        known = ~absent & (values == np.floor(values)) & (np.abs(values) <= FEATURE_VALUES[-1] + 100)
        part[:] = MISSING
        part[known] = values[known].astype(np.int8)
        missing += int(absent.sum())
        strange += int((~absent & ~known).sum())
    return missing, strange
