"""Datasets of trees: kept, read back, and made anew when damaged."""

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.trees import gbm
from models.trees.gbm import DatasetCache, train_gbm
from tests.models.trees.tree_rows import NAMES, TINY, data, train


@pytest.fixture
def cache(tmp_path):
    return DatasetCache(folder=tmp_path / "datasets", keep=2)


@pytest.fixture
def built(monkeypatch):
    """Count the Datasets that are made from rows."""
    made, construct = [], gbm.dataset
    monkeypatch.setattr(gbm, "dataset", lambda *args: made.append(1) or construct(*args))
    return made


def test_a_dataset_read_back_grows_the_same_trees(cache, built):
    """The second training constructs nothing, and not one bit of its model differs."""
    fresh, kept, none = train(cache), train(cache), train(None)

    assert len(built) == 2
    assert fresh == kept == none


def test_a_dataset_read_back_serves_another_target_leaf_size_and_seed(cache, built):
    """Label, leaf size and seed belong to the training, not to the Dataset."""
    options = replace(TINY, min_data_in_leaf=5, seed=9)
    other = -(data()[1] ** 2)
    train(cache, options=replace(TINY, min_data_in_leaf=200))

    kept, none = train(cache, other, options), train(None, other, options)

    assert len(built) == 2
    assert kept == none


@pytest.mark.parametrize("change", [{"digest": "others"}, {"options": replace(TINY, bin_sample=400)}])
def test_other_rows_and_bins_are_another_dataset(cache, built, change):
    """A file is found by all that made it."""
    train(cache)
    train(cache, **change)

    assert len(built) == 2
    assert len(list(cache.folder.glob("*.dataset"))) == 2


@settings(deadline=None, max_examples=12)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_is_made_anew(tmp_path_factory, place, bit, cut):
    """A single flipped bit, or a missing end, and the Dataset is constructed from the rows again."""
    cache = DatasetCache(folder=tmp_path_factory.mktemp("datasets"))
    usual = train(cache)
    (path,) = cache.folder.glob("*.dataset")
    whole = path.read_bytes()
    content = bytearray(whole)
    at = int(place * len(content))
    content[at] ^= 1 << bit
    path.write_bytes(content[:at] if cut else content)

    again = train(cache)

    assert again == usual
    assert path.read_bytes() == whole


@pytest.mark.parametrize("note", [b"", b"[]", b'{"sha256": "0"}', None])
def test_a_file_without_its_digest_is_not_believed(cache, built, note):
    """What was interrupted between the file and its digest is made again."""
    train(cache)
    (path,) = cache.folder.glob("*.json")
    path.unlink() if note is None else path.write_bytes(note)

    train(cache)

    assert len(built) == 2


def test_only_the_newest_files_stay(cache, built):
    """A file that was used is new again; drafts of processes that are gone are removed."""
    train(cache, digest="a")
    train(cache, digest="b")
    for path in cache.folder.glob("*.dataset"):
        os.utime(path, (1, 1))
    train(cache, digest="a")
    (cache.folder / ".key.999999999").write_bytes(b"draft")
    train(cache, digest="c")
    count = len(built)
    train(cache, digest="a")

    assert len(built) == count
    assert len(list(cache.folder.iterdir())) == 4


def test_a_full_disk_stops_no_training(cache, monkeypatch):
    """The model is trained, and the log says why the Dataset was not kept."""
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("models.trees._gbm_data.shutil.disk_usage", lambda _: usage)
    heard = []
    columns, y = data()

    text = train_gbm([columns], y, TINY, NAMES, rows_digest="rows", cache=cache, on_finding=heard.append)

    assert text == train(None)
    assert len(heard) == 1
    assert "not kept" in heard[0]


def test_a_cache_needs_to_know_its_rows(cache):
    """Without a digest nothing could tell one set of rows from another."""
    with pytest.raises(ValueError, match="rows_digest"):
        train(cache, digest="")
