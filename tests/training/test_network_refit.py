"""The refit of a network: the learning rates of the judged training, on more eras."""

from dataclasses import replace

import pytest

from bot.data.ingest import update
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.members.network import fit
from bot.members.network.validation_score import ValidationScore
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.training.recipes import DEMO
from bot.training.training_set import TrainingSet
from tests.harness.recipes import network_of

TARGET = "target_ender_20"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return the eras of a generated world with 8 features."""
    folder = tmp_path_factory.mktemp("world") / "world"
    generate(folder, size=replace(SIZES["tiny"], train_eras=40, validation_eras=30, rows=(60, 60)))
    names = FeatureMetadata.read(folder / "v5.3" / "features.json").members("small")[:8]
    paths = [folder / "v5.3" / name for name in ("train.parquet", "validation.parquet")]
    store = update(folder / "store", paths, version="v5.3").select(names, [TARGET])
    manifest = Preprocess(features=names, groups={"all": tuple(range(8))}, engineered=())
    return TrainingSet.build(store, manifest, targets=(TARGET,), history_targets=(), lookback=0)


def test_a_refit_has_the_learning_rates_of_the_judged_training(data, tmp_path, monkeypatch):
    """Up to the best step, each step of the refit has the rate that the judged training had there."""
    trained, original = [], fit.train
    monkeypatch.setattr(fit, "train", lambda *given, **named: trained.append(original(*given, **named)) or trained[-1])
    network = replace(
        network_of(DEMO), lookback=0, history_targets=(), mixing="none", epochs=3, loss="pearson", seeds=1
    )
    fitter = fit.NetworkFitter(
        data=data,
        options=network,
        residual=None,
        score=ValidationScore(name="corr", corr_multiplier=0.0, mmc_multiplier=0.0),
        target=TARGET,
        device="cpu",
        checkpoints=tmp_path,
    )
    fitter.fit(tuple(range(20)), tuple(range(30, 38)), tuple(range(40)))
    judged, served = trained
    rates = {one.step: one.learning_rate for one in judged.evaluations}
    shared = {one.step: one.learning_rate for one in served.evaluations if one.step in rates}

    assert len(judged.evaluations) > 1
    assert served.schedule_length == judged.schedule_length
    assert served.best_step == judged.best_step
    assert shared
    assert shared == pytest.approx({step: rates[step] for step in shared})
