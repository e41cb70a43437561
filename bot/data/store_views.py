"""
Ways out of an era store for notebooks and other libraries: numpy views, an Arrow table, polars frames, torch, LightGBM.

::

    columns = store.select(features, targets)          # nothing is read yet
    era_arrays(columns, 0).features                    # int8 codes 0 to 4, -1 where missing: a view of the file
    polars_frame(columns, range(0, 100, 4))            # era, id, features and targets of every fourth era
    DataLoader(TorchEras(columns, eras), batch_size=None, num_workers=4)
    lightgbm_dataset(columns, "target_ender_60", eras)

*Positions* count the eras of the store from 0, the oldest. Feature columns are read where they lie in the mapped files, so
memory grows with what a library makes of them, and not with the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bot.data.era_store import ID_BYTES, Columns, Floats
from bot.errors import BadConfig
from bot.features.codes import Codes
from bot.tournament.columns import ERA, ID

if TYPE_CHECKING:
    import lightgbm
    import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class EraArrays:
    """
    One era as arrays.

    Attributes:
        era: Label of the era.
        ids: Ids in file order. Shape ``(rows,)``.
        features: Feature codes, -1 where missing. Shape ``(rows, F)``, int8, column-major; read-only where it is a view.
        targets: Targets, NaN where unknown. Shape ``(rows, T)``, float32.
    """

    era: str
    ids: npt.NDArray[np.bytes_]
    features: Codes
    targets: Floats


def era_arrays(columns: Columns, position: int) -> EraArrays:
    """Return the era at *position*; features that are neighbours in the store are not copied."""
    return EraArrays(
        era=columns.eras[position],
        ids=columns.store.ids(position),
        features=columns.features(position),
        targets=columns.targets(position),
    )


def arrow_table(columns: Columns, positions: Sequence[int], *, labels: bool = True) -> pa.Table:
    """
    Return eras as an Arrow table, for pyarrow, pandas, DuckDB or LightGBM.

    Each run of neighbouring eras is a chunk of every column. Feature and target chunks are views of the mapped files.

    Args:
        columns: Columns of a store.
        positions: Ascending positions of eras.
        labels: Begin with the columns ``era`` and ``id``.

    Raises:
        BadConfig: A position is not in the store, or they do not ascend.
    """
    runs = columns.runs(_checked(columns, positions))
    chunks: dict[str, list[pa.Array]] = {}
    if labels:
        chunks = {ERA: [_eras(columns, run) for run in runs], ID: [_ids(columns, run) for run in runs]}
    chunks |= {name: [] for name in (*columns.feature_names, *columns.target_names)}
    for run in runs:
        for name, values in zip(columns.feature_names, columns.in_place(run), strict=True):
            chunks[name].append(pa.array(values))
        for name in columns.target_names:
            chunks[name].append(pa.array(np.concatenate([columns.target(one, name) for one in run])))
    types = {ERA: pa.string(), ID: pa.string(), **dict.fromkeys(columns.feature_names, pa.int8())}
    return pa.table(
        {name: pa.chunked_array(parts, type=types.get(name, pa.float32())) for name, parts in chunks.items()}
    )


def polars_frame(columns: Columns, positions: Sequence[int]) -> "pl.DataFrame":
    """Return eras as a polars frame: ``era``, ``id``, features as Int8 and targets as Float32; see :func:`arrow_table`."""
    import polars as pl  # noqa: PLC0415 - the submitting image has none

    frame = pl.from_arrow(arrow_table(columns, positions), rechunk=False)
    if not isinstance(frame, pl.DataFrame):  # polars returns a series for an array, and this is a table
        raise TypeError(type(frame))
    return frame


def polars_frames(columns: Columns, positions: Sequence[int], *, eras: int = 16) -> Iterator["pl.DataFrame"]:
    """Yield the eras in frames of *eras* each, so that a whole history fits into little memory."""
    for start in range(0, len(positions), eras):
        yield polars_frame(columns, positions[start : start + eras])


class TorchEras:
    """
    A map-style dataset of torch: one item is one era.

    It goes into ``torch.utils.data.DataLoader(..., batch_size=None)``. With workers, each opens the same files.

    Args:
        columns: Columns of a store.
        positions: Positions of eras, one item each, in any order.
    """

    def __init__(self, columns: Columns, positions: Sequence[int]) -> None:
        _checked(columns, sorted(positions))
        self._columns, self._positions = columns, tuple(positions)

    def __len__(self) -> int:
        """Return the number of eras."""
        return len(self._positions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return ``era``, ``features`` (int8 tensor, shape ``(rows, F)``) and ``targets`` (float32, ``(rows, T)``)."""
        import torch  # noqa: PLC0415 - the submitting image has none

        era = era_arrays(self._columns, self._positions[index])
        # Tensors are writable and the files are not, so the rows are copied.
        features, targets = np.array(era.features, order="C"), np.array(era.targets, order="C")
        return {"era": era.era, "features": torch.from_numpy(features), "targets": torch.from_numpy(targets)}


def lightgbm_dataset(
    columns: Columns, target: str, positions: Sequence[int], *, params: Mapping[str, object] | None = None
) -> "lightgbm.Dataset":
    """
    Return a LightGBM dataset that reads the feature chunks of the store in place while it makes its bins.

    Rows without the target are left out by weight 0: LightGBM's own copy keeps one byte a value.

    Args:
        columns: Columns of a store; its features are the columns of the dataset.
        target: Target to learn, one of the columns' targets.
        positions: Ascending positions of eras.
        params: Parameters of the dataset, such as ``max_bin``; five codes and a missing value need 6 bins.
    """
    import lightgbm  # noqa: PLC0415 - the submitting image has none

    features = columns.store.select(columns.feature_names, ())
    labels = np.concatenate([columns.target(one, target) for one in _checked(columns, positions)])
    known = np.isfinite(labels)
    return lightgbm.Dataset(
        arrow_table(features, positions, labels=False),
        label=np.where(known, labels, 0.0).astype(np.float32),
        weight=None if known.all() else known.astype(np.float32),
        params={"max_bin": 7, "min_data_in_bin": 1, "feature_pre_filter": False, **(params or {})},
        free_raw_data=True,
    )


def _checked(columns: Columns, positions: Sequence[int]) -> list[int]:
    found, count = [int(one) for one in positions], len(columns.eras)
    odd = [one for one in found if not 0 <= one < count]
    if odd or found != sorted(set(found)) or not found:
        what = f"{odd[0]} is none of them" if odd else "name at least one, each once, in ascending order"
        raise BadConfig(f"positions of eras run from 0 to {count - 1}: {what}")
    return found


def _eras(columns: Columns, run: Sequence[int]) -> pa.Array:
    rows = np.diff(columns.offsets)
    return pa.array(np.repeat([columns.eras[one] for one in run], [int(rows[one]) for one in run]), type=pa.string())


def _ids(columns: Columns, run: Sequence[int]) -> pa.Array:
    ids = np.concatenate([columns.store.ids(one) for one in run])
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(ID_BYTES), len(ids), [None, pa.py_buffer(ids)])
    return fixed.cast(pa.binary()).cast(pa.string())
