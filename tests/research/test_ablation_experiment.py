"""E1 in small: every rung is fitted on the same folds, z is out of fold, and what is finished stays finished."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from bot.data.ingest import update
from bot.errors import OperatorNeeded
from bot.research import ablation_experiment
from bot.research.ablation_experiment import NETWORKS, STEPS, TREES, e1
from bot.research.experiment import Experiment, plain
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.training.recipes import DEMO

SMALL = replace(
    DEMO,
    targets=("target_ender_20", "target_jasper_20"),
    refit=False,
    network=replace(
        DEMO.network, lookback=6, history_targets=("target_ender_20",), encoder=(16,), hidden=8, blocks=1, epochs=1
    ),
)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state directory as `bot sync` leaves it."""
    root = tmp_path_factory.mktemp("ladder")
    generate(
        root / "world",
        size=replace(SIZES["tiny"], train_eras=80, validation_eras=60, rows=(60, 60), factors=0.25),
        persistence=0.8,
    )
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
            "target": "target_ender_20",
            "recipe": SMALL,
            "eras": None,
            "every": 1,
            "chunk": 60,
            "device": "cpu",
        }
        | changes
    )


@pytest.fixture(scope="module")
def benchmark(state):
    """A benchmark of noise in the last chunk."""
    random, rows = np.random.default_rng(0), np.diff(experiment(state).store().offsets)
    return {position: random.random(rows[position]) for position in range(121, 135)}


@pytest.fixture(scope="module")
def climbed(state, benchmark):
    """The whole ladder, climbed once."""
    return e1(experiment(state), benchmark=benchmark)


def test_every_rung_is_scored_in_the_same_eras(climbed):
    """Trees, perceptron, ladder and the cheaper body have one score for each era of the chunks after the first."""
    assert [one.name for one in climbed.rungs] == [TREES, *NETWORKS]
    assert {one.eras for one in climbed.rungs} == {15}
    assert {(one.late, one.early) for one in climbed.differences if one.score == "CORR"} == set(STEPS)
    assert all(one.detectable > 2 * one.error > 0 for one in climbed.differences)


def test_contribution_is_measured_where_there_is_a_benchmark(climbed):
    """BMC is that of the eras whose benchmark is known."""
    assert {one.eras for one in climbed.differences if one.score == "BMC"} == {14}
    assert all(np.isfinite(one.bmc) for one in climbed.rungs)


def test_results_lie_on_disk_without_leftovers(climbed):
    """The result is JSON with its series beside it; checkpoints of finished fits are gone."""
    folder = climbed.path.parent

    assert json.loads(climbed.path.read_text())["rungs"] == plain(climbed.rungs)
    assert len(json.loads((folder / "MLP-1.json").read_text())["CORR"]) == 15
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_finished_rungs_are_not_fitted_again(climbed, state, benchmark, monkeypatch):
    """The same call reads everything and says the same."""
    monkeypatch.setattr(ablation_experiment, "NetworkFitter", None)
    monkeypatch.setattr(ablation_experiment, "fit_trees", None)

    again = e1(experiment(state), benchmark=benchmark)

    assert plain(replace(again, seconds=0.0)) == plain(replace(climbed, seconds=0.0))


def test_interrupted_fit_goes_on_from_its_checkpoint(climbed, state, benchmark, tmp_path):
    """Stopped inside a fit, the ladder ends where an uninterrupted one does."""
    copy = shutil.copytree(state, tmp_path / "state")
    (folder,) = (copy / "experiments").iterdir()
    for path in folder.glob("s+heads+z+x-*"):
        path.unlink()
    steps = []

    def interrupt(stage, _share, note):
        if stage == "network":
            steps.append(note)
            if len(steps) == 40:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        e1(experiment(copy, report_progress=interrupt), benchmark=benchmark)
    (fit,) = [path for path in folder.iterdir() if path.is_dir()]
    kept = list(fit.glob("*.pt"))
    resumed = e1(experiment(copy), benchmark=benchmark)

    assert kept
    assert plain(resumed.rungs) == plain(climbed.rungs)


def test_stacked_predictions_are_out_of_fold(state):
    """Stacked predictions of an era come from trees that were trained before its chunk; the first chunk has none."""
    lab = experiment(state)
    data = lab.read(lab.store())
    folds = lab.folds(data, least=2)
    climb = ablation_experiment._Climb(
        lab=lab, data=data, folds=folds, results=lab.results("e1", lab.store()), benchmark={}
    )
    position = folds[1].validation[3]
    z = climb._stacked(position)
    trees = climb._trees(1, "target_ender_20")

    assert climb._stacked(folds[0].train[0]) is None
    assert z.shape == (len(data.target(position, "target_ender_20")), 2)
    assert np.corrcoef(z[:, 0], climb._predict(trees, position))[0, 1] > 0.9
    assert max(folds[1].train) + 8 < min(folds[1].validation)


def test_benchmark_is_read_from_what_was_synced(state, monkeypatch):
    """Where benchmark models were synced, every scored era has its BMC."""
    monkeypatch.setattr(ablation_experiment, "NETWORKS", {"MLP": NETWORKS["MLP"]})
    monkeypatch.setattr(ablation_experiment, "STEPS", (("MLP", TREES),))
    found = e1(experiment(state))

    assert [(one.score, one.eras) for one in found.differences] == [("CORR", 15), ("BMC", 15)]


def test_recipe_without_history_has_no_ladder(state):
    """There is no rung x without a lookback; the operator is told."""
    flat = replace(SMALL, network=replace(SMALL.network, lookback=0, mixing="none"))

    with pytest.raises(OperatorNeeded, match="has no history to try"):
        e1(experiment(state, recipe=flat))


def test_folds_that_cannot_stop_early_say_so(state):
    """A chunk that leaves no training eras inside a fold is one line for the operator."""
    with pytest.raises(OperatorNeeded, match="choose a larger --chunk"):
        e1(experiment(state, chunk=12))
