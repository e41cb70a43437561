"""
Export fitted trees as one ONNX file, and keep it only if onnxruntime scores rows as the library does.

The graph is one ``TreeEnsembleRegressor`` (ai.onnx.ml 3), which has several outputs. It is written here because
onnxmltools 1.16 converts no vector leaves of XGBoost, and because CatBoost's own export gives a graph of float inputs only.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from models.bins import MISSING_CATEGORY
from models.files import publish
from models.inference.tree_graph import ENGINEERED, FEATURES, METADATA_KEY, SCORES, Codes, Floats, TreeGraph
from models.trees.decision_trees import DecisionTrees, FittedTrees

OPSET, OPSET_ML, IR = 20, 3, 9
"""Versions of the graph's operators and of the file; onnxruntime 1.18 and later read them."""

TOLERANCE = 1e-4
"""Largest allowed difference between the library's score and onnxruntime's, in standard deviations of the library's scores.

The scores of 6,000 rows are 4e-4 standard deviations apart where they are densest (the reciprocal of rows times the
normal density), so that a smaller difference moves no row by more than one place."""

_MODES = {"<": "BRANCH_LT", ">": "BRANCH_GT"}


class TreeMismatch(ValueError):
    """onnxruntime does not score rows as the library does; no file was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReport:
    """
    Measurements of the parity gate.

    Attributes:
        max_deviations: Largest difference of a score over all targets, in standard deviations of the target's scores.
        rows: Number of compared rows.
        size: Size of the file in bytes.
    """

    max_deviations: float
    rows: int
    size: int


def export_trees(
    fitted: FittedTrees,
    path: Path,
    *,
    features: Sequence[str],
    engineered: Sequence[str] = (),
    targets: Sequence[str],
    rows: int = 6000,
    seed: int = 1,
) -> TreeReport:
    """
    Write *fitted* to *path* and compare it with the library on random rows.

    Args:
        fitted: Finished training.
        path: Path of the file. An existing file is replaced if the comparison succeeds.
        features: Names of the columns that hold codes.
        engineered: Names of the engineered columns, which follow the features.
        targets: Names of the targets in the order of the labels.
        rows: Number of rows that are compared.
        seed: Seed of the random rows.

    Raises:
        TreeMismatch: A score differs by more than ``TOLERANCE``, or the library's scores are constant or not finite.
        OSError: The file cannot be written.
    """
    noted: dict[str, object] = {"inputs": [*features, *engineered], "targets": list(targets), "library": fitted.library}
    content = _model(fitted.trees, len(features), len(engineered), noted).SerializeToString()
    codes, made = _random_rows(fitted.trees, len(features), len(engineered), rows=rows, seed=seed)
    draft = path.with_name(f".{path.name}.draft")
    try:
        publish(draft, content)
        onnx.checker.check_model(draft)
        found = TreeGraph(draft).predict(codes, made)
    finally:
        draft.unlink(missing_ok=True)
    deviations = _deviations(np.asarray(fitted.predict(codes, made), dtype=np.float64), found)
    if not deviations <= TOLERANCE:
        raise TreeMismatch(
            f"onnxruntime and {fitted.library} differ by {deviations:.2g} standard deviations of a score (at most"
            f" {TOLERANCE:g}); no file was written"
        )
    publish(path, content)
    return TreeReport(max_deviations=deviations, rows=rows, size=len(content))


def _deviations(expected: npt.NDArray[np.float64], found: Floats) -> float:
    spread = expected.std(axis=0)
    if not np.isfinite(expected).all() or not (spread > 0).all():
        raise TreeMismatch("the trees give every row the same score, or scores that are not finite: they rank nothing")
    return float((np.abs(found - expected).max(axis=0) / spread).max())


def _random_rows(trees: DecisionTrees, features: int, engineered: int, *, rows: int, seed: int) -> tuple[Codes, Floats]:
    """Return all codes, and engineered values at, just below and just above the thresholds of their column."""
    random = np.random.default_rng(seed)
    made = np.zeros((rows, engineered), dtype=np.float32)
    for column in range(engineered):
        thresholds = np.unique(trees.threshold[trees.feature == features + column])
        if len(thresholds):
            chosen = random.choice(thresholds, rows)
            aside = np.stack(
                [chosen, np.nextafter(chosen, np.float32(-np.inf)), np.nextafter(chosen, np.float32(np.inf))]
            )
            made[:, column] = aside[random.integers(0, 3, rows), np.arange(rows)]
    return random.integers(0, MISSING_CATEGORY + 1, (rows, features), dtype=np.int8), made


def _model(trees: DecisionTrees, features: int, engineered: int, noted: dict[str, object]) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(FEATURES, TensorProto.INT8, ["rows", features])]
    nodes = [helper.make_node("Cast", [FEATURES], ["codes"], to=TensorProto.FLOAT)]
    columns = "codes"
    if engineered:
        inputs.append(helper.make_tensor_value_info(ENGINEERED, TensorProto.FLOAT, ["rows", engineered]))
        nodes.append(helper.make_node("Concat", ["codes", ENGINEERED], ["columns"], axis=1))
        columns = "columns"
    regressor = "TreeEnsembleRegressor"
    nodes.append(helper.make_node(regressor, [columns], [SCORES], domain="ai.onnx.ml", **_attributes(trees)))
    output = helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["rows", trees.values.shape[1]])
    model = helper.make_model(
        helper.make_graph(nodes, "trees", inputs, [output]),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", OPSET_ML)],
        ir_version=IR,
        producer_name="numerai-bot",
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(noted, sort_keys=True)})
    return model


def _attributes(trees: DecisionTrees) -> dict[str, Any]:
    """Return the attributes of ``TreeEnsembleRegressor``: nodes numbered within their tree, and each leaf's values."""
    nodes, targets = len(trees.feature), trees.values.shape[1]
    sizes = np.diff(np.append(trees.starts, nodes))
    tree = np.repeat(np.arange(len(sizes)), sizes)
    number = np.arange(nodes) - trees.starts[tree]
    is_leaf = trees.feature < 0
    children = [np.where(is_leaf, 0, child - trees.starts[tree]) for child in (trees.if_true, trees.if_false)]
    values = trees.values[trees.if_true[is_leaf]]
    return {
        "n_targets": targets,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": trees.base.tolist(),
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": number.tolist(),
        "nodes_featureids": np.where(is_leaf, 0, trees.feature).tolist(),
        "nodes_modes": np.where(is_leaf, "LEAF", _MODES[trees.comparison]).tolist(),
        "nodes_values": trees.threshold.tolist(),
        "nodes_truenodeids": children[0].tolist(),
        "nodes_falsenodeids": children[1].tolist(),
        "target_treeids": np.repeat(tree[is_leaf], targets).tolist(),
        "target_nodeids": np.repeat(number[is_leaf], targets).tolist(),
        "target_ids": np.tile(np.arange(targets), int(is_leaf.sum())).tolist(),
        "target_weights": values.ravel().tolist(),
    }
