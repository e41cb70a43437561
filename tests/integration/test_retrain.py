"""A retrain on the tiny world, and its artifact."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from bot.data.era_store import EraStore
from bot.errors import ArtifactInvalid
from bot.members.rows import RawRows
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.submission.submission_file import render


@pytest.fixture(scope="module")
def store(trained):
    return ArtifactStore(trained / "artifacts")


@pytest.fixture(scope="module")
def artifact(store):
    return store.open(store.champions("demo")[0])


def test_both_members_learn_the_planted_signal(artifact):
    """Each member and the ensemble rank held-out eras better than chance."""
    scores = artifact.manifest["scores"]

    assert set(scores) == {"tsmixer", "gbm", "ensemble"}
    assert min(score["mean"] for score in scores.values()) > 0.01


def test_manifest_records_the_training(artifact):
    """The manifest names data version, target, features, eras and recipe."""
    manifest = artifact.manifest

    assert (manifest["data_version"], manifest["target"], manifest["recipe"]["name"]) == (
        "v5.3",
        "target_ender_60",
        "demo",
    )
    assert manifest["eras"]["validation"][1] < manifest["eras"]["holdout"][0] < manifest["eras"]["newest"]


def test_embargo_lies_between_the_blocks(artifact):
    """At least sixteen eras separate training from validation, and validation from the hold-out."""
    eras = artifact.manifest["eras"]

    assert int(eras["validation"][0]) - int(eras["train"][1]) > 16
    assert int(eras["holdout"][0]) - int(eras["validation"][1]) > 16


def test_every_era_of_the_judgement_is_kept(artifact):
    """The manifest summarises the stored scores of every hold-out era, contributions included."""
    kept = json.loads(artifact.path("evaluation.json").read_text())["holdout"]
    corr = kept["scores"]["corr"]["ensemble"]

    assert len(corr) == len(kept["eras"]) == artifact.manifest["recipe"]["holdout_eras"]
    assert np.mean(corr) == pytest.approx(artifact.manifest["scores"]["ensemble"]["mean"])
    assert set(kept["scores"]) == {"corr", "bmc", "mmc"}
    assert sum(score is None for score in kept["scores"]["mmc"]["ensemble"]) == 96 - 27


def test_decision_is_kept_with_its_reasons(artifact):
    """The manifest records that this first challenger was promoted, and the findings."""
    decision = artifact.manifest["decision"]

    assert decision["promote"]
    gates = {"skill", "corr", "bmc", "mmc", "drawdown", "exposure", "golden", "latency", "champion"}
    assert gates | {"purge", "lag", "feature", "too_good"} == {finding["gate"] for finding in decision["findings"]}


def test_artifact_holds_no_pickle(artifact):
    """Every file that serves is ONNX, text, JSON or a plain array."""
    assert set(artifact.manifest["files"]) == {
        "tsmixer.onnx",
        "gbm.txt",
        "judged-tsmixer.onnx",
        "judged-gbm.txt",
        "evaluation.json",
        "preprocess.json",
        "history.npz",
        "marginals.npz",
        "golden.npz",
    }


def test_golden_batch_that_does_not_replay_refuses(store, artifact, tmp_path):
    """An artifact whose members score differently than before is refused."""
    golden = dict(np.load(artifact.path("golden.npz")))
    golden["gbm"] = golden["gbm"] + 1e-3
    np.savez(tmp_path / "golden.npz", **golden)
    files = {name: artifact.path(name) for name in artifact.manifest["files"]}
    content = json.loads(artifact.path("manifest.json").read_text())
    other = ArtifactStore(tmp_path / "artifacts")
    written = other.write(
        files={**files, "golden.npz": tmp_path / "golden.npz"}, manifest=content, at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    with pytest.raises(ArtifactInvalid, match="member gbm replays the golden batch"):
        Scorer(written)


def test_scores_follow_the_rows_when_they_are_shuffled(artifact, trained):
    """Shuffled rows get the same predictions, shuffled."""
    scorer = Scorer(artifact)
    names = scorer.manifest.features
    (folder,) = (trained / "store").iterdir()
    store = EraStore.open(folder)
    values = store.select(names, ()).features(len(store.eras) - 1)
    order = np.random.default_rng(3).permutation(len(values))

    straight, shuffled = (
        scorer.score(RawRows(names=names, values=each, history=scorer.history)) for each in (values, values[order])
    )

    np.testing.assert_allclose(straight.members["tsmixer"][order], shuffled.members["tsmixer"], atol=1e-6)
    np.testing.assert_array_equal(straight.members["gbm"][order], shuffled.members["gbm"])


def test_rendered_file_has_numerais_form():
    """The file has the columns id and prediction, in this order, and no other."""
    assert render(["n1", "n2"], np.array([0.25, 0.75])) == b"id,prediction\nn1,0.250000000\nn2,0.750000000\n"
