"""Whatever raises in a look, once or a few times, the round is confirmed afterwards, and no account holds up another."""

import errno
import sqlite3
import subprocess
import threading
from contextlib import closing
from datetime import timedelta

import pytest
import structlog

from bot.daemon import _loop as daemon
from bot.daemon._accounts import AccountState
from bot.daemon._background import MOST_ABANDONED, BackgroundCall, StillWaiting
from bot.errors import NumeraiUnavailable
from bot.record.heartbeat import problems
from bot.record.ledger import Ledger
from bot.system import child_process
from bot.system.child_process import ChildProcess
from tests.daemon.fakes import OPENED, SLOTS, FakeTournament, confirm, intend, make_loop, messages, steps

ERRORS = (
    OSError(errno.EAGAIN, "Resource temporarily unavailable"),
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("can't start new thread"),
    ValueError("embedded null byte"),
    MemoryError(),
    sqlite3.OperationalError("database is locked"),
    sqlite3.DatabaseError("database disk image is malformed"),
)
CALLS = (
    ("ledger", "probe"), ("ledger", "record_round"), ("ledger", "settled"), ("ledger", "filled_by"),
    ("ledger", "opening_times"), ("heartbeat", "mark"), ("heartbeat", "beat"), ("outbox", "alert"), ("outbox", "resolve"),
    ("tournament", "current_round"), ("tournament", "server_now"), ("tournament", "find_slots"), ("tournament", "attempt"),
    ("attempt", "start"), ("attempt", "poll"), ("loop", "on_settled"), ("thread", "start"),
)  # fmt: skip
"""Every call of a look that can raise."""


class Faulty:
    """A function that raises each of *errors* once before it works."""

    def __init__(self, function, *errors):
        self.function, self.errors, self.raised = function, list(errors), 0

    def __call__(self, *args, **kwargs):
        if self.errors:
            self.raised += 1
            raise self.errors.pop(0)
        return self.function(*args, **kwargs)


def damage(path, table):
    """Overwrite the first page of a table."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = file.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as content:
        content.seek((page - 1) * size)
        content.write(b"\xde\xad\xbe\xef" * (size // 4))


@pytest.mark.parametrize("table", ["event", "round", "sqlite_autoindex_submission_1"])
def test_a_damaged_ledger_is_one_alert_and_a_problem_of_the_state(tmp_path, table):
    """It is not taken for an outage of Numerai: there is one message, and the health check fails until it is repaired."""
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path)) as ledger:
        for number in range(1300, 1404):
            confirm(ledger, number, SLOTS[0])
    damage(path, table)
    loop = make_loop(FakeTournament(Ledger(path)), tmp_path)
    steps(loop, 6)

    assert messages(loop) == [("alert", "the ledger is damaged: no round can be filled")]
    assert "cannot be used" in " ".join(problems(tmp_path))


@pytest.fixture(autouse=True)
def captured():
    """Collect the log, because painting hundreds of tracebacks takes longer than the looks."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def tournament(tmp_path):
    return FakeTournament(Ledger(tmp_path / "ledger.sqlite"))


@pytest.fixture
def loop(tournament, tmp_path, monkeypatch):
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    monkeypatch.setattr(daemon, "HOLD_S", 0.0)
    made = make_loop(tournament, tmp_path)
    made.tick_s = 1e-9  # an account whose error is expected is held for a tick
    return made


def break_call(monkeypatch, loop, tournament, call, errors):
    """Let one call of the look raise each of *errors* once; return a function that counts them."""
    owner, name = call
    places = {
        "ledger": Ledger, "heartbeat": type(loop.heartbeat), "outbox": type(loop.outbox), "loop": type(loop),
        "tournament": tournament, "thread": threading.Thread,
    }  # fmt: skip
    if owner == "attempt":
        fault, made = Faulty(lambda function: function(), *errors), tournament.attempt

        def attempt(*about):
            one = made(*about)
            function = getattr(one, name)
            setattr(one, name, lambda: fault(function))
            return one

        loop.accounts[0].attempt = attempt
        return lambda: fault.raised
    place = loop if owner == "loop" else places[owner]
    if owner in ("ledger", "heartbeat", "outbox", "thread"):
        fault = Faulty(getattr(place, name), *errors)

        def method(*args, **kwargs):  # a function, because only functions become methods
            return fault(*args, **kwargs)

        monkeypatch.setattr(place, name, method)
    else:
        fault = Faulty(getattr(place, name), *errors)
        setattr(place, name, fault)
    if call == ("tournament", "find_slots"):
        loop.accounts[0].find_slots = fault
    if call == ("tournament", "attempt"):
        loop.accounts[0].attempt = fault
    return lambda: fault.raised


@pytest.mark.parametrize("errors", [ERRORS[:1], ERRORS], ids=["once", "often"])
@pytest.mark.parametrize("call", CALLS, ids=".".join)
def test_whatever_raises_in_a_look_the_round_is_confirmed(loop, tournament, monkeypatch, call, errors):
    """After the last failure of any call, the next looks confirm the round and send one ping."""
    raised = break_call(monkeypatch, loop, tournament, call, errors)
    tournament.now = OPENED + timedelta(minutes=45)  # near the close, where the look makes its alerts too
    tournament.outcome = 75
    steps(loop, 2)
    tournament.outcome = 0
    steps(loop, 12)
    tournament.now = OPENED + timedelta(days=1)  # the calls of a new round
    steps(loop, 12)

    assert raised() >= 1
    for number in (1405, 1406):
        assert [loop.ledger.settled(number, slot) for slot in SLOTS] == [True, True]
    assert loop._settled
    assert tournament.attempts.count("ping") == 2


def test_an_attempt_that_cannot_be_started_is_made_again_within_seconds(tournament, tmp_path, monkeypatch):
    """While the system has no process left, no attempt counts as running; the first that starts confirms the round."""
    loop, popen = make_loop(tournament, tmp_path), subprocess.Popen
    fork = Faulty(popen, *[BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")] * 4)
    monkeypatch.setattr(child_process.subprocess, "Popen", fork)
    monkeypatch.setattr(child_process, "PROGRAM", ("true",))

    def attempt(round_, limit_s, _trigger):
        child = ChildProcess(command=(), limit_s=limit_s)
        tournament.attempts.append(round_.number)
        return child

    loop.accounts[0].attempt = attempt
    pauses, running = [], []
    for _ in range(4):
        loop.accounts[0].hold_until = 0.0
        loop._look_at = 0.0
        pauses.append(loop.step())
        running.append(loop.accounts[0].running)
    loop.accounts[0].hold_until = 0.0
    steps(loop, 1)

    assert running == [None] * 4
    assert max(pauses) <= daemon.AGAIN_S
    assert loop.accounts[0].running is not None
    assert messages(loop) == [("alert", "no attempt can be started")]
    loop.accounts[0].running.stop(grace_s=0.0)


def test_a_trigger_that_no_process_can_be_given_is_dropped(loop, tournament):
    """A trigger id with a NUL fails one start; the next attempt runs without it."""
    made, given = tournament.attempt, []

    def attempt(round_, limit_s, trigger):
        given.append(trigger)
        if trigger is not None and "\0" in trigger:
            raise ValueError("embedded null byte")
        return made(round_, limit_s, trigger)

    loop.accounts[0].attempt, loop.accounts[0].trigger = attempt, "a\0b"
    steps(loop, 4)

    assert given == ["a\0b", None]
    assert loop._settled


@pytest.mark.parametrize(
    ("place", "error"),
    [
        *(("attempt", error) for error in ERRORS),
        ("find_slots", MemoryError()),
        ("find_slots", SystemExit(1)),
        ("find_slots", KeyboardInterrupt()),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_no_error_of_one_account_holds_up_another(loop, tournament, place, error):
    """An account that always raises, whatever it raises, leaves the slots of the others to be filled."""

    def fail(*_):
        raise error

    about = {"find_slots": lambda: ("third",), "attempt": tournament.attempt, place: fail}
    loop.accounts = [AccountState(**about), *loop.accounts]
    steps(loop, 4)

    assert [loop.ledger.settled(1405, slot) for slot in SLOTS] == [True, True]
    assert not loop._settled
    assert [kind for kind, _ in messages(loop)] == ["alert"]


def test_late_predictions_are_sent_although_one_start_fails(loop, tournament):
    """Between rounds, an attempt that could not be started is made again."""
    loop.submits_late = True
    tournament.outcome = 75
    steps(loop, 1)
    intend(tournament.ledger, 1405, SLOTS[0])
    tournament.now = OPENED + timedelta(hours=2)
    tournament.attempts.clear()
    loop.accounts[0].attempt = Faulty(tournament.attempt, *ERRORS[:3])
    steps(loop, 6)

    assert [one.round.number for one in tournament.attempts][:1] == [1405]


@pytest.mark.parametrize(
    ("status", "ending"),
    [(-9, "was killed by SIGKILL (out of memory?)"), (-11, "was killed by SIGSEGV"), (1, "crashed with exit status 1")],
)
def test_an_attempt_that_crashes_is_alerted_until_the_round_is_confirmed(loop, tournament, status, ending):
    """The alert names how the attempt ended; it is sent once, and closed by the confirmation."""
    tournament.outcome = status
    steps(loop, 6)
    crashed = messages(loop)
    tournament.outcome = 0
    steps(loop, 3)

    assert crashed == [("alert", f"round 1405: an attempt {ending} after 1 s")]
    assert messages(loop) == [("recovery", f"over: {crashed[0][1]}")]


def test_an_attempt_that_hangs_is_alerted(loop, tournament):
    """The alert names the attempt that was stopped."""
    tournament.outcome = None
    steps(loop, 2)
    tournament.attempts[0].is_overdue = True
    steps(loop, 1)

    assert messages(loop) == [("alert", "round 1405: an attempt hung and was stopped after 1 s")]


def test_a_loop_that_fails_twice_in_a_row_is_alerted(loop, tournament):
    """One crash of a look is not alerted; the second one is, and so is the end."""
    tournament.failing = ZeroDivisionError("storm")
    steps(loop, 1)
    once = messages(loop)
    steps(loop, 3)
    tournament.failing = None
    steps(loop, 1)

    assert once == []
    assert messages(loop) == [("alert", "the loop over rounds fails"), ("recovery", "over: the loop over rounds fails")]


def test_a_confirmed_round_is_no_alarm_although_its_close_is_near(loop, tournament):
    """A daemon that starts within twenty minutes of the close of a confirmed round reports no problem."""
    for slot in SLOTS:
        confirm(tournament.ledger, 1405, slot)
    tournament.now = OPENED + timedelta(minutes=55)
    steps(loop)

    assert messages(loop) == []
    assert loop.heartbeat.problems == {}


def test_the_loop_never_waits_for_numerai(loop, tournament):
    """While an answer is missing, every step ends at once; when it comes, it is used."""
    release, answer = threading.Event(), tournament.current_round
    tournament.current_round = lambda: release.wait(60) and answer()
    loop.wait_s = 0.0
    pauses = [loop.step() for _ in range(50)]
    beating = loop.heartbeat.age_s
    loop.wake.clear()
    release.set()
    woken = loop.wake.wait(60)
    loop.wait_s = 60.0
    steps(loop, 3)

    assert max(pauses) <= daemon.WATCH_S
    assert beating < 60
    assert woken
    assert loop._settled


def test_a_call_without_an_answer_is_abandoned_and_made_anew():
    """After its limit a call counts as an outage, and the next one shares no connection with it."""
    release, opened = threading.Event(), []

    def open_call():
        opened.append(len(opened))
        return (lambda: release.wait(60)) if len(opened) == 1 else (lambda: "answer")

    call = BackgroundCall(open_call, limit_s=0.0)
    with pytest.raises(NumeraiUnavailable, match="given up"):
        call.result(0.0)
    call._limit_s = 60.0
    again = call.result(60.0)
    release.set()

    assert again == "answer"
    assert opened == [0, 1]


def test_abandoned_calls_are_counted():
    """A few abandoned calls may wait; with more, the loop crashes, so that the watchdog starts a new process."""
    release = threading.Event()
    call = BackgroundCall(lambda: lambda: release.wait(60), limit_s=0.0)
    for _ in range(MOST_ABANDONED):
        with pytest.raises(NumeraiUnavailable):
            call.result(0.0)
    with pytest.raises(RuntimeError, match="abandoned"):
        call.result(0.0)
    release.set()


def test_a_call_that_goes_on_is_not_made_twice():
    """Asking again for a result waits for the same call."""
    release, made = threading.Event(), []

    def work():
        made.append("call")
        return release.wait(60)

    call = BackgroundCall(lambda: work)
    for _ in range(5):
        with pytest.raises(StillWaiting):
            call.result(0.0)
    release.set()

    assert call.result(60.0)
    assert made == ["call"]


def test_a_caller_that_waited_for_its_answer_is_not_woken():
    """The loop waits for its next look after an answer: waking it would start a look without a pause."""
    woken = threading.Event()
    call = BackgroundCall(lambda: lambda: 7, done=woken.set)

    answer = call.result(60)
    for thread in threading.enumerate():
        if thread.name == "call":
            thread.join(60)

    assert answer == 7
    assert not woken.is_set()


def test_a_caller_that_went_on_is_woken_by_the_answer():
    """An answer that comes late starts the look that takes it."""
    release, woken = threading.Event(), threading.Event()
    call = BackgroundCall(lambda: lambda: release.wait(60), done=woken.set)
    with pytest.raises(StillWaiting):
        call.result(0.0)
    with pytest.raises(StillWaiting):
        call.result(0.0)
    release.set()

    assert woken.wait(60)
    assert call.result(60)
