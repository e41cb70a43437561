"""A generated world has the schema, the marginals and the dependence of Numerai's data."""

import json

import numpy as np
import pandas as pd
import pytest

from bot.history import feature_returns
from bot.sandbox.world import World, generate
from bot.sandbox.world_schema import GROUP_SIZES, TARGETS

VERSION = "v5.3"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("world") / "w", size="tiny")


@pytest.fixture(scope="module")
def files(world):
    """Train and validation together, index id."""
    folder = world.directory / VERSION
    return pd.concat([pd.read_parquet(folder / "train.parquet"), pd.read_parquet(folder / "validation.parquet")])


@pytest.fixture(scope="module")
def features(world):
    return json.loads((world.directory / VERSION / "features.json").read_text())["feature_sets"]


def eras(frame):
    return sorted(frame["era"].unique())


def test_columns_are_numerais(files, features):
    """Era, data type, int8 features and float32 targets, under an index called id."""
    assert files.index.name == "id"
    assert set(files.columns) == {"era", "data_type", *features["all"], *TARGETS}
    assert {str(files[name].dtype) for name in features["all"]} == {"int8"}
    assert {str(files[name].dtype) for name in TARGETS} == {"float32"}


def test_sets_are_nested_and_groups_are_all_there(features):
    """Small lies in medium, medium in all, and each of the thirteen groups has members."""
    assert set(features["small"]) < set(features["medium"]) < set(features["all"])
    assert all(features[group] for group in GROUP_SIZES)


def test_eras_are_padded_consecutive_weeks(files):
    """Era labels are zero-padded and leave no gap."""
    assert eras(files) == [f"{number:04d}" for number in range(1, len(eras(files)) + 1)]


def test_ids_are_new_in_every_era_and_sorted(files):
    """An id is n and fifteen hex digits, never comes twice, and ascends within its era."""
    assert files.index.is_unique
    assert files.index.str.fullmatch(r"n[0-9a-f]{15}").all()
    assert all(group.index.is_monotonic_increasing for _, group in files.groupby("era"))


def test_features_fill_five_equal_bins(files, features):
    """Within an era the bins' counts differ by one at most, but for features that are missing or keep ties."""
    newest = files[files["era"] == eras(files)[-1]]
    spread = [np.ptp(np.bincount(newest[name], minlength=5)) for name in features["all"]]

    assert np.mean(np.array(spread) <= 1) > 0.95
    assert int(files[features["all"]].to_numpy().min()) == 0
    assert int(files[features["all"]].to_numpy().max()) == 4


def test_missing_means_a_whole_era_of_twos_at_the_start(files, features):
    """A late feature is constant 2 from the first era on, and never again once it has begun."""
    by_era = files.groupby("era")[features["all"]]
    constant = by_era.max() == by_era.min()
    begun = (~constant).cumsum() > 0
    first = files[files["era"] == "0001"]

    assert constant.iloc[0].sum() > 10
    assert not constant.iloc[-1].any()
    assert not (constant & begun).any().any()
    assert (first.loc[:, constant.iloc[0][constant.iloc[0]].index] == 2).all().all()


def test_target_shares_are_numerais(files):
    """Targets take five values, 5, 20, 50, 20 and 5 percent of each era, to the next row."""
    for _, era in files.groupby("era"):
        known = era["target_ender_20"].dropna()
        if len(known):
            shares = known.value_counts(normalize=True).reindex([0.0, 0.25, 0.5, 0.75, 1.0])
            assert np.abs(shares - [0.05, 0.2, 0.5, 0.2, 0.05]).max() < 1.01 / len(known) + 0.002


def test_the_alias_is_the_main_target(files):
    """`target` repeats the 60 day ender target."""
    pd.testing.assert_series_equal(files["target"], files["target_ender_60"], check_names=False)


def test_newest_eras_are_unresolved(files):
    """20 day targets are unknown in the last 5 eras, 60 day targets in the last 13, which count as test."""
    unknown = files.groupby("era")[["target_ender_20", "target_ender_60"]].agg(lambda column: column.isna().all())
    test = files.groupby("era")["data_type"].agg(lambda column: (column == "test").all())

    assert unknown.sum().tolist() == [5, 13]
    assert unknown.iloc[-5:].all().all()
    assert test.tolist() == unknown["target_ender_60"].tolist()


def test_targets_correlate_as_published(files):
    """20-20 near .75, 60-60 near .75, one name's two horizons near .48, others near .42."""
    names = ["ender", "cyrusd", "teager2b", "victor", "agnes"]
    table = files[[f"target_{name}_{days}" for name in names for days in (20, 60)]].dropna().corr()
    twenty = [table.loc[f"target_{a}_20", f"target_{b}_20"] for a in names for b in names if a < b]
    sixty = [table.loc[f"target_{a}_60", f"target_{b}_60"] for a in names for b in names if a < b]
    own = [table.loc[f"target_{a}_20", f"target_{a}_60"] for a in names]
    cross = [table.loc[f"target_{a}_20", f"target_{b}_60"] for a in names for b in names if a != b]

    assert np.mean(twenty) == pytest.approx(0.75, abs=0.06)
    assert np.mean(sixty) == pytest.approx(0.75, abs=0.06)
    assert np.mean(own) == pytest.approx(0.48, abs=0.08)
    assert np.mean(cross) == pytest.approx(0.42, abs=0.08)


def test_overlapping_returns_show_in_time(files, features):
    """What a feature earns on a 20 day target looks like the week before, and little like eight weeks before."""
    earned = np.stack(
        [
            feature_returns(era[features["small"]].to_numpy(), era[["target_ender_20"]].to_numpy())[:, 0]
            for _, era in files[files["target_ender_20"].notna()].groupby("era")
        ]
    )
    moved = earned[:, earned.std(axis=0) > 0]

    def alike(lag):
        return np.mean([np.corrcoef(one[lag:], one[: len(one) - lag])[0, 1] for one in moved.T])

    assert alike(1) > 0.5 > alike(3) > alike(8) - 0.1


def test_live_rows_have_no_label(world, features):
    """A live file has era X, all features, and targets that are unknown."""
    live = pd.read_parquet(world.live(0).folder / "live.parquet")

    assert (live["era"].unique().tolist(), live["data_type"].unique().tolist()) == (["X"], ["live"])
    assert set(features["all"]) <= set(live.columns)
    assert live[list(TARGETS)].isna().all().all()
    assert live.index.tolist() == world.live(0).ids


def test_companion_files_are_there(world):
    """Meta model, benchmarks and example predictions cover the eras they say."""
    folder = world.directory / VERSION
    meta = pd.read_parquet(folder / "meta_model.parquet")
    benchmark = pd.read_parquet(folder / "validation_benchmark_models.parquet")
    example = pd.read_parquet(folder / "validation_example_preds.parquet")

    assert meta["numerai_meta_model"].between(0, 1).all()
    assert {"v53_lgbm_ender20", "v53_lgbm_ender60"} <= set(benchmark.columns)
    assert example.index.equals(benchmark.index)


def test_live_eras_do_not_depend_on_the_order_they_are_asked_for(world, tmp_path):
    """Whoever asks for the third live era first gets the same one."""
    straight = [world.live(k) for k in range(3)]
    other = generate(tmp_path / "w", size="tiny")
    backwards = {k: other.live(k) for k in (2, 0, 1)}

    for k, era in enumerate(straight):
        assert backwards[k].ids == era.ids
        np.testing.assert_array_equal(backwards[k].targets["target_ender_60"], era.targets["target_ender_60"])


def test_opened_world_goes_on_as_the_generated_one(world):
    """A world read back from disk makes the same live eras."""
    assert World.open(world.directory).live(4).ids == world.live(4).ids


def test_seed_decides(world, tmp_path):
    """The same seed gives the same files, another seed others."""
    same, other = generate(tmp_path / "a", size="tiny"), generate(tmp_path / "b", size="tiny", seed=2)
    path = f"{VERSION}/train.parquet"

    assert (same.directory / path).read_bytes() == (world.directory / path).read_bytes()
    assert (other.directory / path).read_bytes() != (world.directory / path).read_bytes()
