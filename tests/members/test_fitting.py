"""Weights of training eras."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.members.fitting import era_weights, row_weights


@given(
    positions=st.lists(st.integers(0, 1300), min_size=1, max_size=60, unique=True).map(sorted),
    half_life=st.integers(5, 2000),  # below, weights of old eras are 0 in float64
)
def test_a_weight_halves_with_every_half_life(positions, half_life):
    """Weights have a mean of 1, and an era one half-life older counts half as much."""
    weights = era_weights(positions, half_life)

    assert np.mean(list(weights.values())) == pytest.approx(1)
    for older, newer in pairwise(positions):
        assert weights[older] / weights[newer] == pytest.approx(0.5 ** ((newer - older) / half_life))


def test_without_a_half_life_all_eras_count_alike():
    """Every weight is 1, and rows have none."""
    assert era_weights([3, 9], 0) == {3: 1.0, 9: 1.0}
    assert row_weights(None, [3, 9], "target_ender_60", 0) is None


class Labels:
    """Two eras, of two and of three rows with a label."""

    def label(self, position, _name):
        return np.array([0.5, np.nan, 0.25]) if position == 0 else np.array([0.0, 1.0, 0.5])


def test_rows_without_a_label_have_no_weight():
    """The weights are those of the labelled rows, era by era."""
    found = row_weights(Labels(), [0, 1], "target_ender_60", 1)

    np.testing.assert_allclose(found, np.array([1, 1, 2, 2, 2]) * 2 / 3)
