"""Persistence and momentum of feature returns: closed forms, and no use of unresolved eras."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.history.factor_history import FeatureReturns, minimum_lag
from bot.research.factor_momentum import (
    HALF_LIVES,
    WEIGHTS,
    FoldScores,
    Gain,
    MomentumScore,
    Persistence,
    cosines,
    gains,
    judge_history,
    lags,
    loadings,
    persistence,
)
from bot.scoring.bootstrap import Interval, TooFewEras

DAYS20, DAYS60 = "target_ender_20", "target_ender_60"


def overlapping(eras, features, *, weeks, lasting=0.0, seed=0):
    """Return overlapping returns over *weeks* weeks, with a share of the variance that is the same in every week of a half."""
    random = np.random.default_rng(seed)
    weekly = np.sqrt(1 - lasting) * random.standard_normal((eras + weeks - 1, features))
    weekly[: len(weekly) // 2] += np.sqrt(lasting) * random.standard_normal(features)
    weekly[len(weekly) // 2 :] += np.sqrt(lasting) * random.standard_normal(features)
    return np.stack([weekly[era : era + weeks].sum(axis=0) for era in range(eras)])


def table(values, targets=(DAYS20,)):
    labels = tuple(f"{era:04d}" for era in range(len(values)))
    return FeatureReturns(eras=labels, targets=targets, values=np.asarray(values, dtype=np.float32))


@pytest.mark.parametrize("weeks", [4, 12])
def test_unrelated_eras_have_a_cosine_of_zero(weeks):
    """Subtracting the sample's own mean causes no bias, even with few eras."""
    means = [
        cosines(overlapping(90, 200, weeks=weeks, seed=seed), weeks + 1, overlap=weeks).mean() for seed in range(8)
    ]

    assert np.mean(means) == pytest.approx(0.0, abs=0.01)


def test_cosine_by_hand():
    """Two features, two eras apart: means are subtracted, and their bias is corrected."""
    values = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 6.0]])
    late, early = np.array([0.0, 3.0]), np.array([-1.0, -1.0])

    found = cosines(values, 2, overlap=1)

    assert found == pytest.approx([late @ early / np.sqrt(9 * 2) + 1 / (3 - 1)])


def test_missing_features_and_unresolved_eras_are_ignored():
    """A feature that is missing in one of two eras changes nothing, and an unresolved era has no cosine."""
    values = overlapping(60, 20, weeks=1)
    late = np.column_stack([values, np.where(np.arange(60) < 30, 0.0, 5.0)])
    unresolved = values.copy()
    unresolved[40] = np.nan

    # The extra feature is missing in the earlier of any two eras that are thirty apart.
    assert cosines(late, 30, overlap=0) == pytest.approx(cosines(values, 30, overlap=0))
    assert np.flatnonzero(np.isnan(cosines(unresolved, 5, overlap=1))).tolist() == [35, 40]


def test_lags_share_no_day():
    """The lags of a 60-day target begin eight eras later than those of a 20-day target."""
    assert lags(DAYS20) == (5, 6, 8, 10, 13, 16, 26)
    assert lags(DAYS60)[0] * 5 > 60


def test_persistence_is_measured_at_every_lag():
    """With half of the variance persistent, every lag shows it; without persistence, most intervals contain zero."""
    lasting = persistence(overlapping(300, 60, weeks=4, lasting=0.5), DAYS20)
    fleeting = [persistence(overlapping(300, 60, weeks=4, seed=seed), DAYS20)[0].cosine for seed in range(8)]

    assert [one.lag for one in lasting] == [0, *lags(DAYS20)]
    assert min(one.cosine.low for one in lasting) > 0.2
    assert sum(one.low < 0 < one.high for one in fleeting) >= 6


def test_too_few_eras_are_no_persistence():
    """Fewer than two blocks of resolved eras are an error."""
    with pytest.raises(TooFewEras):
        persistence(overlapping(38, 20, weeks=4), DAYS20)


def test_loadings_are_exponential_averages():
    """With three resolved eras and a half-life of one, the weights are 4/7, 2/7 and 1/7, newest first."""
    values = np.arange(20, dtype=float)[:, None, None] * np.array([1.0, -2.0])[None, :, None]
    position = 2 + minimum_lag(DAYS20)
    found = loadings(table(values), position, [MomentumScore(target=DAYS20, half_life=1.0)])

    assert found[0] == pytest.approx(np.array([1.0, -2.0]) * (4 * 2 + 2 * 1 + 1 * 0) / 7)


def test_loadings_without_decay_are_the_mean():
    """An infinite half-life gives the mean of all resolved eras; without resolved eras the loadings are 0."""
    values = np.random.default_rng(0).standard_normal((30, 5, 1))
    flat = [MomentumScore(target=DAYS20, half_life=float("inf"))]

    assert loadings(table(values), 26, flat)[0] == pytest.approx(values[:21, :, 0].mean(axis=0), rel=1e-5)
    assert not loadings(table(values), minimum_lag(DAYS20) - 1, flat).any()


@settings(deadline=None, max_examples=25)
@given(position=st.integers(0, 60), seed=st.integers(0, 99))
def test_unresolved_eras_change_no_loading(position, seed):
    """Returns of eras that had not resolved do not change a bit of the loadings."""
    values = np.random.default_rng(0).standard_normal((60, 4, 2))
    garbled = values.copy()
    for column, target in enumerate((DAYS20, DAYS60)):
        unknown = max(position - minimum_lag(target) + 1, 0)
        garbled[unknown:, :, column] = np.random.default_rng(seed).standard_normal(garbled[unknown:, :, column].shape)
    scores = [MomentumScore(target=target, half_life=life) for target in (DAYS20, DAYS60) for life in HALF_LIVES]

    before = loadings(table(values, (DAYS20, DAYS60)), position, scores)
    assert before.tobytes() == loadings(table(garbled, (DAYS20, DAYS60)), position, scores).tobytes()


def fold(first, *, eras=30, mixed=None, seed=0):
    """Return a fold with LightGBM at .02 and, by default, momentum scores that only add noise."""
    noise = 0.02 + 0.01 * np.random.default_rng([seed, first]).standard_normal((eras, 2, len(WEIGHTS)))
    noise[:, :, 0] = 0.02
    return FoldScores(
        positions=np.arange(first, first + eras), alone=np.zeros((eras, 2)), mixed=noise if mixed is None else mixed
    )


SCORES = (MomentumScore(target=DAYS20, half_life=4.0), MomentumScore(target=DAYS20, half_life=float("inf")))


def test_gain_is_measured_on_eras_that_chose_nothing():
    """A weight that is chosen on one fold is measured on the next; the first fold has no part in the gain."""
    good = fold(0)
    good.mixed[:, 0, 3] = 0.5
    bad = fold(40)
    bad.mixed[:, 0, 3] = 0.01 + np.linspace(-0.001, 0.001, 30)
    rows = gains([good, bad], SCORES, target=DAYS20, embargo=8)

    assert rows[0].gain == pytest.approx(-0.01)
    assert rows[0].eras == 30


def test_embargo_lies_before_the_fold_that_is_measured():
    """Eras whose target overlaps the fold do not influence the choice for it."""
    past, next_ = fold(0), fold(30)
    changed = fold(0)
    changed.mixed[-8:, 0, 3] = 9.0
    before, after = (gains([one, next_], SCORES, target=DAYS20, embargo=8) for one in (past, changed))

    assert [one.gain for one in after] == [one.gain for one in before]
    changed.mixed[0, 0, 3] = 99.0
    assert gains([changed, next_], SCORES, target=DAYS20, embargo=8)[0].gain != before[0].gain


def found(estimate, low):
    return [Persistence(target=DAYS20, lag=0, cosine=Interval(estimate=estimate, low=low, high=1.0), eras=99)]


def gain(mean, error):
    return Gain(name="x", alone=0.0, beside=0.02 + mean, gain=mean, error=error, eras=99)


@pytest.mark.parametrize(
    ("estimate", "low", "total", "timing", "go"),
    [
        (0.03, 0.01, gain(0.0, 0.001), gain(0.0, 0.001), True),
        (0.03, -0.01, gain(0.0, 0.001), gain(0.0, 0.001), False),
        (0.02, 0.01, gain(0.0, 0.001), gain(0.0, 0.001), False),
        (0.0, -0.1, gain(0.002, 0.001), gain(0.002, 0.001), True),
        (0.0, -0.1, gain(0.002, 0.0011), gain(0.002, 0.001), False),
        (0.0, -0.1, gain(0.0005, 0.0001), gain(0.002, 0.001), False),
        (0.0, -0.1, gain(0.002, 0.001), gain(0.0, 0.0), False),
    ],
    ids=["lasts", "unsure", "too_little", "pays", "t_below_two", "gain_too_small", "no_timing"],
)
def test_verdict(estimate, low, total, timing, go):
    """The verdict is go with persistent returns, or with a gain that is timing."""
    verdict = judge_history(found(estimate, low), [total, timing])

    assert verdict.go == go
    assert verdict.sentence.startswith("go: " if go else "no-go: ")
    assert ("lookback 0" in verdict.sentence) == (not go)


def test_no_gain_has_no_t():
    """A score that was never chosen adds nothing, with no error to divide by."""
    assert replace(gain(0.0, 0.0)).t == 0.0
