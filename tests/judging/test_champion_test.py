"""The comparison with the champion: the difference that decides, the account of confidence, renewals and their anchor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.judging.champion_test import (
    EARNED,
    ERAS_A_YEAR,
    PART,
    START,
    Comparison,
    Looks,
    Pay,
    Series,
    account,
    against_champion,
    lead,
    measure,
)
from bot.training.recipes import Floors

ERAS = 104
LABELS = tuple(f"{era:04d}" for era in range(1, ERAS + 1))
GAP = np.nan


def series(mean, *, deviation=0.0, seed=1):
    values = mean + deviation * np.random.default_rng(seed).standard_normal(ERAS)
    return Series(values=values, noise=np.full(ERAS, 1e-3))


def comparison(renewal=True, eras=LABELS, **differences):
    return Comparison(
        champion="2026-01-01T000000Z-aaaa",
        eras=eras,
        renewal=renewal,
        differences={name: one if isinstance(one, Series) else series(one) for name, one in differences.items()},
        correlation=np.ones(ERAS),
    )


def judged(compared, *, objective="pay", share=START, leads=None):
    looks = Looks(share=share, lead=leads or {})
    return against_champion(compared, Floors(objective=objective), pay=Pay(), looks=looks, overlap=12)


def refused(test):
    return [one.gate for one in test.findings if not one.ok]


def test_pay_weighs_corr_and_mmc_by_their_factors():
    """CORR-equivalent pay is the mean of CORR and MMC, weighted by the payout factors."""
    found = measure({"corr": series(0.006), "bmc": series(0.5), "mmc": series(0.012)}, "pay", Pay(), overlap=12)

    assert found.name == "pay"
    np.testing.assert_allclose(found.series.values, (3 * 0.006 + 15 * 0.012) / 18)
    np.testing.assert_allclose(found.series.noise, 1e-3)


def test_bmc_replaces_mmc_where_the_meta_model_is_absent():
    """Era by era, MMC counts where it is known, and BMC elsewhere; an era without either is left out."""
    mmc, bmc = series(0.012), series(0.024)
    mmc.values[:60] = GAP
    bmc.values[:20] = GAP
    found = measure({"corr": series(0.0), "bmc": bmc, "mmc": mmc}, "pay", Pay(corr=3, mmc=15), overlap=12).series.values

    assert np.isnan(found[:20]).all()
    np.testing.assert_allclose(found[20:60], 15 * 0.024 / 18)
    np.testing.assert_allclose(found[60:], 15 * 0.012 / 18)


@pytest.mark.parametrize(
    ("objective", "pay", "known"),
    [("corr", Pay(), ERAS), ("pay", Pay(), 23), ("pay", Pay(), 0), ("pay", Pay(corr=0, mmc=0), ERAS)],
)
def test_corr_decides_where_it_is_wanted_or_pay_is_not_known(objective, pay, known):
    """CORR decides by the recipe's wish, without enough eras of a contribution, and without payout factors."""
    bmc = series(0.5)
    bmc.values[known:] = GAP

    assert measure({"corr": series(0.01), "bmc": bmc}, objective, pay, overlap=12).name == "corr"
    assert measure({"corr": series(0.01)}, objective, pay, overlap=12).name == "corr"


def test_pay_may_cost_corr():
    """A challenger that gives up CORR for more MMC is promoted for its pay, and refused where CORR is the objective."""
    traded = comparison(corr=-0.01, mmc=0.02)

    assert refused(judged(traded)) == []
    assert refused(judged(traded, objective="corr")) == ["corr_vs_champion"]
    assert {"pay_vs_champion", "corr_vs_champion", "mmc_vs_champion"} == {one.gate for one in judged(traded).findings}


def test_contributions_guard_an_objective_of_corr():
    """With CORR as the objective, a challenger whose MMC is worse beyond noise is refused, as before."""
    assert refused(judged(comparison(corr=0.01, mmc=-0.02), objective="corr")) == ["mmc_vs_champion"]


def test_each_look_needs_more_confidence_than_the_one_before():
    """The same evidence that is enough at the first look is not after the account has been spent."""
    close = comparison(renewal=False, corr=series(0.004, deviation=0.0045))
    first, later = judged(close), judged(close, share=START * PART**6)

    assert (refused(first), refused(later)) == ([], ["corr_vs_champion"])
    assert first.spent == pytest.approx(PART * START)
    assert later.spent < first.spent


def test_too_few_eras_prove_nothing():
    """With fewer than two blocks of shared eras nothing is shown, of another recipe or of a renewal; guards refuse nothing."""
    few = series(0.05)
    few.values[:-23] = GAP
    renewal = judged(comparison(corr=few, bmc=few), objective="corr")

    assert refused(judged(comparison(renewal=False, corr=few))) == ["corr_vs_champion"]
    assert refused(renewal) == ["corr_vs_champion"]
    assert "not computed" in renewal.findings[0].message
    assert "promote it by hand" in renewal.findings[0].message


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_no_year_spends_more_than_its_confidence(new_eras):
    """Whatever the looks, and however few eras lie between them, the looks of any 52 eras spend at most the whole."""
    share, at, spent = START, 0, []
    for new in new_eras:
        share, at = account(share, new), at + new
        spent.append((at, PART * share))
        share -= PART * share

    for first, _ in spent:
        assert sum(one for era, one in spent if first <= era < first + ERAS_A_YEAR) <= 1 + 1e-9


def test_weekly_looks_spend_as_much_as_a_week_earns():
    """After many weeks, a look spends the share of its era: a fifty-second part of nine tenths."""
    share = START
    for _ in range(60):
        share = account(share, 1) * (1 - PART)

    assert account(share, 1) * PART == pytest.approx(EARNED)
    assert account(-1.0, 0) == 0.0
    assert account(0.0, 10_000) == START


def test_steps_down_within_noise_end_at_the_anchor():
    """A renewal that is within noise of the champion is refused where the series is worse than its anchor."""
    small = comparison(corr=series(-0.001, deviation=0.02))
    behind = lead(
        comparison(corr=series(-0.008, deviation=0.02, seed=2)), Floors(), pay=Pay(), looks=Looks(), overlap=12
    )

    assert refused(judged(small)) == []
    assert refused(judged(small, leads=behind)) == ["corr_vs_anchor"]


def test_the_lead_adds_up_by_era():
    """The lead over the anchor is the sum of the steps, in the eras that all of them have."""
    first = lead(comparison(corr=0.001), Floors(), pay=Pay(), looks=Looks(), overlap=12)
    later = tuple(f"{era:04d}" for era in range(11, ERAS + 11))
    second = lead(comparison(eras=later, corr=0.002), Floors(), pay=Pay(), looks=Looks(lead=first), overlap=12)

    assert list(second) == list(later[:-10])
    assert second["0050"] == pytest.approx(0.003)


def test_an_anchor_out_of_sight_is_forgotten():
    """With fewer than two blocks of its eras left, the champion itself is the anchor."""
    old = dict.fromkeys(LABELS[:23], -9.0)

    assert refused(judged(comparison(corr=0.0), leads=old)) == []
    new = lead(comparison(corr=0.001), Floors(), pay=Pay(), looks=Looks(lead=old), overlap=12)
    assert list(new) == list(LABELS)


def test_another_recipe_is_a_new_anchor():
    """A challenger that has proved itself has no lead, so that renewals are held to it."""
    proved = comparison(renewal=False, corr=0.01)

    assert lead(proved, Floors(), pay=Pay(), looks=Looks(lead={"0001": 1.0}), overlap=12) == {}
