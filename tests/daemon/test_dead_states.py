"""
R19: whatever stops a daemon from working, `bot health` says so within two minutes, and what cannot recover ends itself.

1 loop hangs in a call, 2 loop only crashes, 3 scheduler thread dead, 4 ledger locked, 5 disk full, 6 stopped, 7 killed,
8 attempts hang until the close is near, 9 job hangs, 10 last round missed, 11 heartbeat damaged, 12 machine restarted.
A step of the wall clock is none of them. 7, 10, 11 and 12 are in test_heartbeat.py and test_loop.py.
"""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from tests.daemon.paper import OPENED, SLOTS, Paper, confirm, make_loop, steps

from bot.daemon import _jobs
from bot.daemon import process as service
from bot.daemon._jobs import Job, JobSchedule
from bot.record import heartbeat
from bot.record.heartbeat import problems
from bot.record.ledger import Ledger

SLOWEST_S = 120.0


@pytest.fixture
def paper(tmp_path):
    return Paper(Ledger(tmp_path / "ledger.sqlite"))


@pytest.fixture
def loop(paper, tmp_path):
    for slot in SLOTS:
        confirm(paper.ledger, 1405, slot)
    made = make_loop(paper, tmp_path)
    steps(made, 1)
    return made


@pytest.fixture
def soon(monkeypatch):
    """Let a tenth of a second stand for the ninety without a beat."""
    monkeypatch.setattr(heartbeat, "STUCK_S", 0.1)


def ill(folder, reason, timeout_s=120.0):
    """Wait until the daemon is called ill for a reason."""
    end = time.monotonic() + timeout_s
    while not (found := [one for one in problems(folder) if reason in one]) and time.monotonic() < end:
        time.sleep(0.01)
    return bool(found)


def test_the_slowest_verdict_comes_in_time():
    """Beat, watchdog and limits add up to less than two minutes for loop and scheduler."""
    tick_s = 20.0

    assert heartbeat.STUCK_S + tick_s <= SLOWEST_S
    assert service.SILENT_S + service.LOOK_AFTER_S + tick_s <= SLOWEST_S
    assert _jobs.LOOK_S < service.SILENT_S


def test_a_loop_that_hangs_in_a_call_is_ill(loop, paper, tmp_path, soon):
    """A question that is never answered stops the beat."""
    release = threading.Event()
    paper.server_now = lambda: release.wait(30) or OPENED
    thread = threading.Thread(target=steps, args=(loop,))
    thread.start()
    found = ill(tmp_path, "the loop has not come round")
    release.set()
    thread.join()

    assert found


def test_a_loop_that_only_crashes_is_ill(loop, paper, tmp_path, soon):
    """A look that crashes is no sign of life; the first one that does not is."""
    paper.failing = ZeroDivisionError("storm")
    steps(loop, 2)
    found = ill(tmp_path, "the loop has not come round")
    paper.failing = None
    steps(loop, 1)

    assert found
    assert not [one for one in problems(tmp_path) if "come round" in one and " 0 s" not in one]


def test_a_locked_ledger_makes_ill(loop, tmp_path):
    """Another process that holds the ledger is seen at the next look, and forgotten when it lets go."""
    loop.ledger._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    steps(loop, 1)
    held = problems(tmp_path)
    other.execute("ROLLBACK")
    other.close()
    steps(loop, 1)

    assert held[0].startswith("state: the ledger")
    assert problems(tmp_path) == ()


def test_a_full_disk_stops_the_beat(loop, tmp_path, soon, monkeypatch):
    """A heartbeat that cannot be written goes stale, and the loop lives on."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(heartbeat, "publish", fail)
        steps(loop, 2)
        found = ill(tmp_path, "the loop has not come round")
    monkeypatch.setattr(heartbeat, "STUCK_S", SLOWEST_S)
    steps(loop, 1)

    assert found
    assert problems(tmp_path) == ()


def test_attempts_that_hang_are_ill_before_the_close(paper, tmp_path):
    """Twenty minutes before the close an open round without a submission is a reason."""
    loop = make_loop(paper, tmp_path)
    paper.outcome = None
    steps(loop, 2)
    before = problems(tmp_path)
    paper.now = OPENED + timedelta(minutes=41)
    steps(loop, 1)

    assert before == ()
    assert problems(tmp_path) == ("round: round 1405 is not confirmed, 19 minutes left",)


def test_a_step_of_the_wall_clock_is_no_illness(loop, tmp_path):
    """An hour back or forth changes neither the age of a beat nor the verdict."""
    verdicts = []
    for hours in (-1, 1, 3):
        stepped = datetime.now(UTC) + timedelta(hours=hours)

        with time_machine.travel(stepped):
            steps(loop, 1)
        verdicts.append(problems(tmp_path))

    assert verdicts == [(), (), ()]


def test_a_job_that_hangs_is_ended_and_no_dead_scheduler(tmp_path, monkeypatch):
    """Past its limit a job is ended with a reason in the ledger; while it runs, the scheduler counts as alive."""

    class Hanging:
        is_overdue, ended, looks = False, None, 0

        def __init__(self, **about):
            self.limit_s = about["limit_s"]

        def start(self):
            pass

        def poll(self):
            Hanging.looks += 1
            self.is_overdue = Hanging.looks > 2

        def stop(self, *, grace_s):
            Hanging.ended = grace_s

    monkeypatch.setattr(_jobs, "ChildProcess", Hanging)
    job = Job(name="sync", commands=(("sync",),), ledger_path=tmp_path / "ledger.sqlite", every_s=3600.0)
    schedule = JobSchedule([job])
    job.run()

    assert Hanging.ended == _jobs.CHECKPOINT_S
    assert Ledger(tmp_path / "ledger.sqlite").job("sync")["outcome"] == "not done within 43200 s"
    assert schedule.silent_s < 5


ENDS = """
import sys, threading, time
from pathlib import Path
from bot.daemon import process as service
from bot.daemon._jobs import JobSchedule, Job
from bot.record.heartbeat import Heartbeat
folder, dead = Path(sys.argv[1]), sys.argv[2]
service.LOOK_AFTER_S, service.HOPELESS_S, service.SILENT_S = 0.05, 0.3, 0.1
jobs = [Job(name="sync", commands=(("sync",),), ledger_path=folder / "ledger.sqlite", every_s=3600.0)]
schedule, heartbeat = JobSchedule(jobs if dead == "scheduler" else []), Heartbeat(folder=folder)
def beat():
    while True:
        heartbeat.beat()
        time.sleep(0.01)
if dead != "loop":
    threading.Thread(target=beat, daemon=True).start()
print("up", flush=True)
service._watch(heartbeat, schedule, threading.Event())
"""


def process(tmp_path, dead):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ENDS, str(tmp_path), dead]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("dead", ["loop", "scheduler"])
def test_what_cannot_recover_ends_itself(tmp_path, dead):
    """With loop or scheduler dead for good, the process dumps its stacks and exits 75, to be started again."""
    with process(tmp_path, dead) as stuck:
        said = stuck.communicate(timeout=300)[1]
    written = tmp_path / "pulse.json"

    assert stuck.returncode == service.RESTART
    assert "daemon.stuck" in said or "most recent call first" in said
    assert dead == "loop" or "scheduler" in written.read_text()


def test_a_stopped_process_is_ill(tmp_path, soon):
    """A process under SIGSTOP exists and does nothing: the beat says so."""
    with process(tmp_path, "nothing") as stopped:
        stopped.stdout.readline()
        well = not ill(tmp_path, "has not come round", timeout_s=0.05)
        stopped.send_signal(signal.SIGSTOP)
        found = ill(tmp_path, "has not come round")
        stopped.kill()
        stopped.communicate()

    assert found
    assert well
