"""
Predictions of Numerai's benchmark and meta models, aligned with the rows of the era store.

Their files begin later than the history: the real ones near era 1133, the benchmarks with the validation file. So there
may be no predictions of an era.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.era_store import EraStore
from bot.findings import Absent
from bot.tournament.columns import ERA, ID

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
    """Return the benchmark model of *target* in the synced files of *folder*; ``None`` if there is none."""
    files = _synced(folder, "bmc")
    return benchmark_column(pq.read_schema(files[0]).names, target) if files else None


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
    for file in files:
        table = pq.read_table(file, columns=[ID, ERA, column], filters=[(ERA, "in", list(wanted))])
        found.update(_aligned(table, column, store, wanted))
    if not found:
        return Absent(f"{files[0].name} holds none of the {len(wanted)} eras from {min(wanted)} to {max(wanted)}")
    return found


def _synced(folder: Path, score: str) -> list[Path]:
    """Return the synced files behind a score."""
    return [folder / name for name in _FILES[score] if (folder / name).is_file()]


def _aligned(table: pa.Table, column: str, store: EraStore, wanted: Mapping[str, int]) -> dict[int, Floats]:
    """Return the predictions of each era in the order of the store's rows."""
    eras = np.asarray(table[ERA].to_pylist())
    ids = np.asarray(table[ID].to_pylist(), dtype=np.bytes_)
    values = table[column].to_numpy().astype(np.float64)
    aligned = {}
    for era in dict.fromkeys(eras.tolist()):
        rows = eras == era
        order = np.argsort(ids[rows])
        known, predictions = ids[rows][order], values[rows][order]
        own = store.ids(wanted[era])
        place = np.minimum(np.searchsorted(known, own), len(known) - 1)
        aligned[wanted[era]] = np.where(known[place] == own, predictions[place], np.nan)
    return aligned
