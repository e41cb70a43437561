"""
Fingerprints of a live file's feature columns, computed apart from :mod:`bot.data.live_file`.

A mistake in pairing names and columns would otherwise pass every gate: predictions from shifted features look like others.
So this module shares no decoding with the reader: it takes columns one by one, by their place in parquet's own schema.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.parquet_columns import FETCHED_AGAIN, explained
from bot.features.column_sums import ColumnSums, raw_sum


def differing_columns(path: Path, seen: ColumnSums) -> tuple[str, ...]:
    """
    Return the names of the columns whose values in a live file differ from those that members scored.

    Args:
        path: The live file.
        seen: Fingerprints of the preprocessed columns, in the order of the file's rows.

    Raises:
        DatasetIncomplete: The file is damaged.
    """
    expected = dict(zip(seen.names, seen.sums.tolist(), strict=True))
    with explained(path, FETCHED_AGAIN), pq.ParquetFile(path, pre_buffer=False) as file:
        places = _places(file.metadata, expected.keys())
        return tuple(
            name
            for name, sum_ in expected.items()
            if name not in places or raw_sum(_values(file.reader.read_column(places[name])), seen.missing) != sum_
        )


def _places(metadata: pq.FileMetaData, names: Collection[str]) -> dict[str, int]:
    """Return the place of each named column among those of parquet's schema; a repeated name has none."""
    paths = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    places = {path: place for place, path in enumerate(paths) if path in names}
    repeated = {path for place, path in enumerate(paths) if places.get(path, place) != place}
    return {path: place for path, place in places.items() if path not in repeated}


def _values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column as int8 or as float64 with NaN for null. Shape ``(rows,)``."""
    if column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        parts = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
        values = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, np.int8)])
        return values if values.dtype == np.int8 else values.astype(np.float64)
    return np.array([np.nan if one is None else float(one) for one in column.to_pylist()])
