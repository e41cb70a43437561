"""A retrain that is stopped saves a checkpoint; the next one continues and ends with the same models."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.data.era_store import EraStore
from bot.features.preprocess import Preprocess
from bot.members.tree_fit import fit_trees
from bot.serving.artifacts import ArtifactStore
from bot.system.signals import stop_on_signal
from bot.training.training_set import TrainingSet
from models.stopping import TrainingStopped
from models.trees.gbm_options import PRESETS
from tests.harness.installation import LIMIT_S

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("tsmixer.onnx", "gbm.txt")


@pytest.fixture
def untrained(installation, trained):
    """The same bot with its data, without a champion."""
    shutil.rmtree(installation.state)
    for name in ("data", "store", "history"):
        shutil.copytree(trained / name, installation.state / name)
    shutil.copy(trained / "speed.json", installation.state)
    return installation


def interrupt(installation, how, *, after):
    """Send a signal to `bot retrain` once it has logged *after*; return exit code, last lines, and seconds to the end."""
    environment = {**installation.environment, "PYTHONPATH": str(ROOT), "BOT_LOG_FORMAT": "json"}
    command = installation.command("retrain")
    with subprocess.Popen(
        command, env=environment, cwd=installation.root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("{") and json.loads(line)["event"] == after:
                break
        asked = time.monotonic()
        process.send_signal(how)
        rest = process.stderr.read()
        code = process.wait(timeout=LIMIT_S)
    return code, rest.splitlines(), time.monotonic() - asked


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_retrain_continues(untrained, trained, how):
    """After a stop during the network's training, the second run makes the same models as an undisturbed run."""
    code, lines, seconds = interrupt(untrained, how, after="network.evaluated")
    kept = list((untrained.state / "training" / "demo").glob("*.pt"))
    again = untrained.bot("retrain", BOT_LOG_FORMAT="json")
    events = [json.loads(line) for line in again.stderr.splitlines() if line.startswith("{")]
    first = next(event for event in events if event["event"] == "network.evaluated")
    resumed, whole = (
        store.open(store.champions("demo")[0])
        for store in (ArtifactStore(untrained.state / "artifacts"), ArtifactStore(trained / "artifacts"))
    )

    if how == signal.SIGTERM:
        assert code == 75
        assert lines[-1].startswith("error: stopped after step")
        assert seconds < 30
    assert len(kept) == 1
    assert again.returncode == 0
    assert first["step"] > 20
    assert [resumed.path(name).read_bytes() == whole.path(name).read_bytes() for name in MODELS] == [True, True]
    assert not list((untrained.state / "training").iterdir())
    assert not list(untrained.state.glob("retrain-*"))


def test_stopped_trees_continue(trained, tmp_path):
    """No tree is grown twice, the model equals that of an undisturbed training, and a finished model is read back."""
    (folder,) = (trained / "store").iterdir()
    store = EraStore.open(folder)
    target, shares = "target_ender_20", []
    data = TrainingSet.build(
        store.select(store.manifest.features[:20], (target,)),
        Preprocess(features=store.manifest.features[:20], groups={"all": tuple(range(20))}, engineered=("group_mean",)),
        targets=(target,),
        history_targets=(),
        lookback=0,
    )

    def report_progress(_stage, share, note):
        if "trees" in note:
            shares.append(round(share * 100))

    def fit(**given):
        return fit_trees(data, range(0, 90, 3), PRESETS["demo"], target, report_progress, **given)

    with pytest.raises(TrainingStopped, match="stopped after tree 30 of 100"):
        fit(checkpoints=tmp_path, should_stop=lambda: len(shares) == 30)
    resumed = fit(checkpoints=tmp_path)
    grown = shares.copy()

    assert grown == [*range(31), 0, *range(31, 101)]
    assert fit(checkpoints=tmp_path) == resumed == fit()
    assert shares == [*grown, *range(101)]


def test_work_that_does_not_check_the_flag_is_ended(tmp_path):
    """A process inside a library exits with the code of "try later" after the grace period."""
    code = (
        "import sys; from bot.system.signals import stop_on_signal\n"
        "with stop_on_signal(grace_s=0.2):\n    print('in', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes) as process:
        assert process.stdout.readline() == "in\n"
        process.send_signal(signal.SIGTERM)
        message = process.stderr.read()

    assert process.returncode == 75
    assert message == "error: stopped by SIGTERM after 0.2 s; run it again to continue\n"


def test_the_flag_is_set_by_the_signal():
    """The function returns True after the signal, and the former handler is restored at the end."""
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signal() as should_stop:
        before_signal = should_stop()
        signal.raise_signal(signal.SIGTERM)
        for _ in range(60_000):
            if should_stop():
                break
            time.sleep(0.001)
        after_signal = should_stop()

    assert (before_signal, after_signal) == (False, True)
    assert signal.getsignal(signal.SIGTERM) is before
