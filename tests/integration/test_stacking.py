"""A network stacked on trees: their predictions of an era come from earlier eras, and they serve with the network."""

import os
from functools import partial

import numpy as np
import pytest

from bot.data.era_store import EraStore
from bot.errors import CannotSplit
from bot.features.preprocess import Preprocess
from bot.judging.judge import open_judged
from bot.members.network.options import stacked_path
from bot.members.network.setup import class_prior, network_config
from bot.members.network.stacking import Stacker
from bot.reporting._era_measurements import UnseenEras
from bot.reporting._model_checks import check_network
from bot.research.experiment import Experiment
from bot.research.interpretation import interpret
from bot.serving.artifacts import ArtifactStore
from bot.tournament.columns import EMBARGO
from bot.training.recipes import DEMO
from bot.training.training_set import TrainingSet
from models.bins import TARGET_SHARES
from models.inference.ensemble import gaussianize
from models.inference.exported import ExportedNetwork
from models.trees.gbm_options import PRESETS
from models.trees.trees import TreeModel
from tests.harness.recipes import network_of, remade
from tests.training.test_leakage import Garbled

CHUNK = 40
NETWORK = network_of(remade(DEMO, network={"stacked": True, "stacked_chunk": CHUNK}))
TARGETS = ("target_ender_20", "target_ender_60")
LEARNED = tuple(range(100))
RECIPE = """
base = "demo"
targets = ["target_ender_60"]
[weights]
tsmixer = 0.6
gbm = 0.2
gbm_ender_20 = 0.2
[network]
stacked = true
stacked_chunk = 40
epochs = 1
"""


@pytest.fixture(scope="module")
def store(trained):
    (folder,) = (trained / "store").iterdir()
    return EraStore.open(folder)


def training_set(columns):
    names = columns.feature_names
    manifest = Preprocess(features=names, groups={"all": tuple(range(len(names)))}, engineered=("group_mean",))
    return TrainingSet.build(columns, manifest, targets=TARGETS, history_targets=(), lookback=0)


@pytest.fixture(scope="module")
def data(store):
    return training_set(store.select(store.manifest.features[:20], TARGETS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stacking")


def stacker(folder, chunk=CHUNK):
    return Stacker(
        owner="tsmixer",
        trees=PRESETS[NETWORK.stacked_preset],
        chunk=chunk,
        every=3,
        folds=folder / "folds",
        checkpoints=folder / "kept",
    )


@pytest.fixture(scope="module")
def stack(folder):
    """Return a function that stacks a training set and keeps finished work."""
    return partial(stacker(folder).stack, folder=folder)


@pytest.fixture(scope="module")
def stacked(data, stack):
    return stack(data, LEARNED)


def test_eras_before_the_first_fold_are_masked(stacked, data):
    """Eras before the first fold have no predictions, and the network is trained without them."""
    eras = stacked.eras([0, CHUNK - 1, CHUNK])
    shapes = [
        None if eras.batch(index).predictions is None else eras.batch(index).predictions.shape for index in range(3)
    ]

    assert shapes == [None, None, (len(data.target(CHUNK, TARGETS[0])), 2)]
    assert network_config(stacked, NETWORK).stacked
    assert not network_config(data, NETWORK).stacked


def test_predictions_are_ranked_within_the_era_and_centred(stacked):
    """The network receives normal scores, whatever the scale of the trees' predictions."""
    seen = stacked.predictions(CHUNK + 7)

    assert seen.dtype == np.float32
    assert np.abs(seen.mean(axis=0)).max() < 1e-6
    assert seen.std(axis=0) == pytest.approx([1, 1], abs=0.1)
    assert len(np.unique(seen)) > len(seen) / 2


@pytest.mark.parametrize("target", TARGETS)
def test_garbage_after_the_embargo_changes_no_prediction(data, stack, stacked, target):
    """Targets of the embargo, the fold and later eras do not change a fold's predictions in any bit."""
    column, gap = TARGETS.index(target), EMBARGO[int(target[-2:])]
    fold = range(CHUNK, 2 * CHUNK)
    first = CHUNK - gap
    invisible = training_set(Garbled(data.store, range(first, len(data.store.eras))))
    visible = training_set(Garbled(data.store, range(first - 3, first)))

    before = [stacked.predictions(position)[:, column].tobytes() for position in fold]
    after, other = (
        [one.predictions(position)[:, column].tobytes() for position in fold]
        for one in (stack(invisible, LEARNED), stack(visible, LEARNED))
    )

    assert before == after
    assert before != other


def test_later_eras_are_predicted_by_the_files_that_serve(data, stack, folder):
    """Predictions of a held-out era equal those of the artifact's own trees."""
    stacked = stack(data, LEARNED)
    rows = data.prepared(120)
    own = [TreeModel(stacked_path(folder, "tsmixer", name)).predict(rows.features, rows.engineered) for name in TARGETS]

    np.testing.assert_allclose(stacked.predictions(120).T, [gaussianize(one) for one in own], atol=1e-6)


def test_the_folder_of_another_worker_stays(tmp_path):
    """A young folder may be that of a worker whose trees grow there; one that is days old is of a killed process."""
    young, old = tmp_path / "folds" / "young", tmp_path / "folds" / "old"
    for folder in (young, old):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    stacker(tmp_path)._remove_unused()

    assert (young.is_dir(), old.is_dir()) == (True, False)


def test_folds_are_made_once(data, stack, stacked, folder):
    """A longer training, such as the refit, reads the predictions of the folds that it shares."""
    files = {path: path.stat().st_ino for path in (folder / "folds").iterdir()}
    longer = stack(data, tuple(range(115)))

    assert longer.predictions(90).tobytes() == stacked.predictions(90).tobytes()
    assert {path: path.stat().st_ino for path in files} == files


def test_too_few_eras_for_a_fold_are_refused(data, folder):
    """A history too short for a fold is refused instead of trained without predictions."""
    with pytest.raises(CannotSplit, match="make no fold of 10000 eras"):
        stacker(folder, chunk=10_000).stack(data, LEARNED, folder)


def test_the_head_starts_at_the_shares_of_the_data(data):
    """Targets of five bins give Numerai's shares; a target that is always in the middle bin shifts them."""
    constant = Garbled(data.store, ())
    constant.targets = lambda _position: np.full((9, 2), 0.5, dtype=np.float32)

    assert class_prior(data, LEARNED) == pytest.approx(TARGET_SHARES, abs=0.02)
    assert class_prior(training_set(constant), LEARNED)[2] > 0.99
    assert class_prior(data, ()) == TARGET_SHARES


@pytest.mark.slow
def test_a_stacked_network_is_trained_and_submitted(installation):
    """`bot retrain` writes the trees to the artifact and replays them, and a round is confirmed with them."""
    (installation.root / "recipes").mkdir()
    (installation.root / "recipes" / "stacked.toml").write_text(RECIPE, encoding="utf-8")
    installation.settings["BOT_RECIPE"] = "stacked"
    done = installation.bot("retrain")
    store = ArtifactStore(installation.state / "artifacts")
    artifact = store.open(store.identities()[-1])
    # Whether it passes the gate is not the subject of this test.
    store.promote("stacked", artifact.id, by="operator")
    submitted = installation.bot("submit")

    assert done.returncode == 0, done.stderr
    assert {"tsmixer_z_target_ender_60.txt", "gbm.txt", "gbm_ender_20.txt"} <= set(artifact.manifest["files"])
    assert artifact.manifest["scores"]["tsmixer"]["mean"] > 0.01
    assert submitted.returncode == 0, submitted.stderr
    assert "confirmed" in submitted.stdout
    assert artifact.id in submitted.stdout
    assert (installation.state / "training" / "folds").is_dir()
    _looked_into(artifact, installation.state)


def _looked_into(artifact, state):
    """Check that calibration, seeds and importance give a stacked network its trees' predictions."""
    taken = []
    logits = ExportedNetwork.logits

    def watched(network, features, engineered=None, window=None, predictions=None, **options):
        taken.append(predictions)
        return logits(network, features, engineered, window, predictions, **options)

    experiment = Experiment(
        state_dir=state, data_version="v5.3", feature_set="medium", target=artifact.manifest["target"], recipe=DEMO,
        eras=2, every=1, chunk=2, holdout_eras=0,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExportedNetwork, "logits", watched)
        ensemble = open_judged(artifact, state)
        eras = UnseenEras(artifact=artifact, ensemble=ensemble, positions=(90, 91), target=artifact.manifest["target"])
        check_network(eras, lambda *_: None)
        explained = interpret(experiment, artifact, rows=1).rows

    assert len(taken) > 2
    assert all(one is not None and one.std() > 0.5 for one in taken)
    for row in explained:
        assert set(row.stacked) == {"target_ender_60"}
        parts = (*row.groups.values(), row.engineered, *row.history.values(), *row.stacked.values(), row.missed)
        assert row.baseline + sum(parts) == pytest.approx(row.score, abs=1e-6)
