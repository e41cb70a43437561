"""Feature returns on disk, and the published history."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from bot.data.ingest import update
from bot.errors import DatasetIncomplete
from bot.history import feature_returns as returns_table
from bot.history.factor_history import FeatureReturns, feature_returns
from bot.history.published import FRESH_FOR, choose, history_path, publish, read
from tests.data.store_files import NAMES, table

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WANTED = ("target_ender_60", "target_ender_20")


@pytest.fixture
def build(tmp_path):
    """Return a function that stores eras 1 to *last*, the newest *unresolved* of them without targets."""

    def made(last, unresolved=0):
        path = tmp_path / "validation.parquet"
        pq.write_table(table(1, last, unresolved=unresolved), path)
        return update(tmp_path / "store", [path], version="v5.3")

    return made


def counted(monkeypatch):
    calls = []

    def spy(features, targets):
        calls.append(len(features))
        return feature_returns(features, targets)

    monkeypatch.setattr("bot.history.feature_returns.feature_returns", spy)
    return calls


def test_table_is_each_eras_correlations(build):
    """The table has each feature's correlation with each target in each era."""
    store = build(6)
    columns = store.select(NAMES, WANTED)
    expected = [feature_returns(columns.features(one), columns.targets(one)) for one in range(6)]

    np.testing.assert_array_equal(returns_table.update(store, WANTED).values, np.stack(expected))


def test_known_eras_are_not_computed_again(build, monkeypatch):
    """Only new eras are computed."""
    returns_table.update(build(9), WANTED)
    store = build(12)
    calls = counted(monkeypatch)
    grown = returns_table.update(store, WANTED)
    again = returns_table.update(store, WANTED)

    assert len(calls) == 3
    np.testing.assert_array_equal(grown.values, again.values)


def test_late_targets_are_measured_when_they_arrive(build, monkeypatch):
    """Only eras whose targets have resolved since are computed again."""
    before = returns_table.update(build(9, unresolved=2), WANTED)
    store = build(9)
    calls = counted(monkeypatch)
    after = returns_table.update(store, WANTED)

    assert len(calls) == 2
    assert np.isnan(before.values[-2:]).all()
    assert np.isfinite(after.values).all()


def flips(path, count, seed=5):
    """Yield *count* times with a different bit of a file flipped, then restore the file."""
    random, good = np.random.default_rng(seed), path.read_bytes()
    # Half of them near the ends, where an archive keeps what it says about itself.
    places = np.concatenate([random.integers(-500, 300, count // 2), random.integers(len(good), size=count // 2)])
    for place in places.tolist():
        bad = bytearray(good)
        bad[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        yield
    path.write_bytes(good)


def test_no_flipped_bit_of_a_table_is_used(build, monkeypatch):
    """A table with a flipped bit, wherever it is, counts as none and is made anew."""
    store = build(4)
    sound = returns_table.update(store, WANTED).values
    (path,) = store.folder.glob("returns-*.npz")
    calls = counted(monkeypatch)
    for _ in flips(path, 60):
        np.testing.assert_array_equal(returns_table.update(store, WANTED).values, sound)

    assert len(calls) == 60 * 4


def test_nothing_is_measured_on_a_damaged_block(build):
    """Feature returns are never computed from a damaged block."""
    store = build(4)
    path = store.folder / "blocks" / store.manifest.blocks[0].files["features"].name
    bad = bytearray(path.read_bytes())
    bad[5] ^= 1
    path.write_bytes(bad)
    with pytest.raises(DatasetIncomplete, match="sha256"):
        returns_table.update(store, WANTED)

    assert np.isfinite(returns_table.update(build(4), WANTED).values).all()


def returns(eras, resolved, seed=3):
    values = np.random.default_rng(seed).normal(size=(eras, 4, 1)).astype(np.float32)
    values[resolved:] = np.nan
    return FeatureReturns(eras=tuple(f"{era:04d}" for era in range(eras)), targets=("target_ender_20",), values=values)


def published(tmp_path, eras, now=NOW):
    path = history_path(tmp_path, "v5.3")
    return path, publish(path, returns(eras, eras - 5), ("a", "b", "c", "d"), lookback=6, now=now)


def test_published_history_comes_back(tmp_path):
    """The published history is read back unchanged."""
    path, state = published(tmp_path, 30)

    np.testing.assert_array_equal(read(path).window, state.window)
    assert read(path).stale_after == NOW + FRESH_FOR


def test_old_data_do_not_become_fresh(tmp_path):
    """Publishing the same eras later does not change ``stale_after``; a newer era does."""
    published(tmp_path, 30)
    _, same = published(tmp_path, 30, now=NOW + timedelta(days=9))
    _, newer = published(tmp_path, 31, now=NOW + timedelta(days=9))

    assert (same.stale_after, newer.stale_after) == (NOW + FRESH_FOR, NOW + timedelta(days=9) + FRESH_FOR)


def of_targets(tmp_path, targets, *, eras=40, days=0):
    """Publish a history of some targets, with the same eras resolved as the lag of each target has it."""
    values = np.random.default_rng(3).normal(size=(eras, 4, len(targets))).astype(np.float32)
    table = FeatureReturns(eras=tuple(f"{era:04d}" for era in range(eras)), targets=tuple(targets), values=values)
    now = NOW + timedelta(days=days)
    return publish(history_path(tmp_path, "v5.3"), table, ("a", "b", "c", "d"), lookback=6, now=now)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("target_ender_20", "target_ender_60"), ("target_ender_20",)),
        (("target_ender_20",), ("target_ender_20", "target_ender_60")),
        (("target_ender_20", "target_ender_60"), ("target_ender_60", "target_ender_20")),
        (("target_ender_20",), ("target_jasper_60",)),
    ],
    ids=["removed", "added", "reordered", "others"],
)
def test_recipes_with_other_targets_make_no_data_fresh(tmp_path, before, after):
    """A recipe that is removed or added changes the window and its targets, and not until when it is fresh."""
    of_targets(tmp_path, before)
    state = of_targets(tmp_path, after, days=20)

    assert (state.targets, state.stale_after) == (after, NOW + FRESH_FOR)
    assert read(history_path(tmp_path, "v5.3")).targets == after


def test_a_newer_era_makes_every_target_fresh(tmp_path):
    """An era that has resolved since makes the history fresh, whatever the recipes are."""
    of_targets(tmp_path, ("target_ender_20", "target_ender_60"))
    shared = of_targets(tmp_path, ("target_ender_20",), eras=41, days=20)
    others = of_targets(tmp_path, ("target_jasper_60",), eras=42, days=25)

    assert shared.stale_after == NOW + timedelta(days=20) + FRESH_FOR
    assert others.stale_after == NOW + timedelta(days=25) + FRESH_FOR


def test_a_clock_that_was_ahead_keeps_nothing_fresh(tmp_path):
    """After a sync with a clock a year ahead, the next sync with the right clock sets the usual time."""
    published(tmp_path, 30, now=NOW + timedelta(days=365))
    _, state = published(tmp_path, 30)

    assert state.stale_after == NOW + FRESH_FOR
    assert read(history_path(tmp_path, "v5.3")).stale_after == NOW + FRESH_FOR


def test_no_flipped_bit_of_a_history_is_used(tmp_path):
    """A published file with a flipped bit, wherever it is, counts as none; the artifact's own history serves."""
    path, own = published(tmp_path, 30)
    seen = [read(path) for _ in flips(path, 400)]

    assert seen == [None] * 400
    next(flips(path, 2))
    np.testing.assert_array_equal(choose(own, path, now=NOW).window, own.window)


def test_newest_history_is_seen_in_the_artifacts_own_order(tmp_path):
    """An artifact with fewer features and a shorter lookback gets its own part of the newest window."""
    path, own = published(tmp_path, 30)
    _, newer = published(tmp_path, 33)
    narrow = type(own)(
        features=("d", "b"),
        targets=own.targets,
        window=own.window[:4, [3, 1]],
        newest_era=own.newest_era,
        built_from_era=own.built_from_era,
    )

    np.testing.assert_array_equal(choose(narrow, path, now=NOW).window, newer.window[:4, [3, 1]])


def test_own_history_wins_over_an_older_one(tmp_path):
    """A published history that is older than the artifact's own is not used."""
    path, _ = published(tmp_path, 30)
    _, own = published(tmp_path / "other", 35)

    np.testing.assert_array_equal(choose(own, path, now=NOW).window, own.window)


def test_stale_history_is_masked(tmp_path):
    """When no era has resolved for four weeks, the history is masked."""
    path, own = published(tmp_path, 30)

    np.testing.assert_array_equal(choose(own, path, now=NOW + FRESH_FOR).window, own.window)
    assert choose(own, path, now=NOW + FRESH_FOR + timedelta(seconds=1)) is None


def test_network_without_history_sees_none(tmp_path):
    """An artifact without a history state needs no file."""
    assert choose(None, history_path(tmp_path, "v5.3"), now=NOW) is None


def test_history_of_other_features_is_passed_over(tmp_path):
    """A published file that lacks one of the artifact's features leaves it with its own, while that is fresh."""
    path, _ = published(tmp_path, 33)
    _, own = published(tmp_path / "other", 30)
    renamed = type(own)(
        features=("a", "b", "c", "gone"),
        targets=own.targets,
        window=own.window,
        newest_era=own.newest_era,
        built_from_era=own.built_from_era,
        stale_after=own.stale_after,
    )

    np.testing.assert_array_equal(choose(renamed, path, now=NOW).window, own.window)
    assert choose(renamed, path, now=NOW + FRESH_FOR + timedelta(seconds=1)) is None
