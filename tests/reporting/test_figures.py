"""From measurements to figures: by hand, and with reasons where there is nothing to say."""

import numpy as np
import pytest

from bot.reporting import _figures
from bot.reporting._era_measurements import EraMeasurements
from bot.reporting._error_analysis import EraShape
from bot.scoring.summaries import Terms

ERAS, FEATURES = 30, ("feature_a", "feature_b", "feature_c")
GROUPS = {"one": (0, 1), "two": (2,)}


def shape(rows):
    return EraShape(rows=rows, constant=0.0, absent=0.0, shifted=0.0, correlations=np.zeros(1))


@pytest.fixture
def measured():
    random = np.random.default_rng(1)
    corr = {name: random.normal(0.02, 0.03, ERAS) for name in ("gbm", "ensemble")}
    corr["ensemble"][[4, 17]] = [-0.5, -0.9]
    corr["ensemble"][9] = np.nan
    exposure = np.tile([0.3, -0.2, 0.0], (ERAS, 1))
    exposure[17] = [0.4, 0.3, 0.1]
    returns = np.tile([0.1, 0.1, 0.1], (ERAS, 1))
    returns[17] = [-0.2, 0.1, -0.1]
    return EraMeasurements(
        eras=tuple(f"{position:04d}" for position in range(ERAS)),
        scores={"corr": corr},
        by_target={"target_made_20": corr},
        alike={("gbm", "ensemble"): np.full(ERAS, 0.5), ("gbm", "meta model"): np.full(ERAS, np.nan)},
        bins={"ensemble": np.tile(np.linspace(0.4, 0.6, 10), (ERAS, 1))},
        others={},
        exposure=exposure,
        returns=returns,
        shapes=tuple(shape(100 + position) for position in range(ERAS)),
        absent={"bmc": "no validation_benchmark_models.parquet"},
    )


def test_member_figures_count_only_eras_with_a_score(measured):
    """Mean, drawdown and count leave out the era without a score; the newest eras are all here."""
    series = measured.scores["corr"]["ensemble"]
    found = _figures.member_figures(series, block=2)

    assert found["mean"] == pytest.approx(np.nanmean(series))
    assert found["low"] < found["mean"] < found["high"]
    assert found["eras"] == found["recent"]["eras"] == ERAS - 1
    assert found["max_drawdown"] > 0.9


def test_a_series_without_any_score_has_figures_that_are_not_numbers():
    """Nothing known is not zero: mean, drawdown and Sharpe are NaN and the count says why."""
    found = _figures.member_figures(np.full(5, np.nan), block=2)

    assert found["eras"] == 0
    assert np.isnan([found["mean"], found["max_drawdown"], found["sharpe"]]).all()


def test_regimes_that_cannot_be_told_say_why(measured):
    """Without a benchmark there is none by it, and what is the same in every era splits nothing."""
    found, absent = _figures.regimes(measured, block=2)

    assert {one["name"] for one in found} == {"time", "rows", "exposure", "feature strength"}
    assert absent["regime benchmark"] == "no validation_benchmark_models.parquet"
    assert "same in all eras" in absent["regime missing features"]


def test_regime_by_time_is_in_the_order_of_eras(measured):
    """Its thirds are the oldest, middle and newest eras."""
    (time,) = (one for one in _figures.regimes(measured, block=2)[0] if one["name"] == "time")
    means = [level["scores"]["gbm"]["mean"] for level in time["levels"]]

    assert means == pytest.approx([part.mean() for part in np.split(measured.scores["corr"]["gbm"], 3)])


def test_worst_eras_come_first_with_what_cost_most(measured):
    """The era with the lowest score leads; cost is exposure times return, by feature and by group."""
    first, second, *_ = _figures.worst_eras(measured, FEATURES, GROUPS)

    assert (first["era"], second["era"]) == ("0017", "0004")
    assert first["features"] == [["feature_a", pytest.approx(-0.08)], ["feature_c", pytest.approx(-0.01)]]
    assert first["groups"] == [["one", pytest.approx(-0.025)], ["two", pytest.approx(-0.01)]]


def test_group_exposure_is_a_root_mean_square(measured):
    """Signs do not cancel within a group."""
    found = _figures.group_exposures(measured, GROUPS)

    assert found["one"][0] == pytest.approx(np.sqrt((0.09 + 0.04) / 2))
    assert found["two"][17] == pytest.approx(0.1)


def test_groups_whose_exposure_never_changes_make_no_thirds(measured):
    """Thirds are made for groups whose exposure differs between eras."""
    assert [one["name"] for one in _figures.group_regimes(measured, GROUPS, block=2)] == ["one", "two"]
    still = {"none": (2,)}
    measured.exposure[:, 2] = 0.0
    assert _figures.group_regimes(measured, still, block=2) == []


def test_agreement_nobody_could_measure_is_not_a_number(measured):
    """A pair without a common era has no mean."""
    found = {tuple(one["of"]): one["mean"] for one in _figures.alike(measured)}

    assert found["gbm", "ensemble"] == pytest.approx(0.5)
    assert np.isnan(found["gbm", "meta model"])


def test_pay_is_by_the_terms_of_a_round(measured):
    """Names with the target's horizon are the scores that were measured; what is over the clip is cut."""
    terms = Terms(multipliers={"corr20": 2.0}, clip=0.05, factor=0.5, source="round 1405")
    found, why = _figures.pay_figures(measured, terms, "target_made_20", block=2)
    series = measured.scores["corr"]["gbm"]

    assert why == ""
    assert found["terms"]["source"] == "round 1405"
    assert found["members"]["gbm"]["mean"] == pytest.approx(np.clip(series, -0.05, 0.05).mean())
    assert found["members"]["ensemble"]["eras"] == ERAS - 1


@pytest.mark.parametrize("name", ["corr60", "mmc20", "novelty"])
def test_pay_for_a_score_of_another_kind_is_not_computed(measured, name):
    """Another horizon, or a score that nobody measured: there is no figure, and the reason names it."""
    terms = Terms(multipliers={"corr20": 3.0, name: 1.0}, clip=1.0, factor=1.0, source="round 1405")

    assert _figures.pay_figures(measured, terms, "target_made_20", block=2) == (
        None,
        f"round 1405 pays for {name}, which target_made_20 has no score of here",
    )


def test_churn_is_what_the_champion_would_have_ranked_otherwise():
    """One less the rank correlation of each era; without a champion, why there is none."""
    judgement = {"correlation": [0.9, None, 0.7] * 10, "champion_id": "then", "not_computed": {}}
    found, _ = _figures.churn_figures(judgement, block=2)

    assert (found["champion"], found["mean"]) == ("then", pytest.approx(0.2))
    assert _figures.churn_figures({"correlation": [], "champion_id": None, "not_computed": {}}, block=2) == (
        None,
        "there was no champion to compare with",
    )
