"""Train the LightGBM member; the only module that imports lightgbm's Python package, and never to serve a round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Column = npt.NDArray[np.generic]
Chunks = Sequence[Sequence[Column]]
"""Rows in chunks, each a list of columns: int8 codes or float32. Each column of shape ``(rows of the chunk,)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GbmOptions:
    """
    Size of a gradient-boosted regression; names are LightGBM's.

    Attributes:
        num_trees: Trees, all of them used.
        learning_rate: Share of each tree that counts.
        max_depth: Splits from root to leaf at most.
        num_leaves: Leaves of a tree at most.
        colsample_bytree: Share of the columns that each tree may look at.
        min_data_in_leaf: Rows a leaf must hold.
        bin_sample: Rows that LightGBM looks at to find the values of a column. Its own default of 200,000 takes 12
            bytes per row and column; 20,000 gave identical trees while every value has 1e-4 of the rows.
        seed: Of the choice of columns.
        threads: Cores, 0 for all; the model does not depend on their number.
    """

    num_trees: int
    learning_rate: float
    max_depth: int
    num_leaves: int
    colsample_bytree: float
    min_data_in_leaf: int = 20
    bin_sample: int = 20_000
    seed: int = 1
    threads: int = 0


PRESETS = {
    "demo": GbmOptions(
        num_trees=100, learning_rate=0.05, max_depth=5, num_leaves=15, colsample_bytree=0.3, min_data_in_leaf=200
    ),
    "small": GbmOptions(num_trees=2_000, learning_rate=0.01, max_depth=5, num_leaves=31, colsample_bytree=0.1),
    "large": GbmOptions(num_trees=20_000, learning_rate=0.001, max_depth=6, num_leaves=64, colsample_bytree=0.1),
    "deep": GbmOptions(
        num_trees=30_000,
        learning_rate=0.001,
        max_depth=10,
        num_leaves=1_024,
        colsample_bytree=0.1,
        min_data_in_leaf=10_000,
    ),
}
"""Numerai's published parameters (example notebook, standard large and deep), and a toy for the demo."""


def train_gbm(
    chunks: Chunks,
    y: npt.NDArray[np.floating],
    options: GbmOptions,
    feature_names: Sequence[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> str:
    """
    Train on labelled rows and return the model as LightGBM's text.

    Args:
        chunks: The rows; columns whose values stand together are read in place, and nothing is cast.
        y: The target of each row, none of them NaN. Shape ``(rows,)``.
        options: Size and seed.
        feature_names: Of all columns in order.
        on_progress: Called after every tree with the number of trees done and of all trees.

    Raises:
        ValueError: Names and columns, or rows and targets, do not match, or a target is not finite.
    """
    if any(len(columns) != len(feature_names) for columns in chunks):
        raise ValueError(f"a chunk has another number of columns than the {len(feature_names)} names")
    rows = sum(len(columns[0]) for columns in chunks)
    if rows != len(y) or not np.isfinite(y).all():
        raise ValueError(f"every one of the {len(y)} targets needs its row, and must be finite")
    columns = [pa.chunked_array([_arrow(one[index]) for one in chunks]) for index in range(len(feature_names))]
    table = pa.Table.from_arrays(columns, names=list(feature_names))
    parameters: dict[str, Any] = {
        "objective": "regression",
        "learning_rate": options.learning_rate,
        "max_depth": options.max_depth,
        "num_leaves": options.num_leaves,
        "feature_fraction": options.colsample_bytree,
        "min_data_in_leaf": options.min_data_in_leaf,
        "bin_construct_sample_cnt": options.bin_sample,
        "seed": options.seed,
        "num_threads": options.threads,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(table, label=np.asarray(y, dtype=np.float32), params=parameters)
    total = options.num_trees

    def report(environment: Any) -> None:  # noqa: ANN401 - lightgbm's own callback type is a private tuple
        if on_progress is not None:
            on_progress(environment.iteration + 1, total)

    booster = lightgbm.train(parameters, data, num_boost_round=total, callbacks=[report])
    return str(booster.model_to_string(num_iteration=-1))


def _arrow(column: Column) -> pa.Array:
    """Wrap one column without copying it, where its values stand together."""
    values = np.ascontiguousarray(column)
    kind = pa.int8() if values.dtype == np.int8 else pa.float32()
    if values.dtype not in (np.int8, np.float32):
        raise ValueError(f"columns are int8 or float32, not {values.dtype}")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
