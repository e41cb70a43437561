"""Jobs run when they are due by real time, whatever the clock was, and whatever one of them raises."""

import errno
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.daemon import _jobs
from bot.daemon._jobs import RETRY_S, Job, JobSchedule
from bot.errors import StateUnwritable
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.system import child_process

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STEPS = [timedelta(hours=2), timedelta(hours=-2), timedelta(days=30), timedelta(days=-30)]
NAMES = ("retrain", "sync", "backup", "scores", "diagnostics")


@pytest.fixture(autouse=True)
def captured():
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def path(tmp_path):
    Ledger(tmp_path / "ledger.sqlite").close()
    return tmp_path / "ledger.sqlite"


class Child:
    """A command that has ended with *status* as soon as it is started."""

    started, status, is_overdue = (), 0, False

    def __init__(self, **about):
        self.command = about["command"]

    def start(self):
        Child.started = (*Child.started, self.command[0])

    def poll(self):
        return Child.status

    def stop(self, *, grace_s):
        pass


@pytest.fixture
def children(monkeypatch):
    """Commands that end at once, in place of the bot's."""
    monkeypatch.setattr(_jobs, "ChildProcess", Child)
    Child.started, Child.status = (), 0
    return Child


def job(path, name="sync", **about):
    return Job(name=name, commands=((name,),), ledger_path=path, **{"every_s": 86400.0, **about})


def finished(path, name, at, outcome="ok"):
    ledger = Ledger(path)
    ledger.start_job(name, at)
    ledger.finish_job(name, at, outcome)
    ledger.close()


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outcome", ["ok", "exit status 75"])
def test_a_job_is_due_in_time_however_the_clock_was_off(path, name, step, outcome):
    """A run that a wrong clock recorded delays the next one by no more than its interval of real time."""
    finished(path, name, NOW + step, outcome)
    one = job(path, name)
    pause = timedelta(seconds=86400.0 if outcome == "ok" else RETRY_S)

    assert one.is_due(NOW) or one.is_due(NOW + pause)
    assert one.is_due(NOW + step + pause)
    assert not one.is_due(NOW + step + pause / 2)


@settings(deadline=None, max_examples=40)
@given(ahead=st.timedeltas(timedelta(days=-9999), timedelta(days=9999)), every_s=st.floats(60, 30 * 86400.0))
def test_no_recorded_time_delays_a_job_beyond_its_interval(ahead, every_s, tmp_path_factory):
    """Whatever time is in the ledger, the job is due at the latest one interval from now."""
    path = tmp_path_factory.mktemp("jobs") / "ledger.sqlite"
    finished(path, "sync", NOW + ahead)
    one = job(path, every_s=every_s)

    assert one.is_due(NOW) or one.is_due(NOW + timedelta(seconds=every_s))


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_of_the_clock_does_not_stop_the_schedule(path, children, step):
    """The schedule goes on when the wall clock jumps and the watchdog looks."""
    runs = threading.Semaphore(0)
    one = job(path, every_s=0.01, wanted=lambda: runs.release() or False)
    schedule = JobSchedule([one])
    schedule.start()
    before = runs.acquire(timeout=60)
    with time_machine.travel(datetime.now(UTC) + step):
        schedule.follow_clock()
        after = [runs.acquire(timeout=60) for _ in range(3)]
    silent_s = schedule.silent_s
    schedule.stop()

    assert before
    assert after == [True] * 3
    assert silent_s < 60


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOMEM, ""), RuntimeError(), ValueError(), MemoryError(), StateUnwritable("full")],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_no_error_of_one_job_holds_up_another(path, children, error):
    """A job that always raises is alerted, and the jobs after it run."""

    def fail():
        raise error

    schedule = JobSchedule([job(path, "retrain", wanted=fail), job(path, "sync")])
    schedule._look()
    schedule._look()

    assert children.started == ("sync",)
    assert Outbox(path).open_alerts() == {"job retrain": "the job retrain cannot run"}


def test_a_job_that_cannot_be_started_is_tried_again_within_seconds(path, monkeypatch):
    """While no process can be made, the job stays due and is checked again in seconds; then it runs, and the alert ends."""
    fails = [BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")] * 3
    real = child_process.subprocess.Popen

    def popen(*args, **kwargs):
        if fails:
            raise fails.pop()
        return real(*args, **kwargs)

    monkeypatch.setattr(child_process.subprocess, "Popen", popen)
    monkeypatch.setattr(child_process, "PROGRAM", ("true",))
    schedule = JobSchedule([job(path)])
    for _ in range(3):
        schedule._look()
    alerted = Outbox(path).open_alerts()
    schedule._look()
    last = Ledger(path).job("sync")

    assert "job sync" in alerted
    assert _jobs.CRASHED_S <= 10
    assert last["outcome"] == "ok"
    assert Outbox(path).open_alerts() == {}


def test_an_outcome_is_written_once_the_disk_has_room(path, children, monkeypatch):
    """A run whose outcome cannot be written at first is not made again."""
    monkeypatch.setattr(_jobs, "FINISHING_S", 0.0)
    real, fails = Ledger.finish_job, [StateUnwritable("full")] * 3

    def finish(self, *about):
        if fails:
            raise fails.pop()
        real(self, *about)

    monkeypatch.setattr(Ledger, "finish_job", finish)
    schedule = JobSchedule([job(path)])
    schedule._look()
    schedule._look()

    assert children.started == ("sync",)
    assert Ledger(path).job("sync")["outcome"] == "ok"


def test_a_run_after_a_failure_repeats_only_what_failed(path, children, monkeypatch):
    """One recipe that cannot be trained does not train the others again until they are due by themselves."""
    clock = [1000.0]
    monkeypatch.setattr(_jobs.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(children, "poll", lambda child: 78 if child.command[0] == "broken" else 0)
    freed = []
    one = Job(
        name="retrain",
        commands=(("good",), ("broken",)),
        ledger_path=path,
        every_s=86400.0,
        done=lambda: freed.append(1),
    )
    runs = []
    for pause in (0.0, RETRY_S, RETRY_S, 86400.0):
        clock[0] += pause
        children.started = ()
        with time_machine.travel(NOW + timedelta(seconds=clock[0]), tick=False):
            one.run()
        runs.append(children.started)

    assert runs == [("good", "broken"), ("broken",), ("broken",), ("good", "broken")]
    assert len(freed) == 2


def test_no_job_starts_while_another_one_stops(path, monkeypatch):
    """While the command of one job saves a checkpoint, the check for due jobs does not start the next job."""
    started, ended, running = [], [], threading.Event()

    class Saving(Child):
        def start(self):
            started.append(self.command[0])

        def poll(self):
            running.set()
            return 0 if ended else None

        def stop(self, *, grace_s):
            looking.join(timeout=60)
            ended.append(grace_s)

    monkeypatch.setattr(_jobs, "ChildProcess", Saving)
    schedule = JobSchedule([job(path, "retrain"), job(path, "sync")])
    looking = threading.Thread(target=schedule._look)
    schedule._scheduler.start()
    looking.start()
    ran = running.wait(timeout=60)
    schedule.stop()

    assert ran
    assert not looking.is_alive()
    assert started == ["retrain"]


def test_an_alert_of_an_earlier_process_ends_with_the_first_sound_run(path, children):
    """A job that could not be run before a restart, and can be now, closes its alert, so that a later one is reported."""
    outbox = Outbox(path)
    outbox.alert("job sync", "the job sync cannot run", "", at=NOW)
    JobSchedule([job(path)])._look()

    assert outbox.open_alerts() == {}


SAVING = """
import os, signal, sys, threading
from bot.system.child_process import end_with_parent
end_with_parent()
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
open("started", "w").close()
asked.wait()
for _ in range(10):  # work that takes longer than the threads of the schedule need to end
    threading.Event().wait(0.1)
open("checkpoint", "w").close()
"""


def test_a_command_saves_its_checkpoint_when_the_schedule_stops(path, tmp_path, monkeypatch):
    """The thread that started the command, with which the kernel would end it, lives until the command has ended."""
    (tmp_path / "saving.py").write_text(SAVING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child_process, "PROGRAM", (sys.executable, str(tmp_path / "saving.py")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    schedule = JobSchedule([job(path, "retrain")])
    schedule.start()
    for _ in range(6000):
        if (tmp_path / "started").exists():
            break
        threading.Event().wait(0.01)
    schedule.stop()

    assert (tmp_path / "checkpoint").exists()
