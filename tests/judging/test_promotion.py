"""The promotion gate: decisions and their reasons."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.findings import Finding
from bot.judging.champion_test import PART, START, Comparison, Looks, Series
from bot.judging.leakage import check_plausibility
from bot.judging.promotion import Evidence, decide, interval, skill
from bot.scoring.metrics import corr
from bot.training.recipes import Floors

TARGET = "target_ender_60"
ERAS, ROWS = 96, 200


def series(mean, *, seed=0, deviation=0.05, eras=ERAS):
    values = mean + deviation * np.random.default_rng(seed).standard_normal(eras)
    return Series(values=values, noise=np.full(eras, 1 / np.sqrt(ROWS - 1)))


def evidence(mean=0.05, **changes):
    plain = Evidence(
        corr=series(mean),
        contributions={"bmc": series(0.01, seed=1), "mmc": series(0.01, seed=2)},
        drawdown=0.2,
        exposure=0.3,
        golden=0.0,
        golden_limit=1e-5,
        latency_s=0.1,
        leaks=(),
        comparison=None,
        not_computed={},
    )
    return replace(plain, **changes)


def against(difference, *, correlation=0.9, deviation=0.02, renewal=True):
    return Comparison(
        champion="2026-01-01T000000Z-aaaa",
        eras=tuple(f"{era:04d}" for era in range(ERAS)),
        renewal=renewal,
        differences={"corr": series(difference, seed=3, deviation=deviation)},
        correlation=np.full(ERAS, correlation),
    )


def refused(decision):
    return [finding.gate for finding in decision.findings if not finding.ok]


def test_first_challenger_with_skill_is_promoted():
    """Without a champion, skill and the floors decide."""
    decision = decide(evidence(), Floors(), target=TARGET)

    assert decision.promote
    assert "no champion to beat" in decision.reason


def test_data_version_moves_only_for_a_challenger_that_was_compared():
    """A champion of another version that could not be scored stays; without a champion, the floors decide."""
    kept = decide(
        evidence(not_computed={"champion": "its data could not be opened"}, moves=True), Floors(), target=TARGET
    )
    free = decide(evidence(not_computed={"champion": "it is damaged"}), Floors(), target=TARGET)
    compared = decide(evidence(comparison=against(0.0), moves=True), Floors(), target=TARGET)

    assert (kept.promote, refused(kept)) == (False, ["champion"])
    assert "its data could not be opened; the data version moves only for" in kept.reason
    assert free.promote
    assert compared.promote


def test_challenger_without_skill_is_not():
    """A mean that shuffled rows reach is refused, with a champion or without."""
    decision = decide(evidence(0.0), Floors(), target=TARGET)

    assert not decision.promote
    assert refused(decision) == ["skill", "corr"]


def test_significance_of_skill_counts_rows_not_eras():
    """The same mean is chance in eras of few rows, and skill in eras of many rows."""
    few = Series(values=np.full(30, 0.02), noise=np.full(30, 1 / np.sqrt(99)))
    many = Series(values=np.full(30, 0.02), noise=np.full(30, 1 / np.sqrt(5_999)))

    assert skill(few) == pytest.approx(0.02 * np.sqrt(30 * 99))
    assert skill(few) < 3.5 < skill(many)


def test_shuffled_rows_have_the_skill_of_a_standard_normal():
    """The skill of 2,000 random models has mean 0 and standard deviation 1, and hardly one is over the floor."""
    random = np.random.default_rng(4)
    truth = np.repeat(np.linspace(0, 1, 5), [4, 16, 40, 16, 4])
    noise = np.full(12, 1 / np.sqrt(len(truth) - 1))
    found = [
        skill(Series(values=np.array([corr(random.random(80), truth) for _ in range(12)]), noise=noise))
        for _ in range(2_000)
    ]

    assert abs(np.mean(found)) < 0.07
    assert np.std(found) == pytest.approx(1, abs=0.05)
    assert sum(one > Floors().min_skill for one in found) <= 3


def test_skill_of_overlapping_eras_alone_is_not_enough():
    """A lucky run of neighbouring eras that share returns is within the interval."""
    values = np.repeat([0.2, -0.1, 0.2, -0.15, 0.2, -0.1, 0.15, -0.12], 12)
    decision = decide(
        evidence(corr=Series(values=values, noise=np.full(96, 0.02))), Floors(max_drawdown=9), target=TARGET
    )

    assert skill(Series(values=values, noise=np.full(96, 0.02))) > 3.5
    assert refused(decision) == ["corr"]


def test_worse_challenger_is_kept_back():
    """A challenger that is worse than the champion beyond noise is refused."""
    decision = decide(evidence(comparison=against(-0.02)), Floors(), target=TARGET)

    assert refused(decision) == ["corr_vs_champion"]
    assert "worse beyond noise" in decision.reason


@pytest.mark.parametrize("difference", [0.02, 0.0, -0.002])
def test_renewal_that_is_no_worse_replaces_the_champion(difference):
    """The same recipe, trained again, is promoted if it is better, equal, or worse by less than noise."""
    decision = decide(evidence(comparison=against(difference)), Floors(), target=TARGET)

    assert (decision.promote, decision.spent) == (True, 0.0)
    assert "the same recipe, trained again, and no worse than 2026-01-01T000000Z-aaaa" in decision.reason


@pytest.mark.parametrize(("difference", "promoted"), [(0.04, True), (0.0, False), (-0.002, False)])
def test_another_recipe_has_to_prove_itself(difference, promoted):
    """Another recipe is promoted only if it is no worse with the confidence of the look, which it spends."""
    decision = decide(evidence(comparison=against(difference, renewal=False)), Floors(), target=TARGET)

    assert (decision.promote, decision.spent) == (promoted, PART * START)
    assert "with 99.75% confidence" in decision.reason
    assert "these 96 eras have not decided before" in decision.reason


def test_a_challenger_that_a_floor_refuses_spends_no_confidence():
    """It could not be promoted in error, so that the look is free."""
    decision = decide(evidence(drawdown=2.0, comparison=against(0.04, renewal=False)), Floors(), target=TARGET)

    assert (refused(decision), decision.spent) == (["drawdown"], 0.0)


def test_the_reason_counts_the_looks():
    """A person reads how often the eras have decided, and in which state the record is."""
    looks = Looks(count=7, share=0.02, note="the record of looks begins with this one")
    decision = decide(evidence(comparison=against(0.0, renewal=False)), Floors(), target=TARGET, looks=looks)

    assert "these 96 eras have decided 7 times before (the record of looks begins with this one)" in decision.reason
    assert "with 99.95% confidence" in decision.reason
    assert "promote it by hand" in decision.reason


def test_predictions_turned_around_are_kept_back():
    """A challenger that does not correlate with the champion is left to the operator."""
    decision = decide(evidence(comparison=against(0.0, correlation=-0.4)), Floors(), target=TARGET)

    assert refused(decision) == ["like_champion"]
    assert "by hand" in decision.reason


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        ("drawdown", {"drawdown": 1.2}),
        ("exposure", {"exposure": 0.5}),
        ("golden", {"golden": 1e-3}),
        ("golden", {"golden": float("nan")}),
        ("latency", {"latency_s": 61.0}),
        ("bmc", {"contributions": {"bmc": series(-0.05)}}),
        ("mmc", {"contributions": {"mmc": series(-0.05)}}),
    ],
)
def test_each_floor_refuses_alone(gate, changes):
    """A challenger that fails one floor is refused by that floor's name."""
    assert refused(decide(evidence(**changes), Floors(), target=TARGET)) == [gate]


def test_contribution_without_predictions_is_not_computed_and_refuses_nothing():
    """A missing benchmark is an explicit "not computed", never a zero."""
    decision = decide(
        evidence(contributions={}, not_computed={"bmc": "no validation_benchmark_models.parquet"}),
        Floors(),
        target=TARGET,
    )
    values = {finding.gate: finding.value for finding in decision.findings}

    assert decision.promote
    assert values["bmc"] == "not computed: no validation_benchmark_models.parquet"


def test_contribution_of_a_few_eras_is_not_computed():
    """Eras without a score are left out, and too few eras are reported."""
    few = series(0.01)
    few.values[:80] = np.nan
    decision = decide(evidence(contributions={"mmc": few}), Floors(), target=TARGET)
    values = {finding.gate: finding.value for finding in decision.findings}

    assert values["mmc"] == "not computed: 16 eras are fewer than two blocks of 12"


def test_hold_out_too_short_to_judge_refuses():
    """Fewer than two independent blocks of eras refuse a promotion."""
    decision = decide(evidence(corr=series(0.2, eras=20)), Floors(), target=TARGET)

    assert refused(decision) == ["corr"]
    assert "raise holdout_eras" in decision.reason


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), confidence=st.floats(0.5, 0.99))
def test_interval_is_never_narrower_than_finite_rows_make_it(seed, confidence):
    """Equal eras still have the noise of their finite rows."""
    flat = Series(values=np.full(48, 0.03) + 1e-9 * seed, noise=np.full(48, 0.07))
    found = interval(flat, confidence=confidence, block=12)

    assert found.high - found.low >= 2 * 0.6 * 0.07 / np.sqrt(48)
    assert found.low < found.estimate < found.high


def test_leak_refuses_whatever_the_scores():
    """A leak refuses a challenger that passes every other check."""
    leak = Finding(gate="purge", ok=False, value="near", limit="apart", message="purge: too near")
    decision = decide(evidence(leaks=(leak,)), Floors(), target=TARGET)

    assert not decision.promote
    assert (refused(decision), decision.reason) == (["purge"], "purge: too near")


def test_warning_of_a_leak_is_in_the_reason_of_a_promotion():
    """A score that is too good to be true is promoted, with a warning in the reason."""
    decision = decide(evidence(leaks=(check_plausibility(np.full(9, 0.4), 0.15),)), Floors(), target=TARGET)

    assert decision.promote
    assert decision.reason.endswith("too_good: CORR 0.4000 on the hold-out, over 0.15: look for a leak")


def test_a_champion_that_could_not_be_read_stays():
    """A passing error refuses the challenger and names what to do; without a champion nothing is refused."""
    why = {"champion": "not compared with one: Input/output error"}
    refused = decide(evidence(unread=True, not_computed=why), Floors(), target=TARGET)

    assert not refused.promote
    assert "Input/output error; the error may pass: run `bot retrain` again" in refused.reason
    assert decide(evidence(), Floors(), target=TARGET).promote
