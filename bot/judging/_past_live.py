"""Write a past era in the form of a live round's files, for models that are no part of the bot."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.era_store import EraStore
from bot.data.parquet_columns import RUN_SYNC, explained
from bot.features.codes import MISSING
from bot.tournament.columns import DATA_TYPE, ERA, ID, LIVE_ERA, era_label

_ID = {"name": ID, "field_name": ID, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
_INDEX = {b"pandas": json.dumps({"index_columns": [ID], "column_indexes": [], "columns": [_ID]}).encode()}
"""Metadata that makes ``id`` the index in pandas, as in Numerai's files."""

_BENCHMARKS = ("validation_benchmark_models.parquet", "train_benchmark_models.parquet")


def write_past_live(store: EraStore, position: int, path: Path) -> tuple[str, ...]:
    """
    Write the features of a past era as a live file: without targets, and with the era of a live round.

    Returns:
        The ids of its rows.
    """
    ids = tuple(one.decode() for one in store.ids(position).tolist())
    columns = {ID: pa.array(ids), ERA: pa.array([LIVE_ERA] * len(ids)), DATA_TYPE: pa.array(["live"] * len(ids))}
    names = store.manifest.features
    codes = store.select(names, ()).features(position).T
    columns |= {name: pa.array(line, mask=line == MISSING) for name, line in zip(names, codes, strict=True)}
    pq.write_table(pa.table(columns).replace_schema_metadata(_INDEX), path)
    return ids


def write_past_benchmark(folder: Path, era: str, path: Path) -> bool:
    """
    Write the benchmark models' predictions of a past era as a live round's file of them.

    Args:
        folder: Folder of the data version, with the synced files.
        era: Label of the era.
        path: File to write.

    Returns:
        Whether there are any; else nothing is written.

    Raises:
        DatasetIncomplete: A file is damaged.
    """
    parts = [part for name in _BENCHMARKS if (folder / name).is_file() for part in _rows(folder / name, era)]
    if not parts:
        return False
    table = pa.concat_tables(parts)
    live = pa.array([LIVE_ERA] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index(ERA), ERA, live), path)
    return True


def _rows(source: Path, era: str) -> Iterator[pa.Table]:
    """Yield the rows of an era in each row group of a file that has some; one group at a time is decoded."""
    with explained(source, RUN_SYNC), pq.ParquetFile(source) as file:
        for group in range(file.num_row_groups):
            labels = file.read_row_group(group, columns=[ERA])[ERA].to_pylist()
            rows = np.flatnonzero([era_label(label) == era for label in labels])
            if len(rows):
                yield file.read_row_group(group).take(pa.array(rows))
