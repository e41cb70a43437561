"""Splits: no label of a training era reaches into validation or hold-out, and no validation label into the hold-out."""

import ast
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import CannotSplit
from bot.tournament.columns import EMBARGO, horizon
from bot.training.splits import CHUNK, holdout, resolved, walk_forward

BOT = Path(__file__).resolve().parents[2] / "bot"
MARKET_DAYS_A_WEEK = 5
DELAY = 4
"""Market days from a row to the start of its returns, and from their end to publication."""

targets = st.lists(
    st.sampled_from(["target_ender_20", "target_ender_60", "target_jasper_20"]), min_size=1, max_size=3, unique=True
)
labelled_eras = st.builds(
    lambda count, tail, holes: (np.arange(count) < count - tail) & ~np.isin(np.arange(count), holes),
    st.integers(120, 400),
    st.integers(0, 13),
    st.lists(st.integers(0, 399), max_size=5),
)


def labels(count):
    return [f"{era:04d}" for era in range(1, count + 1)]


def last_era_of_label(position, names):
    """Return the era in which the longest label of the era at *position* is known."""
    days = max(horizon(name) for name in names) + DELAY
    return position + math.ceil(days / MARKET_DAYS_A_WEEK)


@settings(deadline=None)
@given(
    known=labelled_eras,
    chosen=st.integers(2, 25),
    judged=st.sampled_from([0, 2, 10, 25]),
    every=st.integers(1, 4),
    names=targets,
)
def test_no_label_reaches_from_one_block_into_the_next(known, chosen, judged, every, names):
    """The weeks of a label, and those until its publication, end before the next block begins."""
    split = holdout(
        labels(len(known)),
        labelled=known,
        targets=names,
        validation_eras=chosen,
        holdout_eras=judged,
        every=every,
    )
    blocks = [block for block in (split.train, split.validation, split.holdout) if block]

    for earlier, later in pairwise(blocks):
        assert last_era_of_label(max(earlier), names) < min(later)
    assert all(known[list(block)].all() for block in blocks)
    assert (len(split.validation), len(split.holdout)) == (chosen, judged)
    assert blocks[-1][-1] == np.flatnonzero(known)[-1]


@settings(deadline=None)
@given(
    known=labelled_eras,
    chunk=st.integers(30, CHUNK),
    window=st.sampled_from([None, 5, CHUNK]),
    every=st.integers(1, 4),
    names=targets,
)
def test_no_label_of_a_fold_reaches_its_validation(known, chunk, window, every, names):
    """Every fold keeps its embargo; the chunks cover all labelled eras except the first chunk, in order."""
    if known.sum() < chunk + 2:
        known = np.ones(chunk + 2, dtype=bool)
    folds = walk_forward(labels(len(known)), labelled=known, targets=names, chunk=chunk, window=window, every=every)

    for fold in folds:
        assert last_era_of_label(max(fold.train), names) < min(fold.validation)
        assert len(fold.validation) >= 2
        assert window is None or len(fold.train) <= math.ceil(window / every)
    assert [era for fold in folds for era in fold.validation] == np.flatnonzero(known)[chunk:].tolist()


def test_blocks_without_holes_lie_exactly_an_embargo_apart():
    """Train, validation and hold-out of a 60-day target leave 16 eras twice."""
    known = np.ones(200, dtype=bool)

    split = holdout(labels(200), labelled=known, targets=["target_ender_60"], validation_eras=20, holdout_eras=10)

    assert split.holdout == tuple(range(190, 200))
    assert split.validation == tuple(range(154, 174))
    assert split.train == tuple(range(138))


def test_the_longest_horizon_sets_the_embargo():
    """A 60-day auxiliary target purges the training of a 20-day one, too."""
    known = np.ones(100, dtype=bool)
    short = holdout(labels(100), labelled=known, targets=["target_ender_20"], validation_eras=10)
    long = holdout(labels(100), labelled=known, targets=["target_ender_20", "target_ender_60"], validation_eras=10)

    assert 90 - short.train[-1] - 1 == EMBARGO[20] == 8
    assert 90 - long.train[-1] - 1 == EMBARGO[60] == 16


def test_every_fourth_era_keeps_the_newest():
    """Down-sampling counts back from the newest training era."""
    known = np.ones(100, dtype=bool)
    every = holdout(labels(100), labelled=known, targets=["target_ender_20"], validation_eras=10)
    fourth = holdout(labels(100), labelled=known, targets=["target_ender_20"], validation_eras=10, every=4)

    assert fourth.train == every.train[::-1][::4][::-1]
    assert resolved(known, every=4) == tuple(range(3, 100, 4))


def test_folds_may_expand_or_keep_a_window():
    """By default a fold trains on the whole past; with a window, on the newest part of it."""
    known = np.ones(5 * CHUNK, dtype=bool)
    expanding = walk_forward(labels(5 * CHUNK), labelled=known, targets=["target_ender_60"])
    windowed = walk_forward(labels(5 * CHUNK), labelled=known, targets=["target_ender_60"], window=CHUNK)

    assert [len(fold.train) for fold in expanding] == [CHUNK * k - 16 for k in (1, 2, 3, 4)]
    assert [len(fold.train) for fold in windowed] == [CHUNK - 16, CHUNK, CHUNK, CHUNK]
    assert [fold.train[-1] for fold in windowed] == [fold.train[-1] for fold in expanding]


def test_a_single_era_left_over_joins_the_last_fold():
    """No fold validates on one era alone."""
    known = np.ones(121, dtype=bool)

    folds = walk_forward(labels(121), labelled=known, targets=["target_ender_20"], chunk=40)

    assert [len(fold.validation) for fold in folds] == [40, 41]


@pytest.mark.parametrize(
    ("count", "asked", "message"),
    [
        (30, {"validation_eras": 20}, "30 labelled eras leave 0 to train on after 20 validation"),
        (60, {"validation_eras": 20, "holdout_eras": 20}, "60 labelled eras leave 0 to train on"),
        (30, {"validation_eras": 40}, "30 labelled eras leave 0"),
        (100, {"validation_eras": 1}, "no spread to judge by"),
        (100, {"validation_eras": 0}, "no spread to judge by"),
        (100, {"validation_eras": 10, "holdout_eras": 1}, "no spread to judge by"),
    ],
)
def test_too_few_eras_are_reported_with_numbers(count, asked, message):
    """Too few eras raise an error for the operator that counts them."""
    with pytest.raises(CannotSplit, match=message) as caught:
        holdout(labels(count), labelled=np.ones(count, dtype=bool), targets=["target_ender_60"], **asked)

    assert caught.value.exit_code == 78


@pytest.mark.parametrize(("count", "chunk"), [(156, 156), (31, 30), (30, 15), (100, 1)])
def test_folds_that_cannot_be_made_are_reported(count, chunk):
    """A short history, an embargo as long as the first fold, and chunks of one era raise an error."""
    with pytest.raises(CannotSplit, match="fold"):
        walk_forward(labels(count), labelled=np.ones(count, dtype=bool), targets=["target_ender_60"], chunk=chunk)


def test_a_target_that_is_unknown_everywhere_is_refused():
    """A target that is unknown in every era raises an error."""
    none = np.zeros(90, dtype=bool)

    with pytest.raises(CannotSplit, match="unknown in all 90 eras"):
        holdout(labels(90), labelled=none, targets=["target_ender_20"], validation_eras=10)
    with pytest.raises(CannotSplit, match="unknown in all 90 eras"):
        walk_forward(labels(90), labelled=none, targets=["target_ender_20"])


def test_alias_has_no_horizon():
    """The moving alias has no horizon and cannot be split."""
    with pytest.raises(ValueError, match="never the alias"):
        holdout(labels(90), labelled=np.ones(90, dtype=bool), targets=["target"], validation_eras=2)


def test_every_estimator_of_the_bot_is_given_eras_from_here():
    """Every module that calls a fit imports this module to choose its eras."""
    fitting = {"fit_trees", "NetworkFitter", "train_gbm"}
    for path in BOT.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if called & fitting and "members" not in path.parts:  # a kind takes positions from its caller
            assert "bot.training.splits" in imported, path
