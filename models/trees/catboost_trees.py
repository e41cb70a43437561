"""
Train CatBoost from columns, with one value for each target in a leaf of its symmetric trees.

The library is imported inside functions: it trains only, and a machine that submits does not have it. Memory was measured
with catboost 1.2.10 on 400,000 rows and 1,000 columns of codes.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.stopping import TrainingStopped
from models.trees.decision_trees import (
    DecisionTrees,
    FittedTrees,
    Floats,
    LibraryMissing,
    as_floats,
    centred,
    check_rows,
)
from models.trees.gbm_options import Chunks

BYTES_A_VALUE = 2.4
"""Peak memory for each row and column: the columns in one piece, and CatBoost's bins of them."""

BYTES_A_ROW_AND_TARGET = 64
"""Gradients, predictions and labels, in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatBoostOptions:
    """
    Size of the model; names are CatBoost's, the number of trees and the share of columns have the usual ones.

    Attributes:
        num_trees: Number of trees. There is no early stopping.
        learning_rate: Share of each tree that counts.
        depth: Number of splits from root to leaf; every leaf of a symmetric tree has as many.
        colsample_bylevel: Share of the columns that each level of a tree may use.
        l2_leaf_reg: Penalty on the squared values of leaves.
        random_strength: Noise in the choice of splits, which falls with the number of trees; 0 for none.
        border_count: Largest number of thresholds of a column. Codes have four; engineered columns may use more.
        seed: Seed of the choice of columns and of the noise.
        threads: Number of cores, 0 for all.
    """

    num_trees: int = 2_000
    learning_rate: float = 0.01
    depth: int = 6
    colsample_bylevel: float = 0.1
    l2_leaf_reg: float = 3.0
    random_strength: float = 1.0
    border_count: int = 254
    seed: int = 1
    threads: int = 0


def train_catboost(
    chunks: Chunks,
    labels: npt.NDArray[np.floating],
    options: CatBoostOptions,
    columns: Sequence[str],
    *,
    weights: npt.NDArray[np.float32] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FittedTrees:
    """
    Train on labelled rows. Predictions are centred: the mean of the labels is not added.

    Args:
        chunks: Rows of the training set.
        labels: Labels, finite. Shape ``(rows, targets)``.
        options: Size of the model and its seed.
        columns: Names of all columns in order.
        weights: Weight of each row; ``None`` lets all count alike. Shape ``(rows,)``.
        on_progress: Called after every tree with the number of trees grown and of all trees.
        should_stop: Called after every tree. When it returns true, the training ends.

    Returns:
        The trees. Equal inputs, options and number of threads give equal trees.

    Raises:
        LibraryMissing: catboost is not installed.
        ValueError: Numbers of names, columns, rows or labels do not match.
        TrainingStopped: *should_stop* returned true.
    """
    check_rows(chunks, labels, columns)
    catboost = _library()
    watch = _Watch(total=options.num_trees, on_progress=on_progress, should_stop=should_stop)
    model = catboost.CatBoost(_parameters(options, labels.shape[1]))
    model.fit(_pool(catboost, chunks, centred(labels), options, weights), callbacks=[watch])
    if watch.stopped:
        raise TrainingStopped(f"stopped after tree {watch.done} of {options.num_trees}")
    return FittedTrees(
        trees=_parsed(_model(model), labels.shape[1]),
        predict=lambda features, engineered: _predict(model, as_floats(features, engineered)),
        library=f"catboost {catboost.__version__}",
    )


def catboost_bytes(rows: int, columns: int, *, targets: int = 1) -> int:
    """Return the peak memory of a training, without the store's pages."""
    return int(BYTES_A_VALUE * rows * columns + BYTES_A_ROW_AND_TARGET * rows * targets)


def _library() -> Any:  # noqa: ANN401 - catboost is untyped
    try:
        import catboost  # noqa: PLC0415 - a training library, absent where rounds are submitted
    except ImportError:
        raise LibraryMissing(
            "catboost is not installed; install it with: pip install 'numerai-bot[catboost]'"
        ) from None
    return catboost


def _parameters(options: CatBoostOptions, targets: int) -> Mapping[str, object]:
    return {
        "loss_function": "MultiRMSE" if targets > 1 else "RMSE",
        "iterations": options.num_trees,
        "learning_rate": options.learning_rate,
        "depth": options.depth,
        "rsm": options.colsample_bylevel,
        "l2_leaf_reg": options.l2_leaf_reg,
        "random_strength": options.random_strength,
        "border_count": options.border_count,
        "random_seed": options.seed,
        "thread_count": options.threads or -1,
        "bootstrap_type": "No",  # rows are not sampled; CatBoost's default for MultiRMSE would be
        "boosting_type": "Plain",
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


def _pool(
    catboost: Any,  # noqa: ANN401 - untyped
    chunks: Chunks,
    labels: Floats,
    options: CatBoostOptions,
    weights: npt.NDArray[np.float32] | None,
) -> Any:  # noqa: ANN401 - untyped
    """Return the rows as CatBoost's bins; a frame of int8 and float32 columns is read in place."""
    import pandas as pd  # noqa: PLC0415 - needed here only

    joined = (parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*chunks, strict=True))
    frame = pd.DataFrame({str(index): column for index, column in enumerate(joined)}, copy=False)
    pool = catboost.Pool(
        frame,
        label=labels if labels.shape[1] > 1 else labels[:, 0],
        weight=weights,
        thread_count=options.threads or -1,
    )
    pool.quantize(border_count=options.border_count)
    return pool


@dataclass(kw_only=True)
class _Watch:
    """CatBoost's callback after every tree; an exception would not leave the library, so a stop is remembered."""

    total: int
    on_progress: Callable[[int, int], None]
    should_stop: Callable[[], bool]
    done: int = 0
    stopped: bool = False

    def after_iteration(self, about: SimpleNamespace) -> bool:
        """Return whether to go on."""
        self.done = about.iteration
        self.on_progress(self.done, self.total)
        self.stopped = self.done < self.total and self.should_stop()
        return not self.stopped


def _model(model: Any) -> Mapping[str, Any]:  # noqa: ANN401 - catboost is untyped
    with tempfile.TemporaryDirectory(prefix="catboost-") as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _predict(model: Any, X: Floats) -> npt.NDArray[np.float64]:  # noqa: ANN401 - catboost is untyped
    found = np.asarray(model.predict(X, thread_count=1), dtype=np.float64)
    return found[:, None] if found.ndim == 1 else found


def _parsed(model: Mapping[str, Any], targets: int) -> DecisionTrees:
    """Return the symmetric trees of CatBoost's JSON as trees of single splits."""
    scale, bias = model["scale_and_bias"]
    starts, columns, thresholds, true, false, values = [], [], [], [], [], []
    nodes = leaves = 0
    for tree in model["oblivious_trees"]:
        # The first split of the list decides the lowest bit of a leaf's number, so that the last one is the root's.
        splits = (tree["splits"] or [])[::-1]
        depth = len(splits)
        inner, level = (1 << depth) - 1, np.repeat(np.arange(depth), 1 << np.arange(depth))
        place = np.arange(inner)
        starts.append(nodes)
        columns += [
            np.array([split["float_feature_index"] for split in splits], dtype=np.int64)[level],
            np.full(inner + 1, -1),
        ]
        borders = np.array([split["border"] for split in splits], dtype=np.float32)
        thresholds += [borders[level], np.zeros(inner + 1, dtype=np.float32)]
        # Nodes lie in the order of a heap; behind them the leaves, in the order of their numbers.
        false += [nodes + 2 * place + 1, np.zeros(inner + 1, dtype=np.int64)]
        true += [nodes + 2 * place + 2, leaves + np.arange(inner + 1)]
        values.append(np.array(tree["leaf_values"]).reshape(-1, targets) * scale)
        nodes, leaves = nodes + 2 * inner + 1, leaves + inner + 1
    return DecisionTrees(
        starts=np.array(starts, dtype=np.int64),
        comparison=">",
        feature=np.concatenate(columns),
        threshold=np.concatenate(thresholds),
        if_true=np.concatenate(true),
        if_false=np.concatenate(false),
        values=np.concatenate(values).astype(np.float32),
        base=np.asarray(bias, dtype=np.float32),
    )
