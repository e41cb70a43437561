"""
R19: `bot health` reports a daemon that cannot work within two minutes; a process that cannot recover ends itself.

The states: 1 loop hangs in a call, 2 loop only crashes, 3 scheduler thread dead, 4 ledger locked, 5 disk full, 6 stopped,
7 killed, 8 attempts hang until the close is near, 9 job hangs, 10 last round missed, 11 heartbeat damaged, 12 machine
restarted. A step of the wall clock is not one of them. 7, 10, 11 and 12 are in test_heartbeat.py and test_loop.py.
"""

import array
import errno
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import termios
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from bot.daemon import _jobs
from bot.daemon import process as service
from bot.daemon._jobs import Job, JobSchedule
from bot.record import heartbeat
from bot.record.heartbeat import problems
from bot.record.ledger import Ledger
from tests.daemon.fakes import OPENED, SLOTS, FakeTournament, confirm, make_loop, steps

SLOWEST_S = 120.0


@pytest.fixture
def tournament(tmp_path):
    return FakeTournament(Ledger(tmp_path / "ledger.sqlite"))


@pytest.fixture
def loop(tournament, tmp_path):
    for slot in SLOTS:
        confirm(tournament.ledger, 1405, slot)
    made = make_loop(tournament, tmp_path)
    steps(made, 1)
    return made


@pytest.fixture
def soon(monkeypatch):
    """Shorten the ninety seconds without a beat to a tenth of a second."""
    monkeypatch.setattr(heartbeat, "STUCK_S", 0.1)


def unhealthy(folder, reason, timeout_s=120.0):
    """Wait until a problem of the daemon has *reason* in its text; return whether it came."""
    end = time.monotonic() + timeout_s
    while not (found := [one for one in problems(folder) if reason in one]) and time.monotonic() < end:
        time.sleep(0.01)
    return bool(found)


def becomes_healthy(folder, timeout_s=120.0):
    """Wait for a moment without a problem, since a busy machine may keep a process from its beat; return whether it came."""
    end = time.monotonic() + timeout_s
    while (found := problems(folder)) and time.monotonic() < end:
        time.sleep(0.01)
    return not found


def test_the_slowest_verdict_comes_in_time():
    """Beat, watchdog and limits add up to less than two minutes for loop and scheduler."""
    tick_s = 20.0

    assert heartbeat.STUCK_S + tick_s <= SLOWEST_S
    assert service.SILENT_S + service.LOOK_AFTER_S + tick_s <= SLOWEST_S
    assert _jobs.LOOK_S < service.SILENT_S


def test_a_loop_that_hangs_in_a_call_is_unhealthy(loop, tmp_path, soon):
    """A disk without an answer stops the beat; Numerai without one does not, since the loop never waits for it."""
    release = threading.Event()
    loop.on_settled = lambda: release.wait(30)
    loop._settled = False
    thread = threading.Thread(target=steps, args=(loop,))
    thread.start()
    found = unhealthy(tmp_path, "the loop has not come round")
    release.set()
    thread.join()

    assert found


def test_a_loop_that_only_crashes_is_unhealthy(loop, tournament, tmp_path, soon):
    """A look that crashes gives no beat; the first look that succeeds does."""
    tournament.failing = ZeroDivisionError("storm")
    steps(loop, 2)
    found = unhealthy(tmp_path, "the loop has not come round")
    tournament.failing = None
    steps(loop, 1)

    assert found
    assert not [one for one in problems(tmp_path) if "come round" in one and " 0 s" not in one]


def test_a_locked_ledger_is_unhealthy(loop, tmp_path):
    """A ledger that another process locks is a problem from the next look until the lock is released."""
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
    """A heartbeat that cannot be written goes stale, and the loop continues."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(heartbeat, "publish", fail)
        steps(loop, 2)
        found = unhealthy(tmp_path, "the loop has not come round")
    monkeypatch.setattr(heartbeat, "STUCK_S", SLOWEST_S)
    steps(loop, 1)

    assert found
    assert problems(tmp_path) == ()


def test_attempts_that_hang_are_unhealthy_before_the_close(tournament, tmp_path):
    """An open round without a submission is a problem twenty minutes before the close."""
    loop = make_loop(tournament, tmp_path)
    tournament.outcome = None
    steps(loop, 2)
    before = problems(tmp_path)
    tournament.now, tournament.attempts[0].seconds = OPENED + timedelta(minutes=41), 41 * 60.0
    steps(loop, 1)

    assert before == ()
    assert problems(tmp_path) == ("round: round 1405 is not confirmed, 19 minutes left",)


def test_a_step_of_the_wall_clock_is_healthy(loop, tmp_path):
    """A clock that jumps by an hour changes neither the age of a beat nor the problems."""
    verdicts = []
    for hours in (-1, 1, 3):
        stepped = datetime.now(UTC) + timedelta(hours=hours)

        with time_machine.travel(stepped):
            steps(loop, 1)
        verdicts.append(problems(tmp_path))

    assert verdicts == [(), (), ()]


def test_a_job_that_hangs_is_stopped_and_the_scheduler_counts_as_alive(tmp_path, monkeypatch):
    """After its limit a job is stopped with a reason in the ledger; while it runs, the scheduler counts as alive."""

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
import os, sys, threading, time
from pathlib import Path
from bot.daemon import process as service
from bot.daemon._jobs import JobSchedule, Job
from bot.record.heartbeat import Heartbeat
folder, dead = Path(sys.argv[1]), sys.argv[2]
with (folder / "starts").open("a") as file:
    file.write(f"{os.getpid()}\\n")
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
def test_a_process_that_cannot_recover_starts_anew_once(tmp_path, dead):
    """If loop or scheduler stay dead, the process prints its stacks and starts itself anew; the second time it exits with 75."""
    with process(tmp_path, dead) as stuck:
        errors = stuck.communicate(timeout=300)[1]
    written = tmp_path / "pulse.json"

    assert (tmp_path / "starts").read_text().split() == [str(stuck.pid)] * 2
    assert stuck.returncode == service.RESTART
    assert errors.count("Current thread") == 2
    assert dead == "loop" or "scheduler" in written.read_text()


def test_a_process_that_starts_anew_leaves_no_child(tmp_path):
    """The kernel ends the commands of a process that starts itself anew."""
    (tmp_path / "child.py").write_text(
        "import os, pathlib, sys, time; from bot.system.child_process import end_with_parent; end_with_parent()\n"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(300)\n"
    )
    script = (
        "import sys, time, threading, pathlib; from bot.system import child_process; from bot.daemon import process\n"
        "if process.restarted_s() < 1e9:\n"
        "    process._reap_earlier_children(); sys.exit(int(pathlib.Path(f'/proc/{open(sys.argv[2]).read()}').exists()))\n"
        "child_process.PROGRAM = (sys.executable, sys.argv[1])\n"
        "child_process.ChildProcess(command=(sys.argv[2],), limit_s=60).start()\n"
        "while not pathlib.Path(sys.argv[2]).is_file() or not open(sys.argv[2]).read(): time.sleep(0.01)\n"
        "threading.Thread(target=process._end_stuck, args=(1.0, 1.0)).start(); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path / "child.py"), str(tmp_path / "pid")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr


BLOCKED = """
import os, sys, threading, time
from bot.daemon import process as service
from bot.daemon._jobs import JobSchedule
from bot.system import logs
logs.configure(log_format="json")
service.STOP_S, service.REPORT_S = 0.2, 0.2
stop = service._stop_on_signals(JobSchedule([]), threading.Event())
print("up", flush=True)
while True:
    service.log.info("x" * 4096)
"""


def test_a_process_ends_although_nobody_reads_its_log():
    """SIGTERM ends a process whose writes to standard error block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", BLOCKED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as blocked:
        blocked.stdout.readline()
        full = becomes_full(blocked.stderr)
        blocked.send_signal(signal.SIGTERM)
        try:
            status = blocked.wait(timeout=60)
        finally:
            blocked.kill()

    assert full
    assert status == 0


def becomes_full(pipe, timeout_s=120.0):
    """Wait until a pipe has held the same number of bytes for a quarter of a second; return whether it came to that."""
    end, before = time.monotonic() + timeout_s, -1
    while (held := waiting_bytes(pipe)) != before or held == 0:
        if time.monotonic() > end:
            return False
        before = held
        time.sleep(0.25)
    return True


def waiting_bytes(pipe):
    """Return the number of bytes in a pipe that were not read."""
    number = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, number)
    return number[0]


@pytest.mark.parametrize("asleep_s", [600.0, 30 * 86400.0])
def test_a_process_that_continues_after_a_stop_looks_first(asleep_s):
    """The seconds of a suspend or a SIGSTOP do not count as silence; those after it do."""
    signs = [1.0]
    silence = service.Silence(lambda: signs[-1])
    before = silence.count(service.LOOK_AFTER_S)
    after = silence.count(asleep_s)
    looks = [silence.count(service.LOOK_AFTER_S) for _ in range(40)]
    signs.append(2.0)

    assert before < after < heartbeat.STUCK_S
    assert looks[-1] > heartbeat.HOPELESS_S
    assert silence.count(service.LOOK_AFTER_S) == 0.0


def test_a_stopped_process_is_unhealthy(tmp_path, soon):
    """A process under SIGSTOP exists, but its beat gets old."""
    with process(tmp_path, "nothing") as stopped:
        stopped.stdout.readline()
        healthy = becomes_healthy(tmp_path)
        stopped.send_signal(signal.SIGSTOP)
        found = unhealthy(tmp_path, "has not come round")
        stopped.kill()
        stopped.communicate()

    assert found
    assert healthy


def test_a_full_disk_does_not_end_a_trainer(tmp_path, monkeypatch):
    """A heartbeat that cannot be written is a line of the log; the training goes on."""
    stop, beats = threading.Event(), []

    class Full(heartbeat.Heartbeat):
        def beat(self, **about):
            beats.append(about)
            if len(beats) == 3:
                stop.set()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(service, "_stop_on_signals", lambda *_: stop)
    monkeypatch.setattr(service, "BEAT_S", 0.0)
    service.serve_jobs(service.Trainer(schedule=JobSchedule([]), heartbeat=Full(folder=tmp_path)))

    assert len(beats) == 4  # the last one records the stop
