"""Paired comparisons of models on the eras in which both have a score."""

import numpy as np
import pytest

from bot.scoring.bootstrap import TooFewEras, detectable, newey_west_error
from bot.scoring.paired_comparison import paired_differences

NOTHING = np.full(60, np.nan)


def scores(seed, *, shift=0.0, bmc=NOTHING):
    return {"CORR": 0.02 + shift + 0.01 * np.random.default_rng(seed).standard_normal(60), "BMC": bmc}


def test_difference_is_paired():
    """Mean, error and detectable difference are those of the per-era differences, in which hard eras cancel."""
    hard = scores(1)
    better = {**hard, "CORR": hard["CORR"] + 0.001 * (1 + 0.1 * np.random.default_rng(2).standard_normal(60))}
    (found,) = paired_differences({"a": hard, "b": better}, [("b", "a")], lag=6)
    difference = better["CORR"] - hard["CORR"]

    assert found.mean == pytest.approx(difference.mean())
    assert found.error == newey_west_error(difference, lag=6) < newey_west_error(hard["CORR"], lag=6) / 10
    assert found.detectable == detectable(difference, lag=6)
    assert (found.score, found.late, found.early, found.eras) == ("CORR", "b", "a", 60)


def test_eras_that_one_model_lacks_are_left_out():
    """An era without a score of one model is left out for both."""
    one, two = scores(1), scores(2)
    one["CORR"][3] = two["CORR"][7] = np.nan
    (found,) = paired_differences({"a": one, "b": two}, [("b", "a")], lag=6)

    assert found.eras == 58


def test_bmc_is_compared_with_enough_eras():
    """BMC is compared with enough eras and left out with too few."""
    some = np.where(np.arange(60) < 20, 0.01, np.nan)
    few = np.where(np.arange(60) < 10, 0.01, np.nan)
    found = [
        paired_differences({"a": scores(1, bmc=bmc), "b": scores(2, bmc=bmc)}, [("b", "a")], lag=6)
        for bmc in (some, few)
    ]

    assert [[one.score for one in differences] for differences in found] == [["CORR", "BMC"], ["CORR"]]
    assert found[0][1].t == 0.0


def test_too_few_eras_are_no_comparison():
    """CORR of too few eras raises TooFewEras."""
    with pytest.raises(TooFewEras):
        paired_differences({"a": scores(1), "b": scores(2)}, [("b", "a")], lag=30)
