"""
What others predicted for eras of the store: Numerai's benchmark model and the meta model, row by row.

Their files begin later than the history (the real ones at era 1133 or so, benchmarks with the validation part), so
every answer may be "none for this era".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.era_store import EraStore
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
    Predictions by score (``bmc``: the benchmark's, ``mmc``: the meta model's) and era.

    Attributes:
        by_era: Per score and position of the era: one prediction per row of the store, NaN where there is none.
        absent: Why a score has none at all.
    """

    by_era: Mapping[str, Mapping[int, Floats]]
    absent: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path, store: EraStore, positions: Sequence[int], *, target: str) -> "ReferencePredictions":
        """
        Read what the synced files of *folder* say about the eras at *positions*.

        Args:
            folder: Of the data version.
            store: Names the rows.
            positions: Of the eras.
            target: Its benchmark model is taken.
        """
        found: dict[str, dict[int, Floats]] = {}
        absent = {}
        wanted = {store.eras[position]: position for position in positions}
        for score, names in _FILES.items():
            files = [folder / name for name in names if (folder / name).is_file()]
            column = META_MODEL if score == "mmc" else benchmark_model(folder, target)
            if not files or column is None:
                absent[score] = f"no {names[0]}" if not files else f"no benchmark model of {target} in {files[0].name}"
                continue
            found[score] = {}
            for file in files:
                table = pq.read_table(file, columns=[ID, ERA, column], filters=[(ERA, "in", list(wanted))])
                found[score].update(_aligned(table, column, store, wanted))
            if not found[score]:
                absent[score] = (
                    f"{files[0].name} holds none of the {len(wanted)} eras from {min(wanted)} to {max(wanted)}"
                )
        return cls(by_era={name: eras for name, eras in found.items() if eras}, absent=absent)


def benchmark_column(names: Sequence[str], target: str) -> str | None:
    """Return the benchmark model of *target* among columns such as ``v53_lgbm_ender60``; ``None`` if there is none."""
    _, name, days = target.rsplit("_", 2)
    return next((column for column in names if column.endswith(f"_lgbm_{name}{days}")), None)


def benchmark_model(folder: Path, target: str) -> str | None:
    """Return the benchmark model of *target* in the synced files of *folder*; ``None`` if there is none."""
    files = [folder / name for name in _FILES["bmc"] if (folder / name).is_file()]
    return benchmark_column(pq.read_schema(files[0]).names, target) if files else None


def _aligned(table: pa.Table, column: str, store: EraStore, wanted: Mapping[str, int]) -> dict[int, Floats]:
    """Return the predictions of each era in the order of the store's rows."""
    eras = np.asarray(table[ERA].to_pylist())
    ids = np.asarray(table[ID].to_pylist(), dtype=np.bytes_)
    values = table[column].to_numpy().astype(np.float64)
    aligned = {}
    for era in dict.fromkeys(eras.tolist()):
        rows = eras == era
        order = np.argsort(ids[rows])
        known, said = ids[rows][order], values[rows][order]
        own = store.ids(wanted[era])
        place = np.minimum(np.searchsorted(known, own), len(known) - 1)
        aligned[wanted[era]] = np.where(known[place] == own, said[place], np.nan)
    return aligned
