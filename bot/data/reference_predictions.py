"""
Predictions of Numerai's benchmark and meta models, aligned with the rows of the era store.

Their files begin later than the history: the benchmark models at era 0158 (the files of train and validation), the meta
model at era 1133 (v5.3, 2026). So there may be no predictions of an era.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.data.era_store import ID_BYTES, EraStore
from bot.data.parquet_columns import HISTORY, RUN_SYNC, open_columns
from bot.errors import DatasetIncomplete
from bot.findings import Absent
from bot.tournament.columns import ERA, ID, era_label

META_MODEL = "numerai_meta_model"
_FILES = {
    "bmc": ("validation_benchmark_models.parquet", "train_benchmark_models.parquet"),
    "mmc": ("meta_model.parquet",),
}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePredictions:
    """
    Predictions of the benchmark model (score ``bmc``) and the meta model (score ``mmc``).

    Attributes:
        by_era: By score and position of the era: one prediction per row of the store, NaN where there is none.
        absent: Reason of each score that has no predictions of any era.
    """

    by_era: Mapping[str, Mapping[int, Floats]]
    absent: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path, store: EraStore, positions: Sequence[int], *, target: str) -> "ReferencePredictions":
        """
        Read the predictions of some eras from the synced files.

        Args:
            folder: Folder of the data version.
            store: Era store with the rows.
            positions: Positions of the eras in the store.
            target: Target of the benchmark model.

        Raises:
            DatasetIncomplete: A file is damaged, or has a column twice.
        """
        found = {score: _read(score, folder, store, positions, target) for score in _FILES}
        return cls(
            by_era={score: eras for score, eras in found.items() if not isinstance(eras, Absent)},
            absent={score: eras.reason for score, eras in found.items() if isinstance(eras, Absent)},
        )


def benchmark_column(names: Sequence[str], target: str) -> str | None:
    """Return the benchmark model of *target* among columns such as ``v53_lgbm_ender60``; ``None`` if there is none."""
    _, name, days = target.rsplit("_", 2)
    return next((column for column in names if column.endswith(f"_lgbm_{name}{days}")), None)


def benchmark_model(folder: Path, target: str) -> str | None:
    """
    Return the benchmark model of *target* in the synced files of *folder*; ``None`` if there is none.

    Raises:
        DatasetIncomplete: A file is damaged.
    """
    for path in _synced(folder, "bmc"):
        with open_columns(path, HISTORY, remedy=RUN_SYNC) as file:
            column = benchmark_column(tuple(file.types), target)
        if column is not None:
            return column
    return None


def _read(
    score: str, folder: Path, store: EraStore, positions: Sequence[int], target: str
) -> dict[int, Floats] | Absent:
    """Return the predictions behind a score by position of the era."""
    files = _synced(folder, score)
    if not files:
        return Absent(f"no {_FILES[score][0]}")
    column = META_MODEL if score == "mmc" else benchmark_model(folder, target)
    if column is None:
        return Absent(f"no benchmark model of {target} in {files[0].name}")
    found: dict[int, Floats] = {}
    wanted = {store.eras[position]: position for position in positions}
    for path in files:
        for position, rows in _rows(path, column, wanted).items():
            found[position] = rows.aligned(store.ids(position))
    if not found:
        return Absent(f"{files[0].name} holds none of the {len(wanted)} eras from {min(wanted)} to {max(wanted)}")
    return found


def _synced(folder: Path, score: str) -> list[Path]:
    """Return the synced files behind a score."""
    return [folder / name for name in _FILES[score] if (folder / name).is_file()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """
    Predictions of one era, in parts of a file.

    Attributes:
        ids: Ids of each part. Shape ``(rows,)``, 16 bytes each.
        values: Predictions of each part. Shape ``(rows,)``.
    """

    ids: list[npt.NDArray[np.bytes_]] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)

    def aligned(self, own: npt.NDArray[np.bytes_]) -> Floats:
        """Return the predictions of the rows with the ids *own*, NaN where there is none."""
        known, predictions = np.concatenate(self.ids), np.concatenate(self.values)
        if np.array_equal(known, own):
            return predictions
        order = np.argsort(known)
        place = order[np.minimum(np.searchsorted(known, own, sorter=order), len(known) - 1)]
        return np.where(known[place] == own, predictions[place], np.nan)


def _rows(path: Path, column: str, wanted: Mapping[str, int]) -> dict[int, _Rows]:
    """Return the predictions of a file by position of the era; one row group at a time is decoded."""
    found: dict[int, _Rows] = {}
    with open_columns(path, HISTORY, remedy=RUN_SYNC, as_dictionary=(ERA,)) as file:
        if column not in file.types:
            return found
        absent = [name for name in (ID, ERA) if name not in file.types]
        if absent:
            raise DatasetIncomplete(f"{path.name} has no column {absent[0]!r}; {RUN_SYNC}")
        file.refuse_repeated([ID, ERA, column])
        for group in file.groups:
            eras = file.labels(ERA, group=group)
            inside = [(label, rows) for label, rows in eras.items() if era_label(label) in wanted]
            if not inside:
                continue
            ids, values = file.fixed(ID, ID_BYTES, group=group), file.numbers(column, group=group)
            values[~np.isfinite(values)] = np.nan
            for label, rows in inside:
                era = found.setdefault(wanted[era_label(label)], _Rows())
                era.ids.append(ids[rows])
                era.values.append(values[rows])
    return found
