"""Requests between processes that train a network together, and requests that they refuse."""

import pickle

import numpy as np
import pytest

from bot.cli.models.retrain import check_team_size
from bot.errors import BadConfig, DatasetIncomplete, OperatorNeeded
from bot.features.preprocess import Preprocess
from bot.members.fitting import FitJob
from bot.members.member import units
from bot.members.network import fit
from bot.members.network.team import FitRequest
from bot.training.recipes import DEMO
from bot.training.training_set import TrainingSet
from models.training.distributed import Team
from tests.data.store_files import NAMES, TARGETS, build, small_blocks, write_files
from tests.harness.recipes import network_of, remade


@pytest.fixture
def fit_request(tmp_path, monkeypatch):
    """A request to fit on a store of several blocks."""
    small_blocks(monkeypatch)
    data = TrainingSet.build(
        build(tmp_path, write_files(tmp_path)).select(NAMES, TARGETS),
        Preprocess(features=NAMES, groups={"all": tuple(range(len(NAMES)))}, engineered=("group_mean",)),
        targets=TARGETS[1:],
        history_targets=TARGETS[1:],
        lookback=2,
    )
    plan = DEMO.resolved(data_version="v5.3", feature_set="small", target=TARGETS[2])
    job = FitJob(
        unit=units(plan.members)[0],
        data=data,
        train=(0, 1, 2, 3),
        validation=(6, 7),
        resolved=tuple(range(10)),
        every=1,
        judged=tmp_path / "judged",
        served=tmp_path / "served",
        checkpoints=tmp_path / "checkpoints",
        folds=tmp_path / "folds",
    )
    return FitRequest(job=job, options=network_of(DEMO))


def arrive(sent):
    """Return the request as another process receives it."""
    return pickle.loads(sent)  # noqa: S301 - it comes from the lines below


def test_a_request_brings_the_same_eras(fit_request):
    """The receiving process reads identical rows, targets and windows; no row of the store is sent."""
    sent = pickle.dumps(fit_request)
    there = arrive(sent)
    ours, theirs = (one.job.data.eras(range(12)) for one in (fit_request, there))

    assert (there.job.train, there.job.resolved) == (fit_request.job.train, fit_request.job.resolved)
    assert (there.options, there.job.unit) == (network_of(DEMO), fit_request.job.unit)
    for index in range(12):
        mine, other = ours.batch(index), theirs.batch(index)
        for part in ("features", "engineered", "targets"):
            np.testing.assert_array_equal(getattr(mine, part), getattr(other, part))
        np.testing.assert_array_equal(ours.window(index), theirs.window(index))
    assert fit_request.job.data.store.features(5).tobytes("F") not in sent


def test_a_request_outlives_the_sync_that_replaces_its_store(fit_request):
    """A process that received the request reads the same files even after they were unlinked."""
    before = fit_request.job.data.store.targets(7)
    there = arrive(pickle.dumps(fit_request))
    for path in (fit_request.job.data.store.store.folder / "blocks").iterdir():
        path.unlink()

    np.testing.assert_array_equal(there.job.data.store.targets(7), before)


def test_a_store_that_is_not_there_is_named(fit_request):
    """A host that does not share the state directory is refused before it trains."""
    sent = pickle.dumps(fit_request)
    next((fit_request.job.data.store.store.folder / "blocks").iterdir()).unlink()

    with pytest.raises(DatasetIncomplete, match="do all hosts share the state directory, under the same path"):
        arrive(sent)


def test_eras_that_cannot_be_shared_are_refused_at_once():
    """The message names the recipe and both fixes; a multiple passes, and so does a single process."""
    shared = remade(DEMO, name="shared", network={"eras_per_step": 6})
    check_team_size([shared], Team(size=3))
    check_team_size([DEMO], Team())

    with pytest.raises(BadConfig, match="recipe demo: 3 processes cannot share a step of 1 eras; set eras_per_step"):
        check_team_size([shared, DEMO], Team(size=3))


def test_processes_that_would_train_something_else_are_refused(monkeypatch):
    """A different key or version in one process ends all processes before the first step."""
    monkeypatch.setattr(Team, "gather", lambda _self, run: [run, [*run[:-1], "4.6.0"]])

    with pytest.raises(OperatorNeeded, match="process 1 does not train what process 0 does: its settings"):
        fit._require_equal(["key", "2.13.0", "4.7.0"])
