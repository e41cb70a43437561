"""Splits: no label of a training era reaches into validation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.columns import EMBARGO, horizon
from bot.splits import holdout, walk_forward

targets = st.lists(
    st.sampled_from(["target_ender_20", "target_ender_60", "target_jasper_20"]), min_size=1, max_size=3, unique=True
)


def labels(count):
    return [f"{era:04d}" for era in range(1, count + 1)]


@settings(deadline=None)
@given(
    count=st.integers(60, 200), held=st.integers(1, 30), every=st.integers(1, 4), names=targets, tail=st.integers(0, 13)
)
def test_no_training_label_reaches_validation(count, held, every, names, tail):
    """The weeks a training label covers, and those until it is published, end before validation begins."""
    labelled = np.arange(count) < count - tail
    split = holdout(labels(count), labelled=labelled, targets=names, validation_eras=held, every=every)
    weeks = max(horizon(name) // 5 for name in names)

    assert max(split.train) + weeks < min(split.validation)
    assert labelled[list(split.validation)].all()
    assert len(split.validation) == held


@settings(deadline=None)
@given(count=st.integers(200, 700), names=targets)
def test_walk_forward_folds_keep_the_embargo(count, names):
    """Every fold trains on the past up to an embargo and validates on one chunk; chunks do not overlap."""
    seen = []
    for fold in walk_forward(labels(count), targets=names):
        assert min(fold.validation) - max(fold.train) - 1 == max(EMBARGO[horizon(name)] for name in names)
        seen.extend(fold.validation)

    assert seen == sorted(set(seen))


def test_every_fourth_era_keeps_the_newest():
    """Down-sampling counts back from the newest training era."""
    every = holdout(labels(100), labelled=np.ones(100, dtype=bool), targets=["target_ender_20"], validation_eras=10)
    fourth = holdout(
        labels(100), labelled=np.ones(100, dtype=bool), targets=["target_ender_20"], validation_eras=10, every=4
    )

    assert fourth.train == every.train[::-1][::4][::-1]


def test_too_few_eras_are_said_with_numbers():
    """Eras that do not suffice are an error that counts them."""
    with pytest.raises(ValueError, match="30 labelled eras leave none to train on after 20 held-out eras"):
        holdout(labels(30), labelled=np.ones(30, dtype=bool), targets=["target_ender_60"], validation_eras=20)


def test_alias_has_no_horizon():
    """The moving alias cannot be split for."""
    with pytest.raises(ValueError, match="never the alias"):
        holdout(labels(90), labelled=np.ones(90, dtype=bool), targets=["target"], validation_eras=2)
