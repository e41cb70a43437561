"""What a hold-out lets expect of live rounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.live.expectation import expect

TARGET = "target_ender_60"


def holdout(seed=3, eras=150):
    return np.random.default_rng(seed).normal(0.03, 0.02, eras).tolist()


def test_the_interval_of_one_round_is_that_of_an_era():
    """One round scatters as the eras of the hold-out do, a little more because their mean is not exactly known."""
    series = holdout(eras=400)
    found = expect(series, target=TARGET, rounds=1)

    assert found.mean == pytest.approx(np.mean(series))
    assert found.high - found.mean == pytest.approx(1.96 * np.std(series, ddof=1), rel=0.03)


@pytest.mark.parametrize("rounds", [1, 20, 130, 400])
def test_the_interval_holds_the_means_of_overlapping_rounds(rounds):
    """About 95 of 100 means of rounds that share their days, as daily returns give them, lie inside of the interval."""
    random, days = np.random.default_rng(5), 64
    daily = random.normal(0.0005, 0.004, (600, rounds + days))
    sums = np.cumsum(np.pad(daily, ((0, 0), (1, 0))), axis=1)
    live = (sums[:, days:-1] - sums[:, : -days - 1])[:, :rounds].mean(axis=1)
    long = np.cumsum(np.insert(random.normal(0.0005, 0.004, 5 * 2000), 0, 0.0))
    eras = [long[at + days] - long[at] for at in range(0, 9900, 5)]  # a weekly era begins every fifth day
    found = expect(eras, target=TARGET, rounds=rounds)

    inside = ((found.low <= live) & (live <= found.high)).mean()
    assert 0.91 < inside <= 0.99


@given(st.integers(1, 500), st.integers(1, 500))
def test_more_rounds_never_widen_the_interval(first, second):
    """The interval narrows with the number of rounds."""
    few, many = (expect(holdout(), target=TARGET, rounds=count) for count in sorted((first, second)))

    assert many.high - many.low <= few.high - few.low + 1e-12


@pytest.mark.parametrize(
    ("series", "target"),
    [([], TARGET), ([0.1], TARGET), ([0.1, None], TARGET), ([0.1, 0.2, 0.3], "target"), ([0.1, float("inf")], TARGET)],
)
def test_nothing_is_expected_of_nothing(series, target):
    """Without two eras, or a horizon in the target's name, there is no expectation."""
    assert expect(series, target=target, rounds=5) is None
