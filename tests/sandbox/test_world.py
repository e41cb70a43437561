"""A generated world has the schema, distributions and correlations of Numerai's data."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bot.history.factor_history import feature_returns
from bot.sandbox.world._market import Market
from bot.sandbox.world.generate import World, generate
from bot.sandbox.world.schema import GROUP_SIZES, SIZES, TARGETS, make_schema

pytestmark = pytest.mark.slow

VERSION = "v5.3"
PARTS = ("train", "validation")
LIVE = "live.parquet"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("world") / "w", size="tiny")


@pytest.fixture(scope="module")
def files(world):
    """Train and validation together, index id."""
    folder = world.directory / VERSION
    return pd.concat([pd.read_parquet(folder / f"{part}.parquet") for part in PARTS])


@pytest.fixture(scope="module")
def features(world):
    return json.loads((world.directory / VERSION / "features.json").read_text())["feature_sets"]


def eras(frame):
    return sorted(frame["era"].unique())


def earned(frame, names):
    """Return each feature's return on the 20 day target, era by era."""
    known = frame[frame["target_ender_20"].notna()].groupby("era")
    return np.stack(
        [feature_returns(era[names].to_numpy(), era[["target_ender_20"]].to_numpy())[:, 0] for _, era in known]
    )


def autocorrelation(series, lag):
    return np.corrcoef(series[lag:], series[:-lag])[0, 1]


def test_columns_are_numerais(files, features):
    """Files hold era, data type, int8 features and float32 targets, with the index id."""
    assert files.index.name == "id"
    assert set(files.columns) == {"era", "data_type", *features["all"], *TARGETS}
    assert {str(files[name].dtype) for name in features["all"]} == {"int8"}
    assert {str(files[name].dtype) for name in TARGETS} == {"float32"}


def test_sets_are_nested(features):
    """The small set is part of medium, medium of all, and all has the order of the file."""
    assert set(features["small"]) < set(features["medium"]) < set(features["all"])
    assert (len(features["small"]), features["all"]) == (42, sorted(features["all"]))


def test_groups_cover_the_features(features):
    """Each of the thirteen groups is in the small set, and every feature is in a group."""
    grouped = [set(features[group]) for group in GROUP_SIZES]

    assert all(group & set(features["small"]) for group in grouped)
    assert set().union(*grouped) == set(features["all"])


def test_about_file_lists_the_targets(world):
    """features.json names 19 sets and the 41 targets."""
    about = json.loads((world.directory / VERSION / "features.json").read_text())

    assert (len(about["feature_sets"]), about["targets"]) == (19, list(TARGETS))
    assert len(TARGETS) == 41


def test_full_size_has_the_real_sets():
    """At full width the sets have v5.3's sizes, and the groups are near theirs."""
    sets = make_schema(SIZES["full"], seed=1).sets
    sizes = [len(sets[name]) for name in ("small", "medium", "all", "fncv3_features", "v2_equivalent_features")]

    assert sizes == [42, 780, 3555, 400, 304]
    assert all(len(sets[group]) == pytest.approx(real, rel=0.15) for group, real in GROUP_SIZES.items())


def test_the_sets_hold_the_strongest_features_where_the_size_says_so():
    """With weights of the sets, features of the small set correlate most with the lasting signal, then those of medium."""
    size = replace(SIZES["tiny"], all=600, medium=120, small=40, rows=(4000, 4000), medium_weight=4.0, small_weight=8.0)
    schema = make_schema(size, seed=1)
    era = Market(size, schema, seed=1, persistence=0.15).next_era()
    varies = schema.first_era == 0
    strength = np.corrcoef(era.signal, era.codes[:, varies].T)[0, 1:] ** 2
    small, medium = (np.isin(schema.features, schema.sets[name])[varies] for name in ("small", "medium"))
    means = [strength[chosen].mean() for chosen in (small, medium & ~small, ~medium)]

    assert means[0] > 1.5 * means[1]
    assert means[1] > 1.2 * means[2]


def test_eras_are_padded_consecutive_weeks(files):
    """Era labels are zero-padded and leave no gap."""
    assert eras(files) == [f"{number:04d}" for number in range(1, len(eras(files)) + 1)]


def test_ids_are_new_in_every_era_and_sorted(files):
    """An id is n and fifteen hex digits, never comes twice, and ascends within its era."""
    assert files.index.is_unique
    assert files.index.str.fullmatch(r"n[0-9a-f]{15}").all()
    assert all(group.index.is_monotonic_increasing for _, group in files.groupby("era"))


def test_row_counts_vary(files):
    """Eras grow, and not evenly."""
    rows = files.groupby("era").size().to_numpy()

    assert rows[-20:].mean() > 1.1 * rows[:20].mean()
    assert (np.diff(rows) < 0).any()


def test_features_fill_five_equal_bins(files, features):
    """Within an era the bin counts of a feature differ by at most one, except for missing features."""
    for _, era in files.groupby("era"):
        codes = era[features["all"]].to_numpy()
        counts = np.stack([(codes == code).sum(axis=0) for code in range(5)])
        present = counts.max(axis=0) < len(codes)

        assert np.ptp(counts[:, present], axis=0).max() <= 1
        assert (counts.sum(axis=0) == len(codes)).all()


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
    """Targets take five values, in shares of 5, 20, 50, 20 and 5 percent of each era, rounded to rows."""
    for _, era in files.groupby("era"):
        known = era["target_ender_20"].dropna()
        if len(known):
            shares = known.value_counts(normalize=True).reindex([0.0, 0.25, 0.5, 0.75, 1.0])
            assert np.abs(shares - [0.05, 0.2, 0.5, 0.2, 0.05]).max() < 1.01 / len(known)


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


def test_only_jeremy_is_unknown_here_and_there(files):
    """Before the unresolved eras only about one percent of the jeremy targets is NaN."""
    share = files[files["data_type"] != "test"].isna().mean()

    assert set(share[share > 0].index) == {"target_jeremy_20", "target_jeremy_60"}
    assert share.max() < 0.02


def test_targets_correlate_as_published(files):
    """Correlations are near .75 within a horizon, near .48 between one name's horizons, else near .42."""
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


def test_a_fixed_models_scores_overlap_in_time(files, features):
    """Scores on 20 day targets are autocorrelated near .75 .50 .25 0, as overlapping returns are."""
    known = files[files["target_ender_20"].notna()]
    models = np.random.default_rng(1).normal(size=(len(features["small"]), 20))
    scores = np.stack(
        [
            np.corrcoef(era[features["small"]].to_numpy() @ models, era["target_ender_20"], rowvar=False)[-1, :-1]
            for _, era in known.groupby("era")
        ]
    )
    lags = [np.mean([autocorrelation(one, lag) for one in scores.T]) for lag in (1, 2, 3, 4)]

    assert lags == pytest.approx([0.7, 0.45, 0.25, 0.05], abs=0.15)


@pytest.mark.parametrize(("persistence", "least", "most"), [(0.0, -0.15, 0.05), (0.9, 0.25, 0.6)])
def test_persistence_decides_what_a_history_is_worth(tmp_path, persistence, least, most):
    """Beyond the overlap of returns, past feature returns predict later ones only in a persistent world."""
    size = replace(SIZES["tiny"], signal=0.0, factors=0.3)
    folder = generate(tmp_path / "w", size=size, persistence=persistence).directory / VERSION
    small = json.loads((folder / "features.json").read_text())["feature_sets"]["small"]
    columns = ["era", "target_ender_20", *small]
    table = earned(pd.concat([pd.read_parquet(folder / f"{part}.parquet", columns=columns) for part in PARTS]), small)
    present = table[:, table[0] != 0]
    alike = np.mean([np.corrcoef(present[lag:].ravel(), present[:-lag].ravel())[0, 1] for lag in (5, 6, 7, 8)])

    assert least < alike < most


def test_live_rows_have_no_label(world, files):
    """A live file has the columns of the history in their order, era X, and NaN targets."""
    live = pd.read_parquet(world.live(0).folder / LIVE)

    assert live.dtypes.astype(str).to_dict() == files.dtypes.astype(str).to_dict()
    assert list(live.columns) == list(files.columns)
    assert (live["era"].unique().tolist(), live["data_type"].unique().tolist()) == (["X"], ["live"])
    assert live[list(TARGETS)].isna().all().all()
    assert live.index.tolist() == world.live(0).ids


def test_live_ids_are_new_in_every_round(world, files):
    """No id of a live era appears in the history or in another live era."""
    rounds = [world.live(k).ids for k in range(3)]
    drawn = [identity for ids in rounds for identity in ids]

    assert len(set(drawn)) == len(drawn)
    assert not files.index.isin(drawn).any()
    assert all(ids == sorted(ids) for ids in rounds)


def test_targets_of_a_live_era_are_complete(world):
    """The world holds every target of a live era, and the predictions of meta model and benchmark."""
    era = world.live(0)

    assert set(era.targets) == set(TARGETS)
    assert all(np.isfinite(values).all() and len(values) == len(era.ids) for values in era.targets.values())
    assert all(0 < one.min() < one.max() < 1 for one in (era.meta_model, era.benchmark))


def test_companion_files_are_there(world):
    """Meta model, benchmarks and example predictions cover their eras."""
    folder = world.directory / VERSION
    meta = pd.read_parquet(folder / "meta_model.parquet")
    benchmark = pd.read_parquet(folder / "validation_benchmark_models.parquet")
    example = pd.read_parquet(folder / "validation_example_preds.parquet")

    assert meta["numerai_meta_model"].between(0, 1).all()
    assert {"v53_lgbm_ender20", "v53_lgbm_ender60"} <= set(benchmark.columns)
    assert example.index.equals(benchmark.index)


def test_opened_world_continues_like_the_generated_one(world, tmp_path):
    """A world read back from disk makes the same live eras in any order."""
    straight = {k: world.live(k) for k in range(3)}
    shutil.copytree(world.directory, tmp_path / "w", ignore=shutil.ignore_patterns("rounds"))
    opened = World.open(tmp_path / "w")

    for k in (2, 0, 1):
        assert opened.live(k).ids == straight[k].ids
        np.testing.assert_equal(dict(opened.live(k).targets), dict(straight[k].targets))
        assert (opened.live(k).folder / LIVE).read_bytes() == (straight[k].folder / LIVE).read_bytes()


def test_another_seed_makes_another_world(world, tmp_path):
    """Features and targets depend on the seed."""
    other = pd.read_parquet(generate(tmp_path / "w", seed=2).directory / VERSION / "train.parquet")
    first = pd.read_parquet(world.directory / VERSION / "train.parquet")

    assert set(other.columns) != set(first.columns)
    assert not first.index.isin(other.index).any()
    assert not np.array_equal(other["target_ender_20"], first["target_ender_20"])


def test_only_half_a_world_is_overwritten(world, tmp_path):
    """Files of an interrupted generation are replaced; a complete world never is."""
    half = tmp_path / "w" / VERSION / "train.parquet"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    generate(tmp_path / "w")

    assert half.read_bytes() == (world.directory / VERSION / half.name).read_bytes()
    with pytest.raises(FileExistsError, match="holds a world already"):
        generate(tmp_path / "w")


def test_no_world_is_not_opened(tmp_path):
    """A folder without a world is refused."""
    with pytest.raises(FileNotFoundError):
        World.open(tmp_path)


@pytest.mark.parametrize("wrong", [{"validation_eras": 16}, {"small": 12}, {"medium": 121}])
def test_impossible_sizes_are_refused(wrong):
    """A world needs resolved validation eras, a feature of every group, and sets that nest."""
    with pytest.raises(ValueError, match="a world needs"):
        replace(SIZES["tiny"], **wrong)
