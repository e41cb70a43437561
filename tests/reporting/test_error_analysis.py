"""Errors of a model: planted ones are found, and the numbers match those calculated by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.reporting._error_analysis import (
    BINS,
    bin_means,
    by_level,
    calibration,
    costliest_features,
    drift,
    era_shape,
    mean_correlation,
    mean_interval,
    reliability_counts,
)
from bot.scoring.ranked_columns import RankedColumns
from models.bins import TARGET_SHARES


def drawn(probabilities, random):
    """Draw a class for each row from its probabilities."""
    return (random.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 4)


def predicted(rows, random, spread=0.5):
    """Return probabilities around the prior."""
    logits = np.log(TARGET_SHARES) + spread * random.standard_normal((rows, 5))
    weight = np.exp(logits)
    return weight / weight.sum(axis=1, keepdims=True)


def test_calibrated_probabilities_have_the_error_of_chance():
    """The error is that of chance if the classes are drawn from the probabilities themselves."""
    random = np.random.default_rng(1)
    p = predicted(40_000, random)
    found = calibration(reliability_counts(p, drawn(p, random)))

    assert found.error == pytest.approx(found.by_chance, rel=0.3)
    assert found.error < 0.005


def test_overconfident_probabilities_have_a_larger_error():
    """Probabilities twice as far from the prior (in logits) as the true ones have several times the error of chance."""
    random = np.random.default_rng(1)
    p = predicted(40_000, random)
    extreme = p**2 / np.array(TARGET_SHARES)
    extreme /= extreme.sum(axis=1, keepdims=True)
    found = calibration(reliability_counts(extreme, drawn(p, random)))

    assert found.error > 5 * found.by_chance
    assert (found.observed[4] - found.predicted[4])[-1] < -0.02


def test_calibration_by_hand():
    """Ten rows predicted with .1 ... 1, of which the upper half is of the class: the mean of |predicted - observed| is .25."""
    p = np.arange(1, 11)[:, None] / 10
    found = calibration(reliability_counts(p, np.where(p[:, 0] > 0.5, 0, 1)))

    assert found.error == pytest.approx(0.25)
    np.testing.assert_allclose(found.predicted[0], p[:, 0])
    np.testing.assert_allclose(found.observed[0], [0] * 5 + [1] * 5)


def test_counts_of_eras_add_up():
    """The counts of two eras are the sum of the counts of each, and every row is in one bin per class."""
    random = np.random.default_rng(2)
    parts = [(p := predicted(rows, random), drawn(p, random)) for rows in (101, 250)]
    counts = sum(reliability_counts(*part) for part in parts)

    np.testing.assert_array_equal(counts[0].sum(axis=1), [351] * 5)
    np.testing.assert_allclose(counts[1].sum(axis=1), sum(p.sum(axis=0) for p, _ in parts))
    assert counts[2].sum() == 351


def test_bins_without_rows_are_not_a_number():
    """Empty bins are NaN and add nothing to the error."""
    found = calibration(reliability_counts(np.array([[0.5], [0.7]]), np.array([0, 0])))

    assert np.isnan(found.predicted).sum() == BINS - 2
    assert found.error == pytest.approx(0.4)


def test_bin_means_rise_with_a_perfect_prediction():
    """The mean target by decile of a perfect prediction is that of the target's deciles, without rows that lack a target."""
    target = np.repeat(np.arange(10) / 9, 20)
    prediction = target + 0.001 * np.arange(200) / 200
    target, prediction = np.append(target, [np.nan] * 7), np.append(prediction, range(7))

    np.testing.assert_allclose(bin_means(RankedColumns(prediction), target), [np.arange(10) / 9])


@settings(max_examples=12)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=60), st.integers(0, 5))
def test_levels_hold_every_era_once(values, seed):
    """Thirds by a measure are ordered, do not overlap, and together hold all eras with a measure."""
    measure = np.array(values)
    scores = np.random.default_rng(seed).normal(size=len(values))
    levels = by_level(measure, {"one": scores}, block=1)

    if np.ptp(measure) == 0:
        assert levels == ()
        return
    assert sum(level.eras for level in levels) == len(values)
    assert levels[0].stop <= levels[1].start <= levels[1].stop <= levels[2].start
    total = sum(level.eras * level.scores["one"].estimate for level in levels)
    assert total == pytest.approx(scores.sum(), abs=1e-9)


def test_levels_show_where_a_score_comes_from():
    """A score that is positive only for high values of the measure has an interval above zero only in that third."""
    random = np.random.default_rng(3)
    measure = random.normal(size=120)
    score = np.where(measure > np.quantile(measure, 2 / 3), 0.05, 0.0) + random.normal(0, 0.01, 120)
    low, _, high = by_level(measure, {"one": score}, block=2)

    assert high.scores["one"].low > 0.04
    assert low.scores["one"].high < 0.01


def test_means_of_few_eras_have_no_interval():
    """Fewer than two blocks give a mean without bounds, no scores give NaN, and eras without a score are left out."""
    few = mean_interval(np.array([0.1, np.nan, 0.3]), block=4)
    none = mean_interval(np.array([np.nan]), block=4)

    assert few.estimate == pytest.approx(0.2)
    assert np.isnan([few.low, few.high, none.estimate]).all()


def test_an_interval_is_no_narrower_than_finite_rows_make_it():
    """Eras that happen to be alike give a narrow bootstrap; the noise of their rows still shows."""
    series, noise = np.array([-0.03, -0.031, np.nan, -0.029, -0.03]), np.full(5, 0.04)
    narrow = mean_interval(series, block=2)
    found = mean_interval(series, block=2, noise=noise)
    (low, _, _) = by_level(np.arange(15.0), {"one": np.tile(series[:3], 5)}, block=2, noise=np.full(15, 0.04))

    assert narrow.high < 0
    assert found.high == pytest.approx(-0.03 + 1.959964 * 0.04 / 2)
    assert found.low == pytest.approx(-0.03 - 1.959964 * 0.04 / 2)
    assert low.scores["one"].high > 0


def test_costliest_features_have_a_return_against_the_exposure():
    """Cost is exposure times return; only features with a negative product are listed, the largest cost first."""
    found = costliest_features(
        np.array([0.3, 0.2, -0.1, 0.5]), np.array([-0.1, 0.3, 0.4, np.nan]), ["a", "b", "c", "d"], count=3
    )

    assert [name for name, _ in found] == ["c", "a"]
    assert [cost for _, cost in found] == pytest.approx([-0.04, -0.03])


def test_mean_correlation_is_the_mean_over_pairs():
    """Two equal rankings and a reversed one have a mean of (1 - 1 - 1) / 3; a single ranking has NaN."""
    ranks = np.arange(20.0)

    assert mean_correlation([ranks, ranks**3, -ranks]) == pytest.approx(-1 / 3)
    assert np.isnan(mean_correlation([ranks]))


def era(seed, rows=900, width=40, mixed=0.0):
    """Return codes in equal bins; a common factor of size *mixed* correlates the features."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, width)) + mixed * random.standard_normal((rows, 1))
    return (np.argsort(np.argsort(values, axis=0), axis=0) * 5 // rows).astype(np.int8)


def odd(live):
    return {one.measure for one in drift(era_shape(live), [era_shape(era(seed)) for seed in range(30)]) if one.odd}


def test_rows_like_those_of_training_have_not_drifted():
    """An era drawn in the same way is inside the range of the training eras, in every measure."""
    assert odd(era(99)) == set()


@pytest.mark.parametrize(
    ("change", "measure"),
    [
        (lambda codes: codes[:500], {"rows"}),
        (lambda codes: np.where(np.arange(40) < 8, 2, codes), {"constant features"}),
        (lambda codes: np.where(codes == 4, -1, codes), {"absent values", "features with unequal bins"}),
        (lambda codes: codes // 2 * 2, {"features with unequal bins"}),
        (lambda _: era(99, mixed=0.8), {"distance of correlations"}),
    ],
    ids=["fewer rows", "missing features", "missing bin", "coarser bins", "correlated features"],
)
def test_each_kind_of_drift_has_its_measure(change, measure):
    """Each change of live rows is outside the range of its measure."""
    assert measure <= odd(change(era(99)).astype(np.int8))


def test_correlations_of_pairs_equal_numpys():
    """Correlations of pairs equal numpy's; a feature has 0 with itself and with a constant."""
    codes = era(7, width=6, mixed=1.0)
    codes[:, 2] = 2
    left, right = np.random.default_rng(1).integers(0, 6, size=(2, 1000))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.nan_to_num(np.corrcoef(codes.T))[left, right]
    expected[left == right] = 0

    np.testing.assert_allclose(era_shape(codes).correlations, expected, atol=1e-5)


def test_drift_needs_two_training_eras():
    """One training era has no range and is an error."""
    with pytest.raises(ValueError, match="1 training eras"):
        drift(era_shape(era(1)), [era_shape(era(2))])
