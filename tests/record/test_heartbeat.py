"""Every dead state is found from the heartbeat alone, and a healthy daemon has no problems."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from bot.record import heartbeat as module
from bot.record.heartbeat import DAEMON, STUCK_S, Heartbeat, is_running, problems
from bot.system import redaction
from bot.system.moments import local

FILE = f"{DAEMON}.json"


@pytest.fixture
def beating(tmp_path):
    heartbeat = Heartbeat(folder=tmp_path)
    heartbeat.beat(round=1405)
    return heartbeat


def change(folder, **fields):
    path = folder / FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_daemon_that_beats_is_well(beating, tmp_path):
    """Nothing is wrong right after a beat."""
    assert problems(tmp_path) == ()


@pytest.mark.parametrize(
    ("name", "reason"), [("round", "round 1405 was missed"), ("state", "disk full"), ("scheduler", "no sign of it")]
)
def test_a_problem_is_listed_until_it_ends(beating, tmp_path, name, reason):
    """A problem that the loop marks appears with the next beat, and disappears with the beat after its end."""
    beating.mark(name, reason)
    beating.beat()
    found = problems(tmp_path)
    beating.mark(name, None)
    beating.beat()

    assert found == (f"{name}: {reason}",)
    assert problems(tmp_path) == ()


def test_a_loop_that_does_not_come_round_is_stuck(beating, tmp_path):
    """An old beat means a stuck loop, at any wall-clock time."""
    record = json.loads((tmp_path / FILE).read_text())
    change(tmp_path, beat=record["beat"] - STUCK_S - 1, at="2099-01-01T00:00:00+00:00")

    assert "has not come round for 91 s" in problems(tmp_path)[0]


def test_a_beat_of_another_boot_is_a_daemon_that_is_gone(beating, tmp_path):
    """A heartbeat from an earlier boot of the machine counts as a dead daemon."""
    change(tmp_path, boot="another")

    assert "is gone" in problems(tmp_path)[0]


def test_a_daemon_that_was_stopped_did_not_die(beating, tmp_path):
    """A process that ended because it was asked to is called stopped, with the time and the command that starts it."""
    running = is_running(tmp_path)
    beating.end()

    assert (running, is_running(tmp_path)) == (True, False)
    assert problems(tmp_path) == (f"it was stopped at {local(datetime.now(UTC))}; start it with `bot run`",)


def test_a_killed_daemon_is_gone(tmp_path):
    """A killed process is found missing without a request to it."""
    script = "import sys, time; from pathlib import Path; from bot.record.heartbeat import Heartbeat; Heartbeat(folder=Path(sys.argv[1])).beat(); print('beats', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    ) as process:
        process.stdout.readline()
        before = problems(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert before == ()
    assert f"process {process.pid} is gone" in problems(tmp_path)[0]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": 1, "boot": "x", "beat": "?", "troubles": {}}']
)
def test_a_damaged_heartbeat_is_no_sign_of_life(tmp_path, content):
    """An empty or incomplete file does not count as a beat."""
    (tmp_path / FILE).write_bytes(content)

    assert "cannot be read" in problems(tmp_path)[0]


def test_no_heartbeat_is_no_daemon(tmp_path):
    """Without a heartbeat file, the message contains the command that starts the daemon."""
    assert "start it with `bot run`" in problems(tmp_path)[0]


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        ({"f_flag": os.ST_RDONLY}, "mounted read-only"),
        ({"f_bavail": 0}, "0.0 MB of room"),
        ({"f_bavail": 100}, "0.4 MB of room"),
    ],
)
def test_a_disk_without_room_for_a_round_is_a_problem(beating, tmp_path, monkeypatch, disk, words):
    """A heartbeat may fit on a disk that has no room for a round; the daemon is not healthy then."""
    found = SimpleNamespace(**{"f_flag": 0, "f_bavail": 1 << 20, "f_frsize": 4096} | disk)
    monkeypatch.setattr(module.os, "statvfs", lambda _path: found)

    assert words in problems(tmp_path)[0]


def test_a_disk_that_does_not_answer_is_a_problem(beating, tmp_path, monkeypatch):
    """A disk that returns errors is named."""

    def fail(_path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.os, "statvfs", fail)

    assert "Input/output error" in problems(tmp_path)[0]


def test_the_reason_of_a_problem_holds_no_secret(beating, tmp_path):
    """The file of the heartbeat, which other processes print, is written without secrets."""
    redaction.hide(["VERYSECRET"])
    beating.mark("numerai", "refused VERYSECRET")
    beating.beat()

    assert problems(tmp_path) == ("numerai: refused ***",)


def test_a_disk_that_hangs_holds_up_no_reader_of_the_problems(tmp_path, monkeypatch):
    """While the write of a beat does not return, watchdog and pages can mark and read problems."""
    hanging, go_on = threading.Event(), threading.Event()

    def hang(*_):
        hanging.set()
        go_on.wait(60)

    monkeypatch.setattr(module, "publish", hang)
    heart = Heartbeat(folder=tmp_path)
    beat = threading.Thread(target=heart.beat, daemon=True)
    beat.start()
    hanging.wait(60)
    marked = heart.mark("scheduler", "no sign of it")
    read = heart.problems
    go_on.set()
    beat.join(60)

    assert (marked, read) == (True, {"scheduler": "no sign of it"})


def test_a_beat_that_cannot_be_written_is_a_sign_of_the_loop(tmp_path, monkeypatch):
    """On a full disk the loop has come round all the same, so the watchdog does not end the process."""
    heart = Heartbeat(folder=tmp_path)
    before = heart.last_beat

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "publish", full)
    with pytest.raises(OSError, match="No space"):
        heart.beat()

    assert heart.last_beat > before


@pytest.mark.parametrize(("about", "trains"), [({}, True), ({"trains": True}, True), ({"trains": False}, False)])
def test_a_process_that_does_not_train_is_none_that_trains(tmp_path, about, trains):
    """The heartbeat says whether its process runs the job that trains; one of an older bot may."""
    Heartbeat(folder=tmp_path).beat(**about)

    assert is_running(tmp_path)
    assert is_running(tmp_path, trains=True) is trains
