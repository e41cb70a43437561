"""E1 on a small world: a comparison whose recipes have one input of the network more in each step."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from bot.data.ingest import update
from bot.errors import OperatorNeeded
from bot.research.ablation import NETWORKS, STEPS, TREES, ladder
from bot.research.experiment import Experiment
from bot.research.recipe_comparison import BENCHMARK, compare
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.training.recipes import DEMO
from tests.harness.recipes import network_of, remade

pytestmark = pytest.mark.slow

SMALL = remade(
    DEMO,
    targets=("target_ender_20", "target_jasper_20"),
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
    size = replace(SIZES["tiny"], train_eras=80, validation_eras=60, rows=(60, 60), factors=0.25)
    generate(root / "world", size=size, persistence=0.8)
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
            "every": 2,
            "chunk": 60,
            "holdout_eras": 0,
            "device": "cpu",
        }
        | changes
    )


def test_every_variant_is_scored_in_the_same_eras(state):
    """LightGBM and every variant have one score for each era of the folds, and the steps are those of the ladder."""
    one = experiment(state)
    result = compare(one, ladder(one), pairs=STEPS)

    assert [row.name for row in result.rows] == [TREES, *NETWORKS, BENCHMARK]
    assert {(found.late, found.early) for found in result.differences if found.score == "CORR"} == set(STEPS)
    for name in (TREES, *NETWORKS):
        assert np.isfinite(result.series[name]["CORR"]).all()
    assert all(found.detectable > 2 * found.error > 0 for found in result.differences)


def test_a_step_adds_one_input():
    """Heads, stacked predictions and history are added one by one; everything else stays."""
    variants = {one.name: one for one in ladder(experiment(None))}
    options = {name: network_of(variants[name]) for name in NETWORKS}

    assert variants["s"].targets == ()
    assert variants["s+heads"].targets == SMALL.targets
    assert not options["s+heads"].stacked
    assert options["s+heads+z"] == replace(options["s+heads"], stacked=True)
    assert options["s+heads+z+x"] == replace(options["s+heads+z"], lookback=6)
    assert options["by era"] == replace(options["s+heads+z+x"], mixing="era")
    assert [one.kind for one in variants[TREES].members] == ["lightgbm"]


def test_recipe_without_history_is_refused():
    """A recipe without a lookback has no history to try, and one without a network has nothing at all."""
    for recipe in (remade(SMALL, network={"lookback": 0, "mixing": "none"}), remade(SMALL, weights={"gbm": 1.0})):
        with pytest.raises(OperatorNeeded, match="has no history to try"):
            ladder(experiment(None, recipe=recipe))


def test_folds_too_short_for_early_stopping_are_refused(state):
    """A chunk that leaves too few training eras in a fold is refused, and the message names the option to change."""
    one = experiment(state, chunk=12)
    with pytest.raises(OperatorNeeded, match="choose a larger --chunk"):
        compare(one, ladder(one), pairs=STEPS)
