"""`bot evaluate importance` on the artifact of a retrain."""

import json

import pytest

from bot.research.experiment import Experiment, plain
from bot.research.interpretation import interpret
from bot.serving.artifacts import ArtifactStore
from bot.training.recipes import DEMO
from models.inference.onnx_weights import restore
from tests.harness.recipes import network_of


@pytest.fixture(scope="module")
def artifact(trained):
    store = ArtifactStore(trained / "artifacts")
    return store.open(store.champions("demo")[0])


@pytest.fixture(scope="module")
def found(trained, artifact):
    """Return the interpretation of the champion's network in the newest eras."""
    experiment = Experiment(
        state_dir=trained,
        data_version="v5.3",
        feature_set="medium",
        target="target_ender_60",
        recipe=DEMO,
        eras=30,
        every=1,
        chunk=30,
        holdout_eras=0,
    )
    return interpret(experiment, artifact, rows=1)


def test_every_part_of_the_input_has_a_loss(found, artifact):
    """Each feature group, history target and run of resolved eras has a loss with an interval."""
    config = restore(artifact.path("tsmixer.onnx")).config

    assert len(found.groups) == len(config.groups)
    assert {one.name for one in found.history_targets} == {"target_ender_20", "target_ender_60"}
    assert [one.name for one in found.history_lags] == ["1", "2 to 3", "4 to 7", "8 to 15", "16"]
    assert all(one.low <= one.value <= one.high for one in (*found.groups, *found.history_targets))


def test_a_trained_network_depends_on_features(found):
    """The interval of the largest loss is above zero."""
    assert found.groups[0].low > 0


def test_curves_cover_the_lookback(found, artifact):
    """There is one weight for each resolved era, target and network."""
    lookback = network_of(DEMO).lookback

    assert {len(one.weights) for one in found.curves} == {lookback}
    assert {one.target for one in found.curves} == set(artifact.manifest["targets"])


def test_explained_rows_add_up(found):
    """Groups, aggregates, history and the missed part of a row add up to its score."""
    highest, lowest = found.rows

    assert highest.score > lowest.score
    for row in found.rows:
        parts = sum(row.groups.values()) + row.engineered + sum(row.history.values())
        assert row.baseline + parts + row.missed == pytest.approx(row.score, abs=1e-6)
        assert abs(row.missed) < 0.05 * abs(row.score - row.baseline)
        assert sum(row.lags) == pytest.approx(sum(row.history.values()), abs=1e-6)


def test_trained_eras_are_marked(found):
    """The demo recipe refits on all eras, so the result marks its eras as seen."""
    assert found.seen


def test_the_result_is_json(found):
    """The result is on disk as JSON."""
    assert json.loads(found.path.read_text())["rows"] == plain(found.rows)
