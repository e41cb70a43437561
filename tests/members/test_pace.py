"""Kinds tell the time of a fit from short measurements of this machine."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.members import pace, registry
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.kinds.linear import LinearOptions
from bot.members.kinds.tsmixer import TSMixerOptions
from bot.members.member import Member
from bot.members.network.options import NetworkOptions
from bot.members.registry import FitSize
from models.trees.catboost_trees import CatBoostOptions
from models.trees.xgboost_trees import XgboostOptions

SMALL = NetworkOptions(encoder=(8,), hidden=8, feed_forward=8, blocks=1, lookback=4, batch_rows=64)
MEMBERS = {
    "tsmixer": TSMixerOptions(network=SMALL),
    "lightgbm": LightGBMOptions(preset="demo"),
    "linear": LinearOptions(),
    "xgboost": XgboostOptions(num_trees=100),
    "catboost": CatBoostOptions(num_trees=100),
}
SIZE = FitSize(
    features=20, engineered=4, groups=4, targets=2, train_rows=10_000, train_eras=10, validation_rows=2_000,
    resolved_rows=14_000, device="cpu",
)  # fmt: skip


def member(kind):
    return Member(name="one", kind=kind, options=MEMBERS[kind])


@pytest.fixture
def short(monkeypatch):
    """Measurements of a fraction of a second."""
    monkeypatch.setattr(pace, "MEASURED_S", 0.01)
    monkeypatch.setattr(pace, "TREE_ROWS", (500, 2_000))


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_kind_measures_the_time_of_its_fits(kind, short):
    """The measurement runs the kind's own training; judged fit and refit take some time."""
    if kind == "catboost":
        pytest.importorskip("catboost", reason="the extra catboost is not installed")
    measured = []
    seconds = registry.find(kind).seconds(member(kind), SIZE, lambda _name, run: measured.append(run()) or measured[-1])

    assert len(measured) == 1
    assert seconds.judged > 0
    assert seconds.refit > 0


@pytest.mark.parametrize("kind", MEMBERS)
def test_without_a_measurement_a_kind_tells_nothing(kind):
    """No time is made up."""
    assert registry.find(kind).seconds(member(kind), SIZE, lambda _name, _run: None) is None


@given(st.floats(1.0, 1e6), st.integers(1, 10), st.integers(1, 8))
def test_a_network_takes_epochs_times_rows_and_evaluations(rows_per_s, epochs, evaluations):
    """The time is that of all seeds: rows of every epoch, and a third of that for each row that is only scored."""
    network = replace(SMALL, epochs=epochs, evaluations_per_epoch=evaluations, seeds=3)
    one = Member(name="one", kind="tsmixer", options=TSMixerOptions(network=network))
    seconds = registry.find("tsmixer").seconds(one, SIZE, lambda *_: (rows_per_s,))

    rows = epochs * (10_000 + evaluations * 2_000 / 3)
    assert seconds.judged == pytest.approx(3 * rows / rows_per_s)


def test_trees_take_binning_and_trees():
    """Values are binned once; each tree has a part for itself and one for its rows."""
    seconds = registry.find("lightgbm").seconds(member("lightgbm"), SIZE, lambda *_: (1e-6, 1e-3, 1e-5))

    assert seconds.judged == pytest.approx(10_000 * 24 * 1e-6 + 100 * (1e-3 + 10_000 * 1e-5))
    assert seconds.refit == pytest.approx(14_000 * 24 * 1e-6 + 100 * (1e-3 + 14_000 * 1e-5))


def test_nothing_is_refitted_where_the_judged_model_serves():
    """Without a refit, its time is 0."""
    size = replace(SIZE, resolved_rows=0)

    assert registry.find("lightgbm").seconds(member("lightgbm"), size, lambda *_: (1.0, 1.0, 1.0)).refit == 0.0
    assert registry.find("tsmixer").seconds(member("tsmixer"), size, lambda *_: (1.0,)).refit == 0.0


def test_a_kind_that_does_not_know_says_nothing():
    """Kinds of other packages need no such method."""

    class Other(registry.Kind):
        def fit(self, job): ...

        def load(self, source): ...

    assert Other().seconds(member("linear"), SIZE, lambda *_: (1.0,)) is None
