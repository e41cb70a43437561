"""Progress of work that runs: kept while it does, gone when it ends, and never in its way."""

import json
import threading
import time

import pytest

from bot.record import running
from bot.record.running import WorkState, keep_progress, running_work
from tests.harness.page_states import working

STATE = WorkState(stage="fit gbm", share=0.42, note="trees", number=3, count=8, stage_s=1080.0, all_s=6000.0)


def written(folder):
    """Wait until the work's thread has written."""
    path, pause = folder / "progress" / "retrain.json", threading.Event()
    while not path.is_file():
        pause.wait(0.01)
    return path


def test_progress_is_kept_while_the_work_goes_on(tmp_path):
    """Another process reads stage, share and time left; afterwards nothing is left."""
    with keep_progress(tmp_path, "retrain", lambda: STATE):
        path = written(tmp_path)
        (found,) = running_work(tmp_path)

    assert (found["name"], found["stage"], found["share"]) == ("retrain", "fit gbm", 0.42)
    assert found["line"] == "[3/8] fit gbm: trees · 18 min left · all: 1 h 40 min left"
    assert not path.exists()
    assert running_work(tmp_path) == []


def test_work_that_fails_leaves_nothing(tmp_path):
    """An error ends the record as an end does."""

    def work():
        with keep_progress(tmp_path, "retrain", lambda: STATE):
            written(tmp_path)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        work()

    assert running_work(tmp_path) == []


def test_work_goes_on_where_its_progress_cannot_be_written(tmp_path):
    """A folder that cannot be made costs the record, not the work."""
    (tmp_path / "progress").write_text("a file in the way")
    tried = threading.Event()

    def state():
        tried.set()
        return STATE

    with keep_progress(tmp_path, "retrain", state):
        assert tried.wait(60)

    assert running_work(tmp_path) == []


@pytest.mark.parametrize(
    "about",
    [
        {"beat": -1e9},
        {"boot": "another"},
        {"share": "x"},
        {"share": None},
        {"stage": 5, "note": None},
        {"beat": None},
        {"number": "many", "boot": 1},
    ],
)
def test_progress_of_killed_work_and_damaged_files_are_left_out(tmp_path, about):
    """A process that was killed leaves its file, which is old after half a minute or after the next boot."""
    working(tmp_path, **about)
    (tmp_path / "progress" / "other.json").write_text("[]")
    (tmp_path / "progress" / "broken.json").write_text("{")

    assert running_work(tmp_path) == []


def test_a_share_is_within_its_bounds(tmp_path):
    """More than everything is everything."""
    working(tmp_path, share=7)

    assert running_work(tmp_path)[0]["share"] == 1.0


def test_a_file_is_old_after_half_a_minute(tmp_path, monkeypatch):
    """The age is that of the last write."""
    working(tmp_path)
    now = time.monotonic() + running.FRESH_S + 1
    monkeypatch.setattr(running.time, "monotonic", lambda: now)

    assert running_work(tmp_path) == []
    assert json.loads((tmp_path / "progress" / "retrain.json").read_text())["stage"] == "fit gbm"
