"""A training of trees that was killed goes on from its last snapshot; DART and a missing GPU begin anew, and say so."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.trees import gbm
from models.trees._gbm_snapshots import column_seed
from models.trees.gbm import DeviceChoice, Snapshots, choose_device, train_gbm
from models.trees.trees import TreeModel
from tests.models.trees.tree_rows import DART, NAMES, TINY, data, train

pytestmark = pytest.mark.slow


class Killed(Exception):
    """Stands for the end of the process."""


def interrupted(snapshots, at, options=TINY, y=None, threads=1):
    """Train until tree *at* is done, and die."""

    def report(done, _total):
        if done == at:
            raise Killed

    columns, usual = data()
    options = replace(options, threads=threads)
    values = usual if y is None else y
    with pytest.raises(Killed):
        train_gbm([columns], values, options, NAMES, report, rows_digest="rows", snapshots=snapshots)


def resumed(snapshots, options=TINY, y=None):
    """Train again; return the model and the trees that were grown."""
    columns, usual = data()
    heard = []
    text = train_gbm(
        [columns],
        usual if y is None else y,
        options,
        NAMES,
        lambda done, _total: heard.append(done),
        rows_digest="rows",
        snapshots=snapshots,
    )
    return text, heard


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("at", [4, 5, 11])
def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path, share, at):
    """The model is plain LightGBM's, to the last letter, and only trees after the snapshot are grown again."""
    options = replace(TINY, colsample_bytree=share)
    snapshots = Snapshots(folder=tmp_path, every=4)
    interrupted(snapshots, at, options)

    text, grown = resumed(snapshots, options)

    assert text == train(None, options=options)
    assert grown == list(range(at - at % 4 + 1, 13))


def test_killed_again_and_again(tmp_path):
    """Every continuation may itself be killed, and a training that ended answers at once."""
    snapshots = Snapshots(folder=tmp_path, every=2)
    for at in (3, 7, 9):
        interrupted(snapshots, at)

    text, grown = resumed(snapshots)
    again, nothing = resumed(snapshots)

    assert text == again == train(None)
    assert (grown, nothing) == ([9, 10, 11, 12], [])


@pytest.mark.parametrize("name", ["progress.json", "*.trees", "*.scores"])
def test_a_damaged_snapshot_is_not_used(tmp_path, name):
    """Rather from the beginning than from damage."""
    snapshots = Snapshots(folder=tmp_path, every=4)
    interrupted(snapshots, 9)
    (path, *_) = tmp_path.glob(name)
    path.write_bytes(path.read_bytes()[:-1])

    text, grown = resumed(snapshots)

    assert text == train(None)
    assert len(grown) == 12


def test_another_training_does_not_take_the_snapshot(tmp_path):
    """Another label or size begins anew; the next snapshot takes the place of the old one."""
    snapshots = Snapshots(folder=tmp_path, every=4)
    interrupted(snapshots, 9)
    other = data()[1] ** 2

    text, grown = resumed(snapshots, y=other)

    assert text == train(None, other)
    assert len(grown) == 12
    assert resumed(snapshots, y=other)[1] == []


def test_a_process_that_is_shot_leaves_a_snapshot_that_works(tmp_path):
    """SIGKILL in the middle of a tree loses no more than the trees since the snapshot."""
    script = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[2]); from tests.models.trees import tree_rows as t; from models.trees.gbm import Snapshots, train_gbm\n"
        "from pathlib import Path\n"
        "columns, y = t.data()\n"
        "shoot = lambda done, total: done == 10 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "train_gbm([columns], y, t.TINY, t.NAMES, shoot, rows_digest='rows',"
        " snapshots=Snapshots(folder=Path(sys.argv[1]), every=4))\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", script, str(tmp_path), root]
    done = subprocess.run(command, cwd=root, check=False, env={**os.environ, "PYTHONPATH": root})

    text, grown = resumed(Snapshots(folder=tmp_path, every=4))

    assert done.returncode == -signal.SIGKILL
    assert grown == [9, 10, 11, 12]
    assert text == train(None)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 32_767), trees=st.integers(0, 40), columns=st.integers(1, 60), share=st.floats(0.01, 0.99))
def test_the_seed_after_many_trees_is_where_single_steps_lead(seed, trees, columns, share):
    """The jump equals LightGBM's generator walked number by number."""
    drawn = max(int(columns * share + 0.5), 1)
    each = 0 if drawn >= columns else columns if drawn > 1 and drawn > columns / np.log2(drawn) else drawn
    state = seed
    for _ in range(trees * each):
        state = (214_013 * state + 2_531_011) % 2**32

    assert column_seed(seed, trees=trees, columns=columns, share=share) % 2**32 == state


def test_dart_is_served_to_the_last_bit(tmp_path):
    """Trees that were left out and shrunk are evaluated exactly as LightGBM does."""
    columns, y = data()
    text = train_gbm([columns], y, DART, NAMES)
    (tmp_path / "gbm.txt").write_text(text)

    found = TreeModel(tmp_path / "gbm.txt").predict(np.stack(columns[:8], axis=1), np.stack(columns[8:], axis=1))

    X = np.stack(columns, axis=1).astype(np.float64)
    assert "[boosting: dart]" in text
    assert text != train(None, options=replace(DART, boosting="gbdt"))
    assert (found == lightgbm.Booster(model_str=text).predict(X, num_threads=1)).all()


def test_dart_starts_anew(tmp_path):
    """What dart leaves out depends on all trees before, so no snapshot is taken."""
    snapshots = Snapshots(folder=tmp_path, every=4)
    interrupted(snapshots, 9, DART)

    text, grown = resumed(snapshots, DART)

    assert text == train(None, options=DART)
    assert (len(grown), list(tmp_path.iterdir())) == (30, [])


def test_a_gpu_that_lightgbm_was_not_built_for_is_a_finding():
    """The choice falls back to the CPU and says why, in one line."""
    choice = choose_device("cuda")

    assert choice.device == "cpu"
    assert "CUDA" in choice.finding
    assert "\n" not in choice.finding


def test_a_gpu_is_taken_where_the_trial_succeeds(monkeypatch):
    """CUDA is tried first, then OpenCL."""
    monkeypatch.setattr(gbm, "_trial", lambda device: "" if device == "gpu" else "no driver")

    assert choose_device("auto") == DeviceChoice(device="gpu")
    assert choose_device("cpu") == DeviceChoice(device="cpu")


def test_a_gpu_that_fails_in_training_is_given_up(monkeypatch):
    """The trees are then grown on the CPU, and the log hears of it once."""
    monkeypatch.setattr(gbm, "choose_device", lambda _: DeviceChoice(device="cuda"))
    columns, y = data()
    heard = []

    text = train_gbm([columns], y, replace(TINY, device="auto"), NAMES, on_finding=heard.append)

    assert text == train(None)
    assert len(heard) == 1
    assert "cuda" in heard[0]
