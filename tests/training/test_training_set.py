"""Rows of tree models: views of the store, and derived columns on disk."""

import numpy as np
import pytest

from bot.features.preprocess import Preprocess
from bot.training._temporary_columns import is_mapped
from bot.training.training_set import TrainingSet
from tests.data.store_files import NAMES, TARGETS, build, small_blocks, write_files


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return a function that makes a training set of ten labelled eras with some preprocessing."""
    small_blocks(monkeypatch)
    columns = build(tmp_path, write_files(tmp_path)).select(NAMES, TARGETS)

    def training_set(**options):
        manifest = Preprocess(features=NAMES, groups={"all": tuple(range(len(NAMES)))}, **options)
        return TrainingSet.build(columns, manifest, targets=TARGETS[1:], history_targets=(), lookback=0)

    return training_set


@pytest.fixture(
    params=[{}, {"missing": "category", "engineered": ("group_mean", "group_std")}], ids=["raw codes", "all changed"]
)
def data(made, request, monkeypatch):
    """Training sets with the store's own values, and with changed values, as in half of v5.3's early columns."""
    if request.param:
        monkeypatch.setattr("bot.features.preprocess.FEATURE_VALUES", (0, 1, 2, 3))
    return made(**request.param)


def test_written_columns_equal_those_in_memory(data, tmp_path):
    """Columns that were written to disk hold the same values as those in memory."""
    loose = data.table(range(10), TARGETS[1])
    written = data.table(range(10), TARGETS[1], temporary=tmp_path)

    np.testing.assert_array_equal(loose.labels, written.labels)
    assert len(loose.chunks) == len(written.chunks)
    for ours, theirs in zip(loose.chunks, written.chunks, strict=True):
        assert [column.dtype for column in ours] == [column.dtype for column in theirs]
        np.testing.assert_array_equal(np.stack(ours), np.stack(theirs))


def test_no_written_column_is_in_memory(data, tmp_path):
    """Every column is a view of a file, and the file has no name that could be left behind."""
    before = set(tmp_path.rglob("*"))
    rows = data.table(range(10), TARGETS[1], temporary=tmp_path)

    assert all(is_mapped(column) for columns in rows.chunks for column in columns)
    assert set(tmp_path.rglob("*")) == before


def test_rows_without_the_target_are_left_out(data, tmp_path):
    """Eras without labels add no row."""
    rows = data.table(range(12), TARGETS[1], temporary=tmp_path)

    assert sum(len(columns[0]) for columns in rows.chunks) == len(rows.labels) == 10 * 13


def test_an_era_is_searched_once_and_stays_the_same(data):
    """The second reading of an era, which skips the search for missing values, equals the first."""
    first, second = ([data.prepared(position) for position in range(len(data.store.eras))] for _ in range(2))

    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one.features, two.features)
        assert (one.missing, one.unchanged, one.findings) == (two.missing, two.unchanged, two.findings)
    assert any(one.unchanged for one in first) or data.manifest.missing == "category"
