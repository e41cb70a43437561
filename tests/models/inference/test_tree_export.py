"""Export of fitted trees as ONNX, and the gate that compares it with the library."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.inference.tree_export import TreeMismatch, export_trees
from models.inference.tree_graph import TreeGraph
from models.trees.decision_trees import DecisionTrees, FittedTrees

FEATURES, ENGINEERED, TARGETS = ("f0", "f1", "f2"), ("e0", "e1"), ("target_a_20", "target_b_60")


def grown(seed: int, *, trees: int = 5, depth: int = 3, comparison: str = "<", targets: int = 2) -> DecisionTrees:
    """Return random trees; some branches end early, and some trees are one leaf."""
    random = np.random.default_rng(seed)
    nodes: list[list] = []
    values: list[np.ndarray] = []

    def grow(level: int) -> int:
        place = len(nodes)
        nodes.append([])
        if level == depth or random.random() < 0.2:
            nodes[place] = [-1, 0.0, len(values), 0]
            values.append(random.normal(size=targets))
            return place
        column = int(random.integers(0, len(FEATURES) + len(ENGINEERED)))
        threshold = float(random.integers(0, 5)) if column < len(FEATURES) else float(np.float32(random.normal()))
        children = [grow(level + 1), grow(level + 1)]
        nodes[place] = [column, threshold, *children]
        return place

    starts = [grow(0) for _ in range(trees)]
    columns = list(zip(*nodes, strict=True))
    return DecisionTrees(
        starts=np.array(starts),
        comparison=comparison,
        feature=np.array(columns[0]),
        threshold=np.array(columns[1], dtype=np.float32),
        if_true=np.array(columns[2]),
        if_false=np.array(columns[3]),
        values=np.array(values, dtype=np.float32),
        base=random.normal(size=targets).astype(np.float32),
    )


def walked(trees: DecisionTrees, features: np.ndarray, engineered: np.ndarray) -> np.ndarray:
    """Return predictions by walking every tree for every row."""
    rows = np.concatenate([features, engineered], axis=1, dtype=np.float32)
    found = np.tile(trees.base.astype(float), (len(rows), 1))
    for index, row in enumerate(rows):
        for start in trees.starts:
            node = start
            while trees.feature[node] >= 0:
                value, threshold = row[trees.feature[node]], trees.threshold[node]
                holds = value < threshold if trees.comparison == "<" else value > threshold
                node = (trees.if_true if holds else trees.if_false)[node]
            found[index] += trees.values[trees.if_true[node]]
    return found


def fitted(trees: DecisionTrees, *, wrong_by: float = 0.0) -> FittedTrees:
    return FittedTrees(
        trees=trees,
        predict=lambda codes, made: walked(trees, codes, made) + wrong_by * codes[:, :1],
        library="none 1.0",
    )


def exported(one: FittedTrees, path: Path, **changed: object) -> object:
    arguments = {"features": FEATURES, "engineered": ENGINEERED, "targets": TARGETS, "rows": 200} | changed
    return export_trees(one, path, **arguments)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), depth=st.integers(1, 5), comparison=st.sampled_from(["<", ">"]))
def test_an_exported_file_scores_as_the_trees(tmp_path: Path, seed: int, depth: int, comparison: str) -> None:
    """Any trees give the same scores in onnxruntime, at and beside their thresholds."""
    trees = grown(seed, depth=depth, comparison=comparison)
    path = tmp_path / "trees.onnx"
    try:
        report = exported(fitted(trees), path)
    except TreeMismatch as error:
        assert "rank nothing" in str(error)  # noqa: PT017 - trees of single leaves
        return
    assert report.max_deviations < 1e-5
    random = np.random.default_rng(seed)
    codes = random.integers(0, 6, (700, 3), dtype=np.int8)
    made = random.normal(size=(700, 2)).astype(np.float32)
    graph = TreeGraph(path)
    assert (graph.inputs, graph.targets) == (FEATURES + ENGINEERED, TARGETS)
    np.testing.assert_allclose(graph.predict(codes, made), walked(trees, codes, made), atol=1e-5)


def test_a_file_that_scores_differently_is_not_kept(tmp_path: Path) -> None:
    """The gate refuses a small difference, keeps the file that was there, and leaves no draft."""
    path = tmp_path / "trees.onnx"
    exported(fitted(grown(1)), path)
    before = path.read_bytes()
    with pytest.raises(TreeMismatch, match=r"none 1\.0 differ by .* no file was written"):
        exported(fitted(grown(2), wrong_by=1e-3), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["trees.onnx"]


def test_trees_that_rank_nothing_are_refused(tmp_path: Path) -> None:
    """Trees of one leaf each give every row the same score and are refused."""
    with pytest.raises(TreeMismatch, match="rank nothing"):
        exported(fitted(grown(3, depth=0)), tmp_path / "trees.onnx")


def test_trees_without_engineered_columns_need_none(tmp_path: Path) -> None:
    """A file of codes alone is scored without engineered columns, and refuses some."""
    trees = grown(4)
    codes_only = DecisionTrees(
        starts=trees.starts,
        comparison="<",
        feature=np.minimum(trees.feature, 2),
        threshold=np.where(trees.feature > 2, np.float32(2), trees.threshold),
        if_true=trees.if_true,
        if_false=trees.if_false,
        values=trees.values,
        base=trees.base,
    )
    path = tmp_path / "trees.onnx"
    exported(fitted(codes_only), path, engineered=())
    graph = TreeGraph(path)
    codes = np.random.default_rng(0).integers(0, 5, (10, 3), dtype=np.int8)
    assert graph.predict(codes).shape == (10, 2)
    with pytest.raises(ValueError, match=r"3 columns, not 3 \+ 2"):
        graph.predict(codes, np.zeros((10, 2), dtype=np.float32))


def test_what_was_not_exported_here_is_refused(tmp_path: Path) -> None:
    """A damaged file and a model of another origin are refused by name."""
    path = tmp_path / "trees.onnx"
    exported(fitted(grown(5)), path)
    path.write_bytes(path.read_bytes().replace(b"library", b"labrary").replace(b'"inputs"', b'"onputs"'))
    with pytest.raises(ValueError, match="not exported by this bot"):
        TreeGraph(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"trees\.onnx is not an ONNX model"):
        TreeGraph(path)


@pytest.mark.parametrize(
    ("codes", "made", "reason"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2), dtype=np.float32), "expected int8"),
        (np.zeros((2, 3), dtype=np.int8), np.full((2, 2), np.nan, dtype=np.float32), "not finite"),
        (np.zeros((2, 4), dtype=np.int8), np.zeros((2, 1), dtype=np.float32), None),
        (np.zeros((2, 4), dtype=np.int8), np.zeros((2, 2), dtype=np.float32), "columns"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, codes: np.ndarray, made: np.ndarray, reason: str) -> None:
    """Other types, other numbers of columns and numbers that are not finite are refused."""
    path = tmp_path / "trees.onnx"
    exported(fitted(grown(6)), path)
    with pytest.raises(ValueError, match=reason):
        TreeGraph(path).predict(codes, made)
