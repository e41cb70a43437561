"""
Read the live file without pandas, and prove that it belongs to the open round.

Numerai does not refuse an upload for the wrong round: it silently maps ids of the previous round onto the current one. So
a file is accepted only if its ids are new, its era is the live era, and its number of rows is plausible.
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
"""Feature columns that are decoded at a time: as fast as all at once, with a third of the memory."""

MAX_ROW_CHANGE = 0.2
"""Largest accepted change of the row count between rounds; consecutive eras differ by at most 7.3 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFile:
    """
    The rows of a live file.

    Attributes:
        ids: Ids in file order.
        era: Era label of all rows.
        names: Feature columns in file order.
        values: Feature codes, -1 for a value that is missing or not a code. Shape ``(rows, columns)``, int8.
        missing: Number of values that were null or NaN.
        strange: Number of values that were not a whole number of one byte.
    """

    ids: tuple[str, ...]
    era: str
    names: tuple[str, ...]
    values: npt.NDArray[np.int8]
    missing: int
    strange: int

    @property
    def ids_sha256(self) -> str:
        """Return the sha256 of the sorted ids."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()


def read_live(path: Path) -> LiveFile:
    """
    Read ids and features of a live file.

    Raises:
        DatasetIncomplete: The file is damaged, has no rows, several eras, or lacks the id column.
    """
    try:
        # pyarrow's own conversions import pandas, which takes a quarter of a second; so raw buffers are read.
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
            decoded = _decode(file.read(columns=list(names[start : start + BLOCK]), use_threads=False))
            values[:, start : start + BLOCK] = decoded.codes.T
            missing, strange = missing + decoded.missing, strange + decoded.strange
        ids = tuple(keys.column(ID).to_pylist())
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a damaged name that is not UTF-8
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
    Refuse a live file that does not belong to the open round.

    Args:
        live: The live file.
        previous_ids_sha256: Digests of the ids of earlier rounds' live files.
        previous_rows: Number of rows of the last round's live file.
        modified: Publication time according to the server.
        not_before: Time before which this round's file cannot have been published. ``None`` where it is unknown, or not
            needed because the last round's ids are known.

    Raises:
        DatasetIncomplete: The file belongs to an earlier round, has rows of other eras, repeats ids, or has an implausible
            number of rows.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """
    Some feature columns.

    Attributes:
        codes: Feature codes. Shape ``(columns, rows)``, int8.
        missing: Number of values that were null or NaN.
        strange: Number of values that were not a whole number of one byte.
    """

    codes: npt.NDArray[np.int8]
    missing: int
    strange: int


def _decode(block: pa.Table) -> _Decoded:
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
    return _Decoded(codes=codes, missing=missing, strange=strange)
