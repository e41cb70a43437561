"""Persistence and momentum of feature returns: closed forms, and nothing that an era could not have known."""

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
    lags,
    loadings,
    persistence,
    verdict,
)
from bot.scoring.bootstrap import Interval, TooFewEras

DAYS20, DAYS60 = "target_ender_20", "target_ender_60"


def overlapping(eras, features, *, weeks, lasting=0.0, seed=0):
    """Return returns over *weeks* weeks of which a share of the variance lasts for ever."""
    random = np.random.default_rng(seed)
    weekly = np.sqrt(1 - lasting) * random.standard_normal((eras + weeks - 1, features))
    weekly[: len(weekly) // 2] += np.sqrt(lasting) * random.standard_normal(features)
    weekly[len(weekly) // 2 :] += np.sqrt(lasting) * random.standard_normal(features)
    return np.stack([weekly[era : era + weeks].sum(axis=0) for era in range(eras)])


def table(values, targets=(DAYS20,)):
    labels = tuple(f"{era:04d}" for era in range(len(values)))
    return FeatureReturns(eras=labels, targets=targets, values=np.asarray(values, dtype=np.float32))


@pytest.mark.parametrize("weeks", [4, 12])
def test_nothing_in_common_is_a_cosine_of_zero(weeks):
    """Demeaning by the sample's own mean leaves no trace, however few eras there are."""
    means = [
        cosines(overlapping(90, 200, weeks=weeks, seed=seed), weeks + 1, overlap=weeks).mean() for seed in range(8)
    ]

    assert np.mean(means) == pytest.approx(0.0, abs=0.01)


def test_cosine_by_hand():
    """Two eras apart, two features: means are taken off first, and what they cost is given back."""
    values = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 6.0]])
    late, early = np.array([0.0, 3.0]), np.array([-1.0, -1.0])

    found = cosines(values, 2, overlap=1)

    assert found == pytest.approx([late @ early / np.sqrt(9 * 2) + 1 / (3 - 1)])


def test_missing_features_and_unresolved_eras_take_no_part():
    """A feature that was constant in one of two eras changes nothing; an unresolved era has no cosine."""
    values = overlapping(60, 20, weeks=1)
    late = np.column_stack([values, np.where(np.arange(60) < 30, 0.0, 5.0)])
    unresolved = values.copy()
    unresolved[40] = np.nan

    # The extra feature moves in no pair of eras that is thirty apart.
    assert cosines(late, 30, overlap=0) == pytest.approx(cosines(values, 30, overlap=0))
    assert np.flatnonzero(np.isnan(cosines(unresolved, 5, overlap=1))).tolist() == [35, 40]


def test_lags_share_no_day():
    """The lags of a 60-day target begin eight weeks later than those of a 20-day one."""
    assert lags(DAYS20) == (5, 6, 8, 10, 13, 16, 26)
    assert lags(DAYS60)[0] * 5 > 60


def test_persistence_sees_what_lasts():
    """Where half of the variance lasts, every lag says so; where nothing does, most intervals hold zero."""
    lasting = persistence(overlapping(300, 60, weeks=4, lasting=0.5), DAYS20)
    fleeting = [persistence(overlapping(300, 60, weeks=4, seed=seed), DAYS20)[0].cosine for seed in range(8)]

    assert [one.lag for one in lasting] == [0, *lags(DAYS20)]
    assert min(one.cosine.low for one in lasting) > 0.2
    assert sum(one.low < 0 < one.high for one in fleeting) >= 6


def test_too_few_eras_are_no_persistence():
    """Less than two blocks of resolved eras is an error, not a cosine."""
    with pytest.raises(TooFewEras):
        persistence(overlapping(38, 20, weeks=4), DAYS20)


def test_loadings_are_exponential_averages():
    """Three resolved eras, half-life one: weights 4, 2 and 1 of 7, the newest first."""
    values = np.arange(20, dtype=float)[:, None, None] * np.array([1.0, -2.0])[None, :, None]
    position = 2 + minimum_lag(DAYS20)
    found = loadings(table(values), position, [MomentumScore(target=DAYS20, half_life=1.0)])

    assert found[0] == pytest.approx(np.array([1.0, -2.0]) * (4 * 2 + 2 * 1 + 1 * 0) / 7)


def test_loadings_without_decay_are_the_mean():
    """An infinite half-life forgets nothing; before anything resolved there is nothing."""
    values = np.random.default_rng(0).standard_normal((30, 5, 1))
    flat = [MomentumScore(target=DAYS20, half_life=float("inf"))]

    assert loadings(table(values), 26, flat)[0] == pytest.approx(values[:21, :, 0].mean(axis=0), rel=1e-5)
    assert not loadings(table(values), minimum_lag(DAYS20) - 1, flat).any()


@settings(deadline=None, max_examples=25)
@given(position=st.integers(0, 60), seed=st.integers(0, 99))
def test_unresolved_eras_change_no_loading(position, seed):
    """Whatever stands in eras that had not resolved, the weights are bitwise the same."""
    values = np.random.default_rng(0).standard_normal((60, 4, 2))
    garbled = values.copy()
    for column, target in enumerate((DAYS20, DAYS60)):
        unknown = max(position - minimum_lag(target) + 1, 0)
        garbled[unknown:, :, column] = np.random.default_rng(seed).standard_normal(garbled[unknown:, :, column].shape)
    candidates = [MomentumScore(target=target, half_life=life) for target in (DAYS20, DAYS60) for life in HALF_LIVES]

    before = loadings(table(values, (DAYS20, DAYS60)), position, candidates)
    assert before.tobytes() == loadings(table(garbled, (DAYS20, DAYS60)), position, candidates).tobytes()


def fold(first, *, eras=30, mixed=None, seed=0):
    """Return a fold with LightGBM at .02 and, where not said otherwise, candidates that only add noise."""
    noise = 0.02 + 0.01 * np.random.default_rng([seed, first]).standard_normal((eras, 2, len(WEIGHTS)))
    noise[:, :, 0] = 0.02
    return FoldScores(
        positions=np.arange(first, first + eras), alone=np.zeros((eras, 2)), mixed=noise if mixed is None else mixed
    )


CANDIDATES = (MomentumScore(target=DAYS20, half_life=4.0), MomentumScore(target=DAYS20, half_life=float("inf")))


def test_gain_is_measured_where_nothing_was_chosen():
    """A weight that shone in one fold is paid for in the next; the first fold's own shine counts for nothing."""
    shining = fold(0)
    shining.mixed[:, 0, 3] = 0.5
    dull = fold(40)
    dull.mixed[:, 0, 3] = 0.01 + np.linspace(-0.001, 0.001, 30)
    rows = gains([shining, dull], CANDIDATES, target=DAYS20, embargo=8)

    assert rows[0].gain == pytest.approx(-0.01)
    assert rows[0].eras == 30


def test_embargo_lies_before_the_fold_that_is_measured():
    """Eras whose target reaches into the fold choose nothing for it."""
    past, next_ = fold(0), fold(30)
    changed = fold(0)
    changed.mixed[-8:, 0, 3] = 9.0
    before, after = (gains([one, next_], CANDIDATES, target=DAYS20, embargo=8) for one in (past, changed))

    assert [one.gain for one in after] == [one.gain for one in before]
    changed.mixed[0, 0, 3] = 99.0
    assert gains([changed, next_], CANDIDATES, target=DAYS20, embargo=8)[0].gain != before[0].gain


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
    """Go where returns last surely enough, or where momentum pays and it is timing that does."""
    answer, sentence = verdict(found(estimate, low), [total, timing])

    assert answer == go
    assert sentence.startswith("go: " if go else "no-go: ")
    assert ("lookback 0" in sentence) == (not go)


def test_no_gain_has_no_t():
    """A score that was never chosen adds nothing, with no error to divide by."""
    assert replace(gain(0.0, 0.0)).t == 0.0
