"""The promotion gate on trained models: three with a signal to learn, three without."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bot.data.ingest import update
from bot.data.reference_predictions import ReferencePredictions
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.judging._champion_comparison import Challenger, Champions, Holdout, ServingCheck, compare_with_champion
from bot.judging.judge import Ensemble
from bot.judging.promotion import decide
from bot.members.tree_fit import fit_trees
from bot.sandbox.world.generate import generate
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import PREPROCESS
from bot.serving.scorer import Members
from bot.training.recipes import DEMO
from bot.training.training_data import TrainingData, split_eras, used_eras
from bot.training.training_set import TrainingSet
from models.trees.gbm_options import PRESETS
from tests.harness.recipes import remade

pytestmark = pytest.mark.slow

TARGET = "target_ender_60"
RECIPE = remade(DEMO, targets=(TARGET,), weights={"gbm": 1.0}, engineered=())
PLAN = RECIPE.resolved(data_version="v5.3", feature_set="medium", target=TARGET)


class Shuffled:
    """A store's columns with targets shuffled within every era."""

    def __init__(self, columns, seed):
        self._columns, self._seed = columns, seed

    def __getattr__(self, name):
        return getattr(self._columns, name)

    def target(self, position, name):
        known = self._columns.target(position, name)
        return np.random.default_rng([self._seed, position]).permutation(known)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny world in a store."""
    folder = tmp_path_factory.mktemp("gate")
    generate(folder / "world", size="tiny", seed=3)
    data = folder / "world" / "v5.3"
    store = update(folder / "store", [data / "train.parquet", data / "validation.parquet"], version="v5.3")
    metadata = FeatureMetadata.read(data / "features.json")
    features = metadata.members("medium")
    return data, store.select(features, (TARGET,)), metadata.members(RECIPE.neutralizers), metadata.groups(features)


def judged(world, tmp_path, *, every, shuffle=None):
    """Return the decision about trees fitted on the world's training eras, with shuffled targets or not."""
    folder, columns, neutralizers, groups = world
    manifest = Preprocess(
        features=columns.feature_names, groups=groups, missing="median_bin", normalize="centre", engineered=()
    )
    stored = columns if shuffle is None else Shuffled(columns, shuffle)
    data = TrainingSet.build(stored, manifest, targets=(TARGET,), history_targets=(), lookback=0)
    read = TrainingData(main=data, models={"gbm": data}, preprocesses={None: manifest})
    split = split_eras(read, replace(PLAN, recipe=replace(RECIPE, every=every)))
    (tmp_path / PREPROCESS).write_text(manifest.to_json(), encoding="utf-8")
    trees = fit_trees(data, split.train, PRESETS["demo"], TARGET, lambda *_: None)
    (tmp_path / "gbm.txt").write_text(trees, encoding="utf-8")
    ensemble = Ensemble(
        data=data,
        members=Members(tmp_path, PLAN.members),
        models={"gbm": data},
        weights={"gbm": 1.0},
        neutralizers=neutralizers,
        proportion=0.0,
    )
    store = data.store.store
    judgement = compare_with_champion(
        Challenger(
            ensemble=ensemble,
            used=used_eras(split, PLAN),
            suspicious_corr=RECIPE.floors.suspicious_corr,
            serving=ServingCheck(golden=0.0, latency_s=0.1),
            method={},
        ),
        Holdout(
            positions=split.holdout,
            target=TARGET,
            reference=ReferencePredictions.read(folder, store, split.holdout, target=TARGET),
        ),
        Champions(
            artifacts=ArtifactStore(tmp_path / "artifacts"),
            recipe=RECIPE.name,
            synced=SimpleNamespace(store=store, returns=None),
        ),
        report_progress=lambda *_: None,
    )
    return decide(judgement.evidence, RECIPE.floors, target=TARGET)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_trees_that_learned_the_planted_signal_are_promoted(world, tmp_path, every):
    """Trees trained on all eras or a third of them are promoted."""
    decision = judged(world, tmp_path, every=every)

    assert decision.promote, decision.reason


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_trees_grown_on_shuffled_targets_are_not(world, tmp_path, seed):
    """Trees without a signal to learn are refused as possible chance."""
    decision = judged(world, tmp_path, every=1, shuffle=seed)

    assert not decision.promote
    assert "may be chance" in decision.reason
