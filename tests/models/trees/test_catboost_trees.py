"""CatBoost: training from columns, and its trees as arrays."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.inference.tree_export import export_trees
from models.inference.tree_graph import TreeGraph
from models.stopping import TrainingStopped
from models.trees.catboost_trees import CatBoostOptions, catboost_bytes, train_catboost
from models.trees.decision_trees import LibraryMissing
from tests.models.trees.library_rows import COLUMNS, matrices, rows

OPTIONS = CatBoostOptions(num_trees=30, learning_rate=0.1, colsample_bylevel=0.5, depth=4, threads=1)


@pytest.fixture
def _installed() -> None:
    pytest.importorskip("catboost", reason="the extra catboost is not installed")


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without catboost the training names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(LibraryMissing, match=r"numerai-bot\[catboost\]"):
        train_catboost(*rows(), OPTIONS, COLUMNS)


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("targets", [1, 2])
def test_trees_score_as_the_library(tmp_path: Path, targets: int) -> None:
    """The exported file of one or several targets scores training rows as CatBoost does, and learns them."""
    chunks, labels = rows(targets)
    fitted = train_catboost(chunks, labels, OPTIONS, COLUMNS)
    path = tmp_path / "trees.onnx"
    names = [f"target_{one}" for one in range(targets)]
    export_trees(fitted, path, features=COLUMNS[:8], engineered=COLUMNS[8:], targets=names)
    codes, made = matrices(chunks)
    found = TreeGraph(path).predict(codes, made)
    np.testing.assert_allclose(found, fitted.predict(codes, made), atol=1e-6)
    for column in range(targets):
        assert np.corrcoef(found[:, column], labels[:, column])[0, 1] > 0.5


@pytest.mark.usefixtures("_installed")
def test_equal_seeds_give_equal_trees() -> None:
    """The seed decides the columns of each tree, and nothing else changes them."""
    one, same, other = (train_catboost(*rows(), replace(OPTIONS, seed=seed), COLUMNS).trees for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    assert one.feature.tolist() != other.feature.tolist()


@pytest.mark.usefixtures("_installed")
def test_progress_is_reported_and_a_stop_ends_the_training() -> None:
    """Every tree is reported, and a stop raises after the tree."""
    seen: list[tuple[int, int]] = []
    with pytest.raises(TrainingStopped, match="tree 3 of 30"):
        train_catboost(
            *rows(), OPTIONS, COLUMNS, on_progress=lambda *at: seen.append(at), should_stop=lambda: len(seen) == 3
        )
    assert seen == [(1, 30), (2, 30), (3, 30)]


@pytest.mark.usefixtures("_installed")
def test_labels_that_do_not_match_are_refused() -> None:
    """NaN labels and wrong numbers of columns are refused before the training."""
    chunks, labels = rows()
    with pytest.raises(ValueError, match="names"):
        train_catboost(chunks, labels, OPTIONS, COLUMNS[:-1])
    labels[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite labels"):
        train_catboost(chunks, labels, OPTIONS, COLUMNS)


def test_memory_grows_with_rows_and_columns() -> None:
    """The estimate for 2.7 million rows of all features is about 22 GiB."""
    assert 20 < catboost_bytes(2_700_000, 3_555) / 2**30 < 30
