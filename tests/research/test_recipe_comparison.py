"""Comparisons of recipes on a small world: the same folds for all, paired differences, and finished parts that are read."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from bot.data.ingest import update
from bot.errors import OperatorNeeded
from bot.reporting import comparison_page
from bot.research import fold_fit
from bot.research.experiment import Experiment
from bot.research.recipe_comparison import BENCHMARK, compare
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.scoring.bootstrap import newey_west_error
from bot.tournament.columns import overlap_eras
from bot.training.recipes import DEMO
from tests.harness.recipes import remade

pytestmark = pytest.mark.slow

TARGET = "target_ender_20"
TREES = remade(DEMO, weights={"gbm": 1.0}, name="trees", target=TARGET, neutralize=0.5, neutralizers="riskiest:5")
OTHER = replace(TREES, name="other", neutralize=1.0)
FEWER = replace(
    TREES,
    name="fewer",
    members=tuple(replace(one, options=replace(one.options, params={"num_trees": 5})) for one in TREES.members),
)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Return a state directory as `bot sync` leaves it."""
    root = tmp_path_factory.mktemp("comparison")
    size = replace(SIZES["tiny"], train_eras=80, validation_eras=60, rows=(90, 90))
    generate(root / "world", size=size, benchmark_share=0.5)
    shutil.copytree(root / "world" / "v5.3", root / "state" / "data" / "v5.3")
    files = [root / "world" / "v5.3" / name for name in ("train.parquet", "validation.parquet")]
    update(root / "state" / "store", files, version="v5.3")
    return root / "state"


def experiment(state, **changes):
    return Experiment(
        **{
            "state_dir": state,
            "data_version": "v5.3",
            "feature_set": "small",
            "target": TARGET,
            "recipe": TREES,
            "eras": None,
            "every": 2,
            "chunk": 40,
            "device": "cpu",
        }
        | changes
    )


@pytest.fixture(scope="module")
def result(state):
    """Return the result of a comparison with two seeds, run once."""
    return compare(experiment(state), [TREES, OTHER, FEWER], seeds=2)


def test_every_recipe_is_scored_in_the_same_eras(result):
    """Each has CORR, BMC and pay in every validated era; the benchmark model has a row of its own."""
    assert [row.name for row in result.rows] == ["trees", "other", "fewer", BENCHMARK]
    for name in ("trees", "other", "fewer"):
        assert np.isfinite(result.series[name]["CORR"]).all()
        assert np.isfinite(result.series[name]["pay"]).all()
        assert len(result.series[name]["CORR"]) == len(result.eras)
    assert result.rows[-1].alike == pytest.approx(1.0)
    assert result.rows[0].scatter > 0


def test_pay_weighs_corr_and_the_contribution(result):
    """It takes MMC where an era has a meta model, and BMC elsewhere."""
    series = result.series["trees"]
    contribution = np.where(np.isnan(series["MMC"]), series["BMC"], series["MMC"])

    np.testing.assert_allclose(series["pay"], 3 * series["CORR"] + 15 * contribution)
    assert np.isnan(series["MMC"]).any()
    assert np.isfinite(series["MMC"]).any()


def test_differences_are_paired_by_era(result):
    """The mean and its error are those of the differences era by era."""
    found = next(one for one in result.differences if (one.late, one.score) == ("fewer", "CORR"))
    wanted = result.series["fewer"]["CORR"] - result.series["trees"]["CORR"]

    assert found.mean == pytest.approx(wanted.mean())
    assert found.error == pytest.approx(newey_west_error(wanted, lag=overlap_eras(TARGET)))
    assert result.alike["trees"]["fewer"] == result.alike["fewer"]["trees"] < 1


def test_a_finished_comparison_fits_nothing(state, result, monkeypatch):
    """The same comparison is read from its parts."""
    monkeypatch.setattr(fold_fit, "fit_model", None)
    again = compare(experiment(state), [TREES, OTHER, FEWER], seeds=2)

    assert again.rows == result.rows or str(again.rows) == str(result.rows)


def test_recipes_with_equal_members_train_them_once(state, monkeypatch):
    """Recipes that differ in their neutralization share the fits of every fold."""
    fitted = []
    original = fold_fit.fit_model
    monkeypatch.setattr(fold_fit, "fit_model", lambda job, kept: fitted.append(original(job, kept)) or fitted[-1])
    strong = replace(TREES, name="strong", neutralize=0.9)
    compare(experiment(state), [TREES, strong], seeds=1)

    assert fitted
    assert all(one["kept"] for one in fitted)


def test_the_page_shows_every_recipe(result, tmp_path):
    """Tables and charts are drawn from the JSON alone."""
    page = tmp_path / "comparison.html"
    comparison_page.write(json.loads(result.path.read_text()), page)
    text = page.read_text()

    assert text.count("Cumulative") >= 4
    for name in ("trees", "other", "fewer", BENCHMARK):
        assert f">{name}<" in text


def test_too_little_history_is_refused(state):
    """One line says how to get folds."""
    with pytest.raises(OperatorNeeded, match="choose a smaller --chunk or more --eras"):
        compare(experiment(state, eras=30), [TREES, OTHER])
