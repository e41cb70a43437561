"""What is kept of a training: Datasets that are read back, targets that share one, and snapshots to go on from."""

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

from models import gbm, gbm_device
from models.gbm import DatasetCache, GbmOptions, Snapshots, train_gbm, train_targets
from models.gbm_device import DeviceChoice, choose_device
from models.gbm_snapshots import column_seed
from models.trees import TreeModel

TINY = GbmOptions(
    num_trees=12, learning_rate=0.1, max_depth=3, num_leaves=7, colsample_bytree=0.5, min_data_in_leaf=20, threads=1
)
NAMES = [f"feature_{index}" for index in range(8)] + ["mean_a", "mean_b"]
DART = replace(TINY, boosting="dart", num_trees=30, drop_rate=0.4, skip_drop=0.2)


def data(rows=800):
    rng = np.random.default_rng(1)
    features = rng.integers(0, 5, size=(rows, 8), dtype=np.int8)
    features[:, 5] = 2
    features[:, 6] = np.arange(rows) % 8 == 0
    engineered = rng.normal(size=(rows, 2)).astype(np.float32)
    y = 0.5 + 0.05 * (features[:, 0] - 2) + 0.05 * engineered[:, 1] + 0.1 * rng.normal(size=rows)
    return [*features.T, *engineered.T], y.astype(np.float32)


@pytest.fixture
def cache(tmp_path):
    return DatasetCache(folder=tmp_path / "datasets", keep=2)


@pytest.fixture
def built(monkeypatch):
    """Count the Datasets that are made from rows."""
    made, construct = [], gbm.dataset
    monkeypatch.setattr(gbm, "dataset", lambda *args: made.append(1) or construct(*args))
    return made


def train(cache, y=None, options=TINY, digest="rows"):
    columns, usual = data()
    return train_gbm([columns], usual if y is None else y, options, NAMES, rows_digest=digest, cache=cache)


def test_a_dataset_read_back_grows_the_same_trees(cache, built):
    """The second training constructs nothing, and not one bit of its model differs."""
    fresh, kept, none = train(cache), train(cache), train(None)

    assert len(built) == 2
    assert fresh == kept == none


def test_a_dataset_read_back_serves_another_target_leaf_size_and_seed(cache, built):
    """Label, leaf size and seed belong to the training, not to the Dataset."""
    options = replace(TINY, min_data_in_leaf=5, seed=9)
    other = -(data()[1] ** 2)
    train(cache, options=replace(TINY, min_data_in_leaf=200))

    kept, none = train(cache, other, options), train(None, other, options)

    assert len(built) == 2
    assert kept == none


@pytest.mark.parametrize("change", [{"digest": "others"}, {"options": replace(TINY, bin_sample=400)}])
def test_other_rows_and_bins_are_another_dataset(cache, built, change):
    """A file is found by all that made it."""
    train(cache)
    train(cache, **change)

    assert len(built) == 2
    assert len(list(cache.folder.glob("*.dataset"))) == 2


@settings(deadline=None, max_examples=12)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_is_made_anew(tmp_path_factory, place, bit, cut):
    """A single flipped bit, or a missing end, and the Dataset is constructed from the rows again."""
    cache = DatasetCache(folder=tmp_path_factory.mktemp("datasets"))
    usual = train(cache)
    (path,) = cache.folder.glob("*.dataset")
    whole = path.read_bytes()
    content = bytearray(whole)
    at = int(place * len(content))
    content[at] ^= 1 << bit
    path.write_bytes(content[:at] if cut else content)

    again = train(cache)

    assert again == usual
    assert path.read_bytes() == whole


@pytest.mark.parametrize("note", [b"", b"[]", b'{"sha256": "0"}', None])
def test_a_file_without_its_digest_is_not_believed(cache, built, note):
    """What was interrupted between the file and its digest is made again."""
    train(cache)
    (path,) = cache.folder.glob("*.json")
    path.unlink() if note is None else path.write_bytes(note)

    train(cache)

    assert len(built) == 2


def test_only_the_newest_files_stay(cache, built):
    """A file that was used is new again; drafts of processes that are gone are removed."""
    train(cache, digest="a")
    train(cache, digest="b")
    for path in cache.folder.glob("*.dataset"):
        os.utime(path, (1, 1))
    train(cache, digest="a")
    (cache.folder / ".key.999999999").write_bytes(b"draft")
    train(cache, digest="c")
    count = len(built)
    train(cache, digest="a")

    assert len(built) == count
    assert len(list(cache.folder.iterdir())) == 4


def test_a_full_disk_stops_no_training(cache, monkeypatch):
    """The model is trained, and the log says why the Dataset was not kept."""
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("models.gbm_data.shutil.disk_usage", lambda _: usage)
    heard = []
    columns, y = data()

    text = train_gbm([columns], y, TINY, NAMES, rows_digest="rows", cache=cache, on_finding=heard.append)

    assert text == train(None)
    assert len(heard) == 1
    assert "not kept" in heard[0]


def test_a_cache_needs_to_know_its_rows(cache):
    """Without a digest nothing could tell one set of rows from another."""
    with pytest.raises(ValueError, match="digest of its rows"):
        train(cache, digest="")


@pytest.mark.parametrize("scattered", [False, True])
def test_rows_without_a_target_are_no_part_of_its_model(cache, built, scattered):
    """Each target's trees are those of its known rows alone, and equal rows share a Dataset."""
    columns, main = data()
    unknown = np.arange(800) % 3 == 0 if scattered else np.arange(800) >= 600
    short = np.where(unknown, np.nan, -main)
    chunks = [[column[:500] for column in columns], [column[500:] for column in columns]]
    targets = {"main": main, "short": short, "square": main**2, "other": short**2}

    models = train_targets(chunks, targets, TINY, NAMES, rows_digest="rows", cache=cache)
    count = len(built)
    alone = {
        name: train_gbm([[column[np.isfinite(y)] for column in columns]], y[np.isfinite(y)], TINY, NAMES)
        for name, y in targets.items()
    }

    assert count == 2
    assert models == alone
    assert train_targets(chunks, targets, TINY, NAMES, rows_digest="rows", cache=cache) == alone


def test_a_target_known_nowhere_is_refused():
    """An empty target is an error with its name, not a constant model."""
    columns, y = data()

    with pytest.raises(ValueError, match="target none is known nowhere"):
        train_targets([columns], {"main": y, "none": np.full(800, np.nan)}, TINY, NAMES)


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


def test_targets_have_their_own_snapshots(tmp_path):
    """Killed in the second of three targets, the first is not grown again and all are as if alone."""
    columns, y = data()
    targets = {"a": y, "b": -y, "c": y**2}
    grown = []

    def report(name, done, _total):
        grown.append(name)
        if (name, done, len(grown)) == ("b", 6, 18):
            raise Killed

    kept = {"rows_digest": "rows", "snapshots": Snapshots(folder=tmp_path, every=4)}
    with pytest.raises(Killed):
        train_targets([columns], targets, TINY, NAMES, report, **kept)
    grown.clear()

    models = train_targets([columns], targets, TINY, NAMES, report, **kept)

    assert models == train_targets([columns], targets, TINY, NAMES)
    assert grown == ["b"] * 8 + ["c"] * 12


def test_a_process_that_is_shot_leaves_a_snapshot_that_works(tmp_path):
    """SIGKILL in the middle of a tree loses no more than the trees since the snapshot."""
    script = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[2]); import test_gbm_kept as t\n"
        "from pathlib import Path\n"
        "columns, y = t.data()\n"
        "shoot = lambda done, total: done == 10 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.train_gbm([columns], y, t.TINY, t.NAMES, shoot, rows_digest='rows',"
        " snapshots=t.Snapshots(folder=Path(sys.argv[1]), every=4))\n"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", script, str(tmp_path), str(here)]
    done = subprocess.run(command, cwd=here.parent, check=False, env={**os.environ, "PYTHONPATH": str(here.parent)})

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
    monkeypatch.setattr(gbm_device, "_trial", lambda device: "" if device == "gpu" else "no driver")

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
