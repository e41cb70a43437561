"""
Train XGBoost from columns in place, with one value for each target in a leaf (vector leaf).

The library is imported inside functions: it trains only, and a machine that submits does not have it. Memory and time
were measured with xgboost 3.2.0 on 400,000 rows and 1,000 columns of codes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from models.trees.gbm_options import Chunks, Column

BATCH = 16_384
"""Number of rows that XGBoost reads at a time."""

BYTES_A_VALUE = 2.7
"""Peak memory for each row and column: two layouts of one-byte bins, and the sketches of the columns."""

BYTES_A_ROW_AND_TARGET = 24
"""Gradients, predictions and labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XgboostOptions:
    """
    Size of the model; names are XGBoost's.

    Attributes:
        num_trees: Number of trees. There is no early stopping.
        learning_rate: Share of each tree that counts.
        max_depth: Largest number of splits from root to leaf.
        colsample_bytree: Share of the columns that each tree may use.
        subsample: Share of the rows that each tree sees.
        min_child_weight: Smallest number of rows in a leaf.
        reg_lambda: Penalty on the squared values of leaves.
        max_bin: Largest number of bins of a column. Codes have five; engineered columns may use more.
        seed: Seed of the choice of columns and rows.
        threads: Number of cores, 0 for all.
    """

    num_trees: int = 2_000
    learning_rate: float = 0.01
    max_depth: int = 5
    colsample_bytree: float = 0.1
    subsample: float = 1.0
    min_child_weight: float = 20.0
    reg_lambda: float = 1.0
    max_bin: int = 255
    seed: int = 1
    threads: int = 0


def train_xgboost(
    chunks: Chunks,
    labels: npt.NDArray[np.floating],
    options: XgboostOptions,
    columns: Sequence[str],
    *,
    weights: npt.NDArray[np.float32] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FittedTrees:
    """
    Train on labelled rows. Predictions are centred: the mean of the labels is not added.

    Args:
        chunks: Rows of the training set. Columns are read in place.
        labels: Labels, finite. Shape ``(rows, targets)``.
        options: Size of the model and its seed.
        columns: Names of all columns in order.
        weights: Weight of each row; ``None`` lets all count alike. Shape ``(rows,)``.
        on_progress: Called after every tree with the number of trees grown and of all trees.
        should_stop: Called after every tree. When it returns true, the training ends.

    Returns:
        The trees. Equal inputs, options and number of threads give equal trees.

    Raises:
        LibraryMissing: xgboost is not installed.
        ValueError: Numbers of names, columns, rows or labels do not match.
        TrainingStopped: *should_stop* returned true.
    """
    check_rows(chunks, labels, columns)
    xgboost = _library()
    data = xgboost.QuantileDMatrix(
        _batches(xgboost, chunks, centred(labels), weights), max_bin=options.max_bin, nthread=options.threads or None
    )
    booster = xgboost.train(
        _parameters(options),
        data,
        num_boost_round=options.num_trees,
        callbacks=[_callback(xgboost, options.num_trees, on_progress, should_stop)],
        verbose_eval=False,
    )
    return FittedTrees(
        trees=_parsed(json.loads(bytes(booster.save_raw("json"))), labels.shape[1]),
        predict=lambda features, engineered: _predict(booster, as_floats(features, engineered)),
        library=f"xgboost {xgboost.__version__}",
    )


def xgboost_bytes(rows: int, columns: int, *, targets: int = 1) -> int:
    """Return the peak memory of a training, without the columns themselves."""
    return int(BYTES_A_VALUE * rows * columns + BYTES_A_ROW_AND_TARGET * rows * targets)


def _library() -> Any:  # noqa: ANN401 - xgboost is untyped
    try:
        import xgboost  # noqa: PLC0415 - a training library, absent where rounds are submitted
    except ImportError:
        raise LibraryMissing("xgboost is not installed; install it with: pip install 'numerai-bot[xgboost]'") from None
    return xgboost


def _parameters(options: XgboostOptions) -> Mapping[str, object]:
    return {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "multi_strategy": "multi_output_tree",
        "base_score": 0.0,
        "learning_rate": options.learning_rate,
        "max_depth": options.max_depth,
        "colsample_bytree": options.colsample_bytree,
        "subsample": options.subsample,
        "min_child_weight": options.min_child_weight,
        "reg_lambda": options.reg_lambda,
        "max_bin": options.max_bin,
        "seed": options.seed,
        "nthread": options.threads,
        "verbosity": 0,
    }


def _batches(xgboost: Any, chunks: Chunks, labels: Floats, weights: npt.NDArray[np.float32] | None) -> Any:  # noqa: ANN401 - xgboost is untyped
    """Return XGBoost's iterator over the rows; it reads them several times."""
    import pandas as pd  # noqa: PLC0415 - needed here only

    class Batches(xgboost.DataIter):  # type: ignore[misc]  # xgboost is untyped
        def __init__(self) -> None:
            super().__init__()
            self._parts = _parts(chunks)
            self._row = 0

        def reset(self) -> None:
            self._parts, self._row = _parts(chunks), 0

        def next(self, input_data: Callable[..., object]) -> bool:
            part = next(self._parts, None)
            if part is None:
                return False
            first, self._row = self._row, self._row + len(part[0])
            # Columns of a frame without a copy; XGBoost reads int8 and float32 columns where they lie.
            frame = pd.DataFrame({str(index): column for index, column in enumerate(part)}, copy=False)
            weight = None if weights is None else weights[first : self._row]
            input_data(data=frame, label=labels[first : self._row], weight=weight)
            return True

    return Batches()


def _parts(chunks: Chunks) -> Iterator[list[Column]]:
    for chunk in chunks:
        for start in range(0, len(chunk[0]), BATCH):
            yield [column[start : start + BATCH] for column in chunk]


def _callback(
    xgboost: Any,  # noqa: ANN401 - xgboost is untyped
    total: int,
    on_progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> Any:  # noqa: ANN401 - xgboost is untyped
    class Progress(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # xgboost is untyped
        def after_iteration(self, _booster: object, epoch: int, _log: object) -> bool:
            on_progress(epoch + 1, total)
            if epoch + 1 < total and should_stop():
                raise TrainingStopped(f"stopped after tree {epoch + 1} of {total}")
            return False

    return Progress()


def _predict(booster: Any, X: Floats) -> Floats:  # noqa: ANN401 - xgboost is untyped
    found = np.asarray(booster.inplace_predict(X), dtype=np.float32)
    return found[:, None] if found.ndim == 1 else found


def _parsed(model: Mapping[str, Any], targets: int) -> DecisionTrees:
    """Return the trees of XGBoost's JSON (``doc/model.schema`` of 3.2)."""
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    starts = np.cumsum([0, *(len(tree["left_children"]) for tree in trees)])[:-1]
    left, right, columns, thresholds, values = [], [], [], [], []
    leaves = 0
    for start, tree in zip(starts.tolist(), trees, strict=True):
        own_left, own_right = np.array(tree["left_children"]), np.array(tree["right_children"])
        conditions = np.array(tree["split_conditions"], dtype=np.float32)
        is_leaf = own_left < 0
        vectors = int(tree["tree_param"]["size_leaf_vector"]) > 1
        # A leaf of one target keeps its value as split condition. A leaf of several keeps its row of leaf_weights as right child.
        number = own_right[is_leaf] if vectors else np.arange(is_leaf.sum())
        own = (
            np.array(tree["leaf_weights"], dtype=np.float32).reshape(-1, targets)
            if vectors
            else conditions[is_leaf, None]
        )
        own_left, own_right = own_left + start, own_right + start
        own_left[is_leaf], own_right[is_leaf] = number + leaves, 0
        left.append(own_left)
        right.append(own_right)
        columns.append(np.where(is_leaf, -1, tree["split_indices"]))
        thresholds.append(np.where(is_leaf, np.float32(0), conditions))
        values.append(own)
        leaves += len(own)
    return DecisionTrees(
        starts=starts,
        comparison="<",
        feature=np.concatenate(columns),
        threshold=np.concatenate(thresholds),
        if_true=np.concatenate(left),
        if_false=np.concatenate(right),
        values=np.concatenate(values),
        base=np.zeros(targets, dtype=np.float32),
    )
