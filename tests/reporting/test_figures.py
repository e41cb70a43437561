"""Figures of the report, calculated by hand, and the reasons for those that are absent."""

from dataclasses import replace

import numpy as np
import pytest

from bot.findings import Absent
from bot.reporting import _figures
from bot.reporting._era_measurements import EraMeasurements
from bot.reporting._error_analysis import EraShape
from bot.scoring.summaries import PayoutTerms

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
        rows=np.full(ERAS, 101.0),
        target_variance=np.full(ERAS, 0.8),
    )


def test_member_figures_count_only_eras_with_a_score(measured):
    """Mean, drawdown and count leave out the era without a score; the newest eras are all eras."""
    series = measured.scores["corr"]["ensemble"]
    found = _figures.member_figures(series, block=2)

    assert found["mean"] == pytest.approx(np.nanmean(series))
    assert found["low"] < found["mean"] < found["high"]
    assert found["eras"] == found["recent"]["eras"] == ERAS - 1
    assert found["max_drawdown"] > 0.9


def test_every_interval_of_a_score_covers_the_noise_of_rows(measured):
    """Scores by member, target, third, pay and bin have intervals that finite rows make at least this wide."""
    rows = _figures.EraMeasurements.noise(measured, "corr")
    corr = measured.scores["corr"]
    flat = {name: np.full(ERAS, 0.02) for name in corr}
    measured = replace(measured, scores={"corr": flat, "mmc": flat}, by_target={"target_made_20": flat})
    terms = PayoutTerms(multipliers={"corr20": 3.0, "mmc20": 15.0}, clip=1.0, factor=1.0, source="round 1")
    width = 1.959964 * rows[0] / np.sqrt(ERAS)
    shown = [
        _figures.member_figures(flat["gbm"], block=2, noise=rows),
        _figures.target_figures(measured, block=2)["target_made_20"]["gbm"],
    ]
    third = _figures.regime_figures(measured, block=2)["time"]["levels"][0]["scores"]["gbm"]
    pay = _figures.pay_figures(measured, terms, "target_made_20", block=2)["members"]["gbm"]
    (lowest, *_) = _figures.bin_figures(measured, block=2)["ensemble"]

    assert [one["high"] - one["mean"] for one in shown] == pytest.approx([width, width])
    assert third["high"] - third["mean"] == pytest.approx(width * np.sqrt(3))
    assert pay["mean"] - pay["low"] == pytest.approx(1.959964 * (3 * 0.1 + 15 * np.sqrt(0.8 / 101)) / np.sqrt(ERAS))
    assert lowest["high"] - lowest["mean"] == pytest.approx(1.959964 * np.sqrt(0.8 / 10.1) / 4 / np.sqrt(ERAS))


def test_a_series_without_any_score_has_figures_that_are_not_numbers():
    """Without a score, mean, drawdown and Sharpe are NaN instead of zero, and the count is zero."""
    found = _figures.member_figures(np.full(5, np.nan), block=2)

    assert found["eras"] == 0
    assert np.isnan([found["mean"], found["max_drawdown"], found["sharpe"]]).all()


def test_absent_regimes_have_a_reason(measured):
    """The regime by benchmark needs its predictions, and a measure that is the same in every era makes no regime."""
    found = _figures.regime_figures(measured, block=2)
    absent = {name: one.reason for name, one in found.items() if isinstance(one, Absent)}

    assert set(found) - set(absent) == {"time", "rows", "exposure", "feature strength"}
    assert absent["benchmark"] == "no validation_benchmark_models.parquet"
    assert "same in all eras" in absent["missing features"]


def test_regime_by_time_is_in_the_order_of_eras(measured):
    """The thirds of the regime by time are the oldest, middle and newest eras."""
    time = _figures.regime_figures(measured, block=2)["time"]
    means = [level["scores"]["gbm"]["mean"] for level in time["levels"]]

    assert means == pytest.approx([part.mean() for part in np.split(measured.scores["corr"]["gbm"], 3)])


def test_worst_eras_come_first_with_what_cost_most(measured):
    """The era with the lowest score comes first; cost is exposure times return, by feature and by group."""
    first, second, *_ = _figures.worst_eras(measured, FEATURES, GROUPS)

    assert (first["era"], second["era"]) == ("0017", "0004")
    assert first["features"] == [["feature_a", pytest.approx(-0.08)], ["feature_c", pytest.approx(-0.01)]]
    assert first["groups"] == [["one", pytest.approx(-0.025)], ["two", pytest.approx(-0.01)]]


def test_group_exposure_is_a_root_mean_square(measured):
    """Exposures of opposite sign do not cancel within a group."""
    found = _figures.group_exposures(measured, GROUPS)

    assert found["one"][0] == pytest.approx(np.sqrt((0.09 + 0.04) / 2))
    assert found["two"][17] == pytest.approx(0.1)


def test_groups_whose_exposure_never_changes_make_no_thirds(measured):
    """Only groups whose exposure differs between eras make a regime."""
    assert [one["name"] for one in _figures.group_regimes(measured, GROUPS, block=2)] == ["one", "two"]
    still = {"none": (2,)}
    measured.exposure[:, 2] = 0.0
    assert _figures.group_regimes(measured, still, block=2) == []


def test_correlation_of_a_pair_without_a_common_era_is_not_a_number(measured):
    """The mean correlation of a pair without a common era is NaN."""
    found = {tuple(one["of"]): one["mean"] for one in _figures.correlation_figures(measured)}

    assert found["gbm", "ensemble"] == pytest.approx(0.5)
    assert np.isnan(found["gbm", "meta model"])


def test_payout_uses_the_factors_of_a_round(measured):
    """A name with the target's horizon is a measured score; a payout above the clip is cut."""
    terms = PayoutTerms(multipliers={"corr20": 2.0}, clip=0.05, factor=0.5, source="round 1405")
    found = _figures.pay_figures(measured, terms, "target_made_20", block=2)
    series = measured.scores["corr"]["gbm"]

    assert found["terms"]["source"] == "round 1405"
    assert found["members"]["gbm"]["mean"] == pytest.approx(np.clip(series, -0.05, 0.05).mean())
    assert found["members"]["ensemble"]["eras"] == ERAS - 1


@pytest.mark.parametrize("name", ["corr60", "mmc20", "novelty"])
def test_payout_of_an_unmeasured_score_is_absent(measured, name):
    """A score with another horizon, or one that was not measured, has no payout; the reason names the score."""
    terms = PayoutTerms(multipliers={"corr20": 3.0, name: 1.0}, clip=1.0, factor=1.0, source="round 1405")

    found = _figures.pay_figures(measured, terms, "target_made_20", block=2)

    assert found == Absent(f"round 1405 pays for {name}, but there is no such score for target_made_20")


def test_churn_is_one_less_the_correlation_with_the_champion():
    """Churn is 1 minus the rank correlation of each era; without a champion it is absent."""
    judgement = {"correlation": [0.9, None, 0.7] * 10, "champion_id": "then", "not_computed": {}}
    found = _figures.churn_figures(judgement, block=2)

    assert (found["champion"], found["mean"]) == ("then", pytest.approx(0.2))
    assert _figures.churn_figures({"correlation": [], "champion_id": None, "not_computed": {}}, block=2) == Absent(
        "there was no champion to compare with"
    )
