"""E1 on a small world: all variants have the same folds, z is out of fold, and finished parts are not fitted again."""

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
from tests.harness.recipes import network_of, remade

pytestmark = pytest.mark.slow

SMALL = remade(
    DEMO,
    targets=("target_ender_20", "target_jasper_20"),
    refit=False,
    network={
        "lookback": 6,
        "history_targets": ("target_ender_20",),
        "encoder": (16,),
        "hidden": 8,
        "blocks": 1,
        "epochs": 1,
    },
)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Return a state directory as `bot sync` leaves it."""
    root = tmp_path_factory.mktemp("ablation")
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
    """Return random benchmark predictions of the last chunk's eras but the last."""
    random, rows = np.random.default_rng(0), np.diff(experiment(state).store().offsets)
    return {position: random.random(rows[position]) for position in range(121, 135)}


@pytest.fixture(scope="module")
def result(state, benchmark):
    """Return the result of the experiment, run once."""
    return e1(experiment(state), benchmark=benchmark)


def test_every_variant_is_scored_in_the_same_eras(result):
    """LightGBM and every variant have one score for each era of the chunks after the first."""
    assert [one.name for one in result.rungs] == [TREES, *NETWORKS]
    assert {one.eras for one in result.rungs} == {15}
    assert {(one.late, one.early) for one in result.differences if one.score == "CORR"} == set(STEPS)
    assert all(one.detectable > 2 * one.error > 0 for one in result.differences)


def test_contribution_is_measured_where_there_is_a_benchmark(result):
    """BMC is measured in the eras with benchmark predictions."""
    assert {one.eras for one in result.differences if one.score == "BMC"} == {14}
    assert all(np.isfinite(one.bmc) for one in result.rungs)


def test_results_lie_on_disk_without_leftovers(result):
    """The result and its series are JSON files in one folder, without checkpoints of finished fits."""
    folder = result.path.parent

    assert json.loads(result.path.read_text())["rungs"] == plain(result.rungs)
    assert len(json.loads((folder / "MLP-1.json").read_text())["CORR"]) == 15
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_finished_variants_are_not_fitted_again(result, state, benchmark, monkeypatch):
    """The same call reads all parts and returns the same result."""
    monkeypatch.setattr(ablation_experiment, "NetworkFitter", None)
    monkeypatch.setattr(ablation_experiment, "fit_trees", None)

    again = e1(experiment(state), benchmark=benchmark)

    assert plain(replace(again, seconds=0.0)) == plain(replace(result, seconds=0.0))


def test_interrupted_fit_continues_from_its_checkpoint(result, state, benchmark, tmp_path):
    """An experiment that was stopped inside a fit has the result of an uninterrupted one."""
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
    assert plain(resumed.rungs) == plain(result.rungs)


def test_stacked_predictions_are_out_of_fold(state):
    """Stacked predictions of an era come from trees that were trained before its chunk; the first chunk has none."""
    one = experiment(state)
    data = one.read(one.store())
    folds = one.folds(data, least=2)
    variants = ablation_experiment._Variants(
        experiment=one,
        data=data,
        folds=folds,
        results=one.results("e1", one.store()),
        benchmark={},
        network=network_of(SMALL),
    )
    position = folds[1].validation[3]
    z = variants._stacked(position)
    trees = variants._trees(1, "target_ender_20")

    assert variants._stacked(folds[0].train[0]) is None
    assert z.shape == (len(data.target(position, "target_ender_20")), 2)
    assert np.corrcoef(z[:, 0], variants._predict(trees, position))[0, 1] > 0.9
    assert max(folds[1].train) + 8 < min(folds[1].validation)


def test_benchmark_is_read_from_the_synced_files(state, monkeypatch):
    """With synced benchmark models, every scored era has a BMC."""
    monkeypatch.setattr(ablation_experiment, "NETWORKS", {"MLP": NETWORKS["MLP"]})
    monkeypatch.setattr(ablation_experiment, "STEPS", (("MLP", TREES),))
    found = e1(experiment(state))

    assert [(one.score, one.eras) for one in found.differences] == [("CORR", 15), ("BMC", 15)]


def test_recipe_without_history_is_refused(state):
    """A recipe without a lookback has no history to try."""
    flat = remade(SMALL, network={"lookback": 0, "mixing": "none"})

    with pytest.raises(OperatorNeeded, match="has no history to try"):
        e1(experiment(state, recipe=flat))


def test_folds_too_short_for_early_stopping_are_refused(state):
    """A chunk that leaves too few training eras in a fold is refused, and the message names the option to change."""
    with pytest.raises(OperatorNeeded, match="choose a larger --chunk"):
        e1(experiment(state, chunk=12))
