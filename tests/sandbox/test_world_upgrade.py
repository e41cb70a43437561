"""The next data version of a world has the same rows, ids and targets, and other features; files and lists agree."""

import json

import pandas as pd
import pytest

from bot.sandbox.world.generate import generate
from bot.sandbox.world.upgrade import ADDED, NEXT, Change

pytestmark = pytest.mark.slow

FILES = {
    "train.parquet", "validation.parquet", "meta_model.parquet", "train_benchmark_models.parquet",
    "validation_benchmark_models.parquet",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("world") / "w", size="tiny")


def both(world, name):
    if name.startswith("live"):
        era = world.live(0)
        return [pd.read_parquet(world.live_folder(era, version) / name) for version in ("v5.3", NEXT)]
    return [pd.read_parquet(world.folder(version) / name) for version in ("v5.3", NEXT)]


def features(frame):
    return [name for name in frame.columns if name.startswith("feature_")]


@pytest.mark.parametrize("name", ["train.parquet", "validation.parquet", "live.parquet"])
def test_rows_and_everything_but_features_are_the_same(world, name):
    """Ids, eras, data types and targets equal those of the old version, in the same order."""
    before, after = both(world, name)

    pd.testing.assert_frame_equal(before.drop(columns=features(before)), after.drop(columns=features(after)))


@pytest.mark.parametrize("name", ["validation.parquet", "live.parquet"])
def test_features_are_gone_renamed_and_new_as_listed(world, name):
    """A renamed feature keeps its values, a new one has an old one's values reversed, a removed one is missing."""
    before, after = both(world, name)
    change = Change.of(features(before))
    sets = json.loads((world.folder(NEXT) / "features.json").read_text())["feature_sets"]

    assert sorted(sets["all"]) == sorted(features(after))
    assert change.gone
    assert not change.gone.intersection(after.columns)
    assert set(sets["small"]) < set(sets["medium"]) < set(sets["all"])
    assert len(change.added) == ADDED
    for old, new in change.names.items():
        assert old in change.gone or (before[old] == after[new]).all()
    for new, source in change.added.items():
        assert (after[new] == 4 - before[source]).all()


def test_benchmarks_have_the_versions_name(world):
    """The benchmark models of a version have its name and the same predictions."""
    before, after = both(world, "live_benchmark_models.parquet")

    assert list(after.columns) == ["era", "v54_lgbm_ender20", "v54_lgbm_ender60"]
    assert after["v54_lgbm_ender60"].equals(before["v53_lgbm_ender60"].rename("v54_lgbm_ender60"))


def test_it_is_made_once_and_leaves_the_world_as_it_was(world):
    """A second call returns the same files; the world's own version is unchanged."""
    made = world.folder(NEXT)
    written = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}

    assert set(written) > FILES
    assert {path.name: path.stat().st_mtime_ns for path in world.folder(NEXT).iterdir()} == written
    assert [path.name for path in world.directory.glob("v*")] == ["v5.3"]
