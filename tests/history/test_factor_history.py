"""The factor history is lagged, and never contains unresolved eras."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ArtifactInvalid, LeakageRefused
from bot.history.factor_history import FeatureReturns, HistoryState, feature_returns, latest_window, window
from bot.tournament.columns import HISTORY_LAG

TARGETS = ("target_ender_20", "target_ender_60")
GROUPS = {"wisdom": (0, 1, 2), "rain": (2, 3)}
FEATURES = 4


def table(eras=40, seed=2):
    values = np.random.default_rng(seed).normal(0, 0.02, size=(eras, FEATURES, len(TARGETS))).astype(np.float32)
    return FeatureReturns(eras=tuple(f"{era:04d}" for era in range(1, eras + 1)), targets=TARGETS, values=values)


def rows(count=15, seed=3):
    return np.random.default_rng(seed).integers(0, 5, size=(count, FEATURES), dtype=np.int8)


def test_feature_returns_are_correlations():
    """A feature return is the feature's Pearson correlation with the target."""
    features = rows(200)
    y = np.random.default_rng(4).choice([0, 0.25, 0.5, 0.75, 1], size=(200, 2))

    expected = np.array([[np.corrcoef(features[:, j], y[:, k])[0, 1] for k in range(2)] for j in range(FEATURES)])

    np.testing.assert_allclose(feature_returns(features, y), expected, atol=1e-6)


def test_constant_feature_earns_nothing():
    """A feature that is missing in the era, 2 in all rows, has a return of exactly 0."""
    features = rows(50)
    features[:, 1] = 2
    y = np.random.default_rng(5).random((50, 1))

    assert feature_returns(features, y)[1, 0] == 0


def test_unresolved_target_earns_nan():
    """An unknown target has no returns; a partly known target has those of its known rows."""
    features = rows(60)
    y = np.random.default_rng(6).random((60, 2))
    y[:, 0] = np.nan
    y[40:, 1] = np.nan
    returns = feature_returns(features, y)

    assert np.isnan(returns[:, 0]).all()
    np.testing.assert_allclose(returns[:, 1], feature_returns(features[:40], y[:40])[:, 1], atol=1e-6)


def test_window_is_newest_first_with_each_targets_own_lag():
    """Step 0 of each target is the newest era that target had resolved."""
    returns = table()
    seen = window(returns, 30, 5)

    for column, lag in enumerate((HISTORY_LAG[20], HISTORY_LAG[60])):
        np.testing.assert_array_equal(seen[:, :, column], returns.values[30 - lag - 4 : 30 - lag + 1, :, column][::-1])


def test_window_before_the_first_era_is_zero():
    """The window of an early era has zeros before the first resolved era."""
    seen = window(table(), HISTORY_LAG[20], 5)

    assert np.any(seen[0, :, 0])
    assert not np.any(seen[1:, :, 0])
    assert not np.any(seen[:, :, 1])


@settings(deadline=None, max_examples=40)
@given(position=st.integers(0, 40), seed=st.integers(0, 9))
def test_garbage_in_unresolved_eras_changes_nothing(position, seed):
    """Values of eras newer than the lag never change the window by a bit."""
    clean, dirty = table(), table()
    noise = np.random.default_rng(seed)
    for column, lag in enumerate((HISTORY_LAG[20], HISTORY_LAG[60])):
        dirty.values[max(position - lag + 1, 0) :, :, column] = noise.choice([np.nan, np.inf, 1e9, -1e9])

    np.testing.assert_array_equal(window(clean, position, 8), window(dirty, position, 8))


@pytest.mark.parametrize("lag", [0, 1, HISTORY_LAG[20] - 1])
def test_lag_that_sees_the_future_is_refused(lag):
    """A row's history from its own era, or from any era not yet resolved, raises."""
    with pytest.raises(LeakageRefused, match=f"with lag {lag} would see the future"):
        window(table(), 30, 5, lags={"target_ender_20": lag, "target_ender_60": HISTORY_LAG[60]})


def test_live_window_names_its_newest_eras():
    """The latest window begins with the newest resolved era of each target."""
    returns = table()
    returns.values[-5:, :, 0] = np.nan
    returns.values[-13:, :, 1] = np.nan
    latest = latest_window(returns, 6)

    assert latest.newest_eras == {"target_ender_20": "0035", "target_ender_60": "0027"}
    np.testing.assert_array_equal(latest.values[0, :, 1], returns.values[26, :, 1])


def test_state_survives_bytes():
    """A state read back is the state that was written."""
    state = HistoryState(
        features=("a", "b", "c", "d"),
        targets=TARGETS,
        window=window(table(), 40, 3),
        newest_era={"target_ender_20": "0035", "target_ender_60": "0027"},
        built_from_era="0040",
    )
    again = HistoryState.from_bytes(state.to_bytes())

    assert (again.features, again.targets, again.newest_era) == (state.features, state.targets, state.newest_era)
    np.testing.assert_array_equal(again.window, state.window)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage" * 20])
def test_damaged_state_is_refused(content):
    """Bytes that are not a state raise ArtifactInvalid."""
    with pytest.raises(ArtifactInvalid):
        HistoryState.from_bytes(content)


def test_what_a_target_earned_does_not_depend_on_which_others_are_known():
    """Returns of a 20D target stay the same to the last bit when the 60D target beside it resolves."""
    rng = np.random.default_rng(8)
    features = np.asfortranarray(rng.integers(0, 5, (500, 300), dtype=np.int8))  # as the era store has it
    targets = rng.choice(np.float32([0, 0.25, 0.5, 0.75, 1]), (500, 4))
    later = feature_returns(features, targets)
    targets[:, 1:] = np.nan
    before = feature_returns(features, targets)

    assert before[:, 0].tobytes() == later[:, 0].tobytes()
    assert np.isnan(before[:, 1:]).all()
