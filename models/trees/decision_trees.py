"""
Fitted trees of any library as arrays, in the form that :mod:`models.inference.tree_export` writes as ONNX.

Each library has one module that fits and returns :class:`FittedTrees`: :mod:`models.trees.xgboost_trees`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.trees.gbm_options import Chunks

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Predict = Callable[[npt.NDArray[np.int8], Floats], npt.NDArray[np.floating]]


class LibraryMissing(ImportError):
    """A training library is not installed. The message names the extra of this project that installs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTrees:
    """
    Trees with numeric splits and one value for each target in a leaf; predictions are sums of leaves.

    Nodes of all trees follow each other, and children are positions in these arrays. Arrays of nodes have shape
    ``(nodes,)``.

    Attributes:
        starts: Position of each tree's root. Shape ``(trees,)``.
        comparison: A row goes to *if_true* where its value is ``<`` or ``>`` than the threshold.
        feature: Column of each split, -1 for a leaf.
        threshold: Threshold of each split, float32.
        if_true: Child where the comparison holds; the leaf's row in *values* for a leaf.
        if_false: Child where it does not hold.
        values: Values of each leaf. Shape ``(leaves, targets)``, float32.
        base: Number that is added to each target's sum. Shape ``(targets,)``.
    """

    starts: Ints
    comparison: Literal["<", ">"]
    feature: Ints
    threshold: Floats
    if_true: Ints
    if_false: Ints
    values: Floats
    base: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTrees:
    """
    A finished training.

    Attributes:
        trees: The trees as arrays.
        predict: The library's own prediction of rows, for the comparison with the exported file: codes of shape
            ``(rows, F)`` and engineered columns of shape ``(rows, E)`` to shape ``(rows, targets)``.
        library: Name and version of the library.
    """

    trees: DecisionTrees
    predict: Predict
    library: str


def check_rows(chunks: Chunks, labels: npt.NDArray[np.floating], columns: Sequence[str]) -> None:
    """
    Raise ``ValueError`` before a long training starts with inputs that do not match.

    Args:
        chunks: Rows of the training set.
        labels: Labels of the rows, finite. Shape ``(rows, targets)``.
        columns: Names of the columns.
    """
    if any(len(chunk) != len(columns) for chunk in chunks):
        raise ValueError(f"a chunk has another number of columns than the {len(columns)} names")
    if any(column.dtype not in (np.int8, np.float32) for chunk in chunks for column in chunk):
        raise ValueError("columns are int8 or float32")
    rows = sum(len(chunk[0]) for chunk in chunks)
    if labels.ndim != 2 or len(labels) != rows or not rows or not np.isfinite(labels).all():
        raise ValueError(f"each of {rows} rows needs finite labels, got labels of shape {labels.shape}")


def centred(labels: npt.NDArray[np.floating]) -> Floats:
    """
    Return labels minus their mean by target, float32.

    Sums of leaves then stay near 0, where float32 keeps the differences of rows: around a mean of 0.5 it rounds to 6e-8,
    a hundredth of a percent of the spread of a tree model's predictions. Ranks do not depend on the mean.
    """
    return np.asarray(labels - labels.mean(axis=0, dtype=np.float64), dtype=np.float32)


def as_floats(features: npt.NDArray[np.int8], engineered: Floats) -> Floats:
    """Return codes and engineered columns as one float32 matrix. Shape ``(rows, F + E)``."""
    return np.concatenate([features, engineered], axis=1, dtype=np.float32)
