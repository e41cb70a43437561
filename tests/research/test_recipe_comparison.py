"""Comparisons of recipes on a small world: the same folds for all, paired differences, and finished parts that are read."""

import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
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
from bot.tournament.columns import EMBARGO, overlap_eras
from bot.training.fits import fit_model
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
            "holdout_eras": 0,
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
    monkeypatch.setattr(fold_fit, "fit_model", lambda *job, **key: fitted.append(original(*job, **key)) or fitted[-1])
    strong = replace(TREES, name="strong", neutralize=0.9)
    compare(experiment(state), [TREES, strong], seeds=1)

    assert fitted
    assert all(one["kept"] for one in fitted)


def test_nothing_is_chosen_on_the_hold_out(state):
    """Every validated era ends an embargo before the hold-out of the gate."""
    held_out = 20
    one = experiment(state, holdout_eras=held_out)
    store = one.store()
    labelled = np.flatnonzero(store.select((), (TARGET,)).labelled(TARGET))
    folds = one.folds_of(store, [TARGET], least=1)
    newest = max(position for fold in folds for position in (*fold.train, *fold.validation))

    assert newest == labelled[-held_out] - EMBARGO[20] - 1


def fitted_eras(monkeypatch, state, recipe, **changes):
    """Return the training eras of each fit of the newest fold, and the distance that the job names."""
    jobs = []

    def fit(job, kept, **key):
        jobs.append(job)
        return fit_model(job, kept, **key)

    monkeypatch.setattr(fold_fit, "fit_model", fit)
    one = experiment(state, **changes)
    fold = one.folds_of(one.store(), [TARGET], least=1)[-1]
    fitter = fold_fit.FoldFitter(experiment=one, store=one.store(), kept=state / "experiments" / "kept" / "fits")
    model = fitter.fit(recipe, fold, state / f"scratch-{recipe.name}")
    return jobs, fold, model


def test_a_fold_is_fitted_on_the_eras_that_the_recipe_chooses(state, monkeypatch):
    """The newest eras span as much time as in a retrain, which takes each fourth; the experiment takes each third of it."""
    chosen = replace(TREES, name="chosen", every=4, newest=9)
    jobs, fold, _ = fitted_eras(monkeypatch, state, chosen, every=3)
    oldest = fold.train[::-4][::-1][-9]

    assert {job.every for job in jobs} == {3}
    assert jobs[0].train == tuple(one for one in fold.train[::-3][::-1] if one >= oldest)


def test_folds_before_a_first_era_are_left_out_for_all_recipes(state):
    """All recipes are scored in the same eras; without a fold for one of them the command says so."""
    eras = experiment(state).store().eras
    whole, late, never = (
        [replace(one, first_era=first) for one in (TREES, OTHER)] for first in (None, eras[50], eras[-1])
    )
    every, fewer = (compare(experiment(state), [TREES, other]).folds for _, other in (whole, late))

    assert every == fewer + 1
    with pytest.raises(OperatorNeeded, match=r"none of \d folds has training eras of all of trees, other"):
        compare(experiment(state), [TREES, never[1]])


def test_a_benchmark_that_lacks_a_few_rows_of_an_era_is_scored_on_the_others(state):
    """Numerai's benchmark predictions may miss rows; an era with most of them counts."""
    folder = state.with_name("holes")
    shutil.copytree(state, folder, ignore=shutil.ignore_patterns("experiments"))
    (path,) = (folder / "data" / "v5.3").glob("validation_benchmark*.parquet")
    pq.write_table(pq.read_table(path)[3:-3], path)
    found = compare(experiment(folder), [TREES, OTHER])

    assert np.isfinite(found.series[BENCHMARK]["CORR"]).all()
    assert np.isfinite(found.series["trees"]["BMC"]).all()


def test_a_recipe_whose_weights_are_found_has_found_weights(state, monkeypatch):
    """The rule of the recipe weighs the members on eras that none was trained on, as in a retrain."""
    small = replace(TREES.members[0].options, params={"num_trees": 1})
    members = (TREES.members[0], replace(TREES.members[0], name="small", options=small))
    weighed = replace(TREES, name="weighed", members=members, weighting="inverse_variance")
    jobs, fold, model = fitted_eras(monkeypatch, state, weighed)
    stopping = experiment(state).stopping_split(experiment(state).store().eras, fold, jobs[0].data.targets)

    assert {job.train for job in jobs} == {stopping.train}
    assert set(stopping.validation) < set(fold.train)
    assert sum(model.weights.values()) == pytest.approx(1)
    assert set(model.weights) == {"gbm", "small"}


def test_old_states_of_fits_are_removed(state, monkeypatch, tmp_path):
    """The states of networks and finished trees that fits leave are limited in age and in bytes, the oldest go first."""
    folder = state / "experiments" / "kept" / "checkpoints"
    (folder / "models").mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(fold_fit, "KEPT_BYTES", 2_000_000)
    for name, age_s in (("new.pt", 0), ("older.pt", 60), ("models/oldest.txt", 120), ("ancient.pt", 15 * 86400)):
        (folder / name).write_bytes(bytes(900_000))
        os.utime(folder / name, times=(time.time() + 60 - age_s,) * 2)
    fitted_eras(monkeypatch, state, TREES)

    assert [name for name in ("new.pt", "older.pt") if (folder / name).exists()] == ["new.pt", "older.pt"]
    assert not (folder / "models" / "oldest.txt").exists()
    assert not (folder / "ancient.pt").exists()


def test_pay_for_corr_alone_needs_no_reference(state):
    """A recipe with a multiplier of 0 for MMC has a pay in every era, also where neither reference covers it."""
    alone = [replace(one, corr_multiplier=1.0, mmc_multiplier=0.0) for one in (TREES, OTHER)]
    shutil.copytree(state, state.with_name("alone"), ignore=shutil.ignore_patterns("experiments"))
    for path in (state.with_name("alone") / "data" / "v5.3").glob("*benchmark*"):
        path.unlink()
    for path in (state.with_name("alone") / "data" / "v5.3").glob("*meta*"):
        path.unlink()
    found = compare(experiment(state.with_name("alone"), recipe=alone[0]), alone).series["trees"]

    np.testing.assert_array_equal(found["pay"], found["CORR"])
    assert np.isnan(found["BMC"]).all()


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
