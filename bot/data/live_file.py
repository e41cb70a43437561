"""
The live file: read without pandas, and proven to be this round's.

Numerai does not stop a wrong-round upload: ids of the previous round are mapped onto the current one, silently. So a
file is believed only when its ids are new, its era says live, and its size is that of a round.
"""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.errors import DatasetIncomplete
from bot.features.codes import MISSING, coded
from bot.tournament.columns import DATA_TYPE, ERA, FEATURE_PREFIX, ID, LIVE_ERA

BLOCK = 512
"""Feature columns decoded at a time: the same speed as all at once, with a third of the memory."""

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
        # pyarrow's own conversions would import pandas, a quarter of a second; so only raw buffers are taken.
        file = pq.ParquetFile(path, pre_buffer=False)
        columns = file.schema_arrow.names
        absent = [name for name in (ID, ERA) if name not in columns]
        if absent:
            raise DatasetIncomplete(f"{path.name} has no column {absent[0]!r}; it is not a live file")
        keys = file.read(columns=[ID, ERA], use_threads=False)
        eras = set(keys.column(ERA).to_pylist())
        if keys.num_rows == 0 or len(eras) != 1:
            raise DatasetIncomplete(
                f"{path.name} has {keys.num_rows} rows of {len(eras)} eras; a live file has one era"
            )
        names = tuple(name for name in columns if name.startswith(FEATURE_PREFIX))
        values = np.empty((keys.num_rows, len(names)), dtype=np.int8)
        missing = strange = 0
        for start in range(0, len(names), BLOCK):
            block = file.read(columns=list(names[start : start + BLOCK]), use_threads=False)
            codes, absent_here, strange_here = _decode(block)
            values[:, start : start + BLOCK] = codes.T
            missing, strange = missing + absent_here, strange + strange_here
        ids = tuple(keys.column(ID).to_pylist())
    except (OSError, ValueError, pa.ArrowException) as error:  # a damaged name is no UTF-8, which is a ValueError
        raise DatasetIncomplete(f"{path.name} cannot be read: {type(error).__name__}; it is fetched again") from None
    return LiveFile(
        ids=ids,
        era=str(eras.pop()),
        names=names,
        values=values,
        missing=missing,
        strange=strange,
    )


def prove_fresh(
    live: LiveFile,
    *,
    previous_ids_sha256: AbstractSet[str],
    previous_rows: int | None,
    modified: datetime | None = None,
    not_before: datetime | None = None,
) -> None:
    """
    Refuse a live file that is not this round's.

    Args:
        live: As read.
        previous_ids_sha256: Digests of the ids of earlier rounds' live files.
        previous_rows: Rows of the last round's.
        modified: When the server says that the file was published.
        not_before: Time before which this round's file cannot have been published; ``None`` where it is not known, or not
            needed because the last round's ids are.

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
    if modified is not None and not_before is not None and modified < not_before:
        raise DatasetIncomplete(
            f"the live file was published {modified:%a %Y-%m-%d %H:%M} UTC: it is the last round's; it is fetched again"
        )
    if previous_rows is not None and abs(len(live.ids) - previous_rows) > MAX_ROW_CHANGE * previous_rows:
        raise DatasetIncomplete(
            f"the live file has {len(live.ids)} rows, the last round's had {previous_rows}; it is fetched again"
        )
    if DATA_TYPE in live.names:
        raise DatasetIncomplete("the live file's data_type is among its features")


def _decode(block: pa.Table) -> tuple[npt.NDArray[np.int8], int, int]:
    """Return the codes of some columns, shape ``(columns, rows)``, how many were absent and how many were no codes."""
    codes = np.empty((block.num_columns, block.num_rows), dtype=np.int8)
    missing = strange = 0
    for column, out in zip(block.columns, codes, strict=True):
        start = 0
        for chunk in column.chunks:
            part = out[start : start + len(chunk)]
            start += len(chunk)
            if chunk.type == pa.int8() and chunk.null_count == 0:
                part[:] = np.frombuffer(chunk.buffers()[1], dtype=np.int8, count=len(chunk), offset=chunk.offset)
                continue
            values = np.array([np.nan if value is None else float(value) for value in chunk.to_pylist()])
            part[:] = coded(values)
            absent = int(np.isnan(values).sum())
            missing += absent
            strange += int(((part == MISSING) & (values != MISSING)).sum()) - absent
    return codes, missing, strange
