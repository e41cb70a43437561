"""Read the predictions that a person's program wrote, and refuse a file that cannot be this era's."""

import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from bot.data.live_file import LONGEST_TEXT
from bot.data.parquet_columns import LIVE, open_columns
from bot.errors import DatasetIncomplete
from bot.tournament.columns import ID, PREDICTION

NAMES = ("predictions.parquet", "predictions.csv")

LARGEST_BYTES = 8 << 20
"""Largest file in bytes: twenty times the predictions of a live file of 7,000 rows."""

LARGEST = 1e6
"""Largest absolute prediction: members are ranked before they are blended, so any scale will do, but no overflow."""

FIX = f'write {NAMES[1]} or {NAMES[0]} with the columns {ID}, {PREDICTION}: frame.to_csv("{NAMES[1]}", index=False)'

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """
    Rows of a file of predictions.

    Attributes:
        ids: Ids in file order.
        values: Predictions of the same rows. Shape ``(rows,)``.
    """

    ids: list[str]
    values: Floats


class PredictionsRefused(ValueError):
    """The file is absent, unreadable, or does not hold one finite prediction of each row; the message is one line."""


def read_predictions(folder: Path, ids: Sequence[str]) -> Floats:
    """
    Return the predictions of the rows with these *ids*, in their order.

    Args:
        folder: Folder that the program wrote to. Nothing may write to it any more.
        ids: Ids of the era.

    Returns:
        Finite predictions that are not all equal. Shape ``(rows,)``.

    Raises:
        PredictionsRefused: There is no such file, or it is wrong.
    """
    path = _only_file(folder)
    found = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    return _aligned(found, ids, path.name)


def _only_file(folder: Path) -> Path:
    """Return the file of the predictions: a plain file of bounded size; a link or a pipe may lead out of the folder."""
    paths = [folder / name for name in NAMES if os.path.lexists(folder / name)]
    if len(paths) != 1:
        what = f"wrote both {' and '.join(NAMES)}" if paths else "wrote no predictions"
        raise PredictionsRefused(f"{what}; {FIX}")
    found = paths[0].lstat()
    if not stat.S_ISREG(found.st_mode):
        raise PredictionsRefused(f"{paths[0].name} is no plain file; {FIX}")
    if found.st_size > LARGEST_BYTES:
        raise PredictionsRefused(
            f"{paths[0].name} has {found.st_size >> 20:,} MiB, more than {LARGEST_BYTES >> 20}; one row for each id is enough"
        )
    return paths[0]


def _read_parquet(path: Path) -> _Rows:
    try:
        with open_columns(path, LIVE, remedy=FIX) as file:
            if missing := [name for name in (ID, PREDICTION) if name not in file.types]:
                raise PredictionsRefused(f"{path.name} has no column {missing[0]!r}; {FIX}")
            file.refuse_repeated([ID, PREDICTION])
            return _Rows(ids=[one or "" for one in file.texts(ID, LONGEST_TEXT)], values=file.numbers(PREDICTION))
    except DatasetIncomplete as error:
        raise PredictionsRefused(str(error)) from None


def _read_csv(path: Path) -> _Rows:
    options = csv.ConvertOptions(
        column_types={ID: pa.string(), PREDICTION: pa.float64()}, include_columns=[ID, PREDICTION]
    )
    try:
        table = csv.read_csv(
            io.BytesIO(path.read_bytes()),
            read_options=csv.ReadOptions(use_threads=False),
            convert_options=options,
        )
    except KeyError:
        raise PredictionsRefused(f"{path.name} lacks a column; {FIX}") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        raise PredictionsRefused(f"{path.name} cannot be read: {type(error).__name__}; {FIX}") from None
    if table.num_rows > LIVE.rows:
        raise PredictionsRefused(f"{path.name} has {table.num_rows:,} rows; one row for each id is enough")
    return _Rows(ids=[one or "" for one in table[ID].to_pylist()], values=table[PREDICTION].to_numpy())


def _aligned(found: _Rows, ids: Sequence[str], name: str) -> Floats:
    """Return the predictions in the order of *ids*."""
    place = {one: index for index, one in enumerate(found.ids)}
    wanted = set(ids)
    foreign, missing = len(place.keys() - wanted), len(wanted - place.keys())
    if foreign or missing:
        old = ": they are another era's" if missing == len(wanted) else ""
        raise PredictionsRefused(
            f"{name} lacks {missing:,} of {len(wanted):,} ids and has {foreign:,} others{old}; predict every row of live.parquet"
        )
    if len(place) != len(found.ids):
        raise PredictionsRefused(f"{name} has {len(found.ids) - len(place):,} ids twice; write each id once")
    predictions = found.values[[place[one] for one in ids]].astype(np.float64)
    if odd := int((~np.isfinite(predictions)).sum()):
        raise PredictionsRefused(f"{name} has {odd:,} predictions that are missing or infinite; predict every row")
    largest = float(np.abs(predictions).max(initial=0.0))
    if largest > LARGEST:
        raise PredictionsRefused(f"{name} has a prediction of {largest:.3g}, over {LARGEST:g}; scale the predictions")
    if len(ids) > 1 and np.ptp(predictions) == 0:
        raise PredictionsRefused(f"{name} has the same prediction in every row; a constant is no model")
    return predictions
