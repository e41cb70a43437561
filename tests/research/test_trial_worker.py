"""Shared trials: a study ends with the wanted number of trials, each run once, even if a worker is killed."""

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from bot.errors import BadConfig, OperatorNeeded, RetryLater
from bot.research.trial_worker import BASE, FAILURES, SURPLUS, Interrupted, Worker, open_study, repeated

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path / 'tuning' / 'study.sqlite'}"


def opened(database):
    return open_study(database, "parabola", beat_s=1, lost_s=60)


def worker(database, trials=5, **changes):
    return Worker(study=opened(database), trials=trials, **changes)


def parabola(trial):
    return -(trial.suggest_float("x", -10, 10) ** 2)


def states(study):
    return Counter(trial.state for trial in study.get_trials(deepcopy=False))


def start(database, *arguments, trials=40, lost_s=300):
    # A machine that is busy for longer than *lost_s* would make a living worker look dead.
    return subprocess.Popen(
        [
            sys.executable,
            ROOT / "tests" / "research" / "study_worker.py",
            database,
            str(trials),
            str(lost_s),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


def test_the_trial_of_a_killed_worker_runs_again(database):
    """A second worker repeats the trial of a killed one with its parameters, and completes forty trials."""
    doomed = start(database, "3", lost_s=20)
    while doomed.stdout.readline() != "hangs\n":
        assert doomed.poll() is None
    survivor = start(database, lost_s=20)
    assert survivor.stdout.readline()
    doomed.kill()
    doomed.communicate()
    survivor.communicate(timeout=240)

    trials = opened(database).get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    (lost,) = (trial for trial in trials if trial.state == TrialState.FAIL and SURPLUS not in trial.user_attrs)
    assert survivor.returncode == 0
    assert len(complete) == 40
    assert [trial.params for trial in complete].count(lost.params) == 1
    assert all(trial.state.is_finished() for trial in trials)


def test_workers_at_once_never_run_one_trial_too_many(database):
    """Three workers that create the database and draw the last numbers at the same time complete exactly forty trials."""
    workers = [start(database) for _ in range(3)]
    lines = [one.communicate(timeout=240)[0].splitlines() for one in workers]
    ran = [[line for line in own if line.isdigit()] for own in lines]  # the others are of the log

    trials = opened(database).get_trials(deepcopy=False)

    assert [one.returncode for one in workers] == [0, 0, 0]
    assert Counter(trial.state for trial in trials)[TrialState.COMPLETE] == 40
    assert all(trial.state.is_finished() for trial in trials)
    assert len({number for numbers in ran for number in numbers}) == sum(len(numbers) for numbers in ran) == 40


def test_the_base_is_the_first_trial_and_runs_once(database):
    """The first trial has the parameters of the base; workers that begin at the same time run it once."""
    workers = [start(database, trials=6) for _ in range(2)]
    for one in workers:
        one.communicate(timeout=240)
    worker(database, 8, base={"x": 3.0}).work(parabola)

    complete = opened(database).get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    assert [trial.number for trial in complete if BASE in trial.user_attrs] == [0]
    assert complete[0].params == {"x": 3.0}
    assert len(complete) == 8


def test_a_second_run_continues_the_study(database):
    """A second run adds the missing trials, and a third run adds none."""
    assert worker(database, 3).work(parabola) == 3
    assert worker(database, 5).work(parabola) == 2
    assert worker(database, 5).work(parabola) == 0


@pytest.mark.parametrize("stop", [Interrupted, KeyboardInterrupt, RuntimeError])
def test_a_stopped_worker_gives_its_trial_back(database, stop):
    """The next worker runs the trial again that a stop, Ctrl-C or an error interrupted, with the same parameters."""
    stopped = threading.Event()

    def interrupted(trial):
        parabola(trial)
        if trial.number == 1:
            stopped.set()
            raise stop
        return parabola(trial)

    first = worker(database, 3, should_stop=stopped.is_set)
    if stop is Interrupted:
        assert first.work(interrupted) == 1
    else:
        with pytest.raises(stop):
            first.work(interrupted)
    assert worker(database, 3).work(parabola) == 2

    trials = opened(database).get_trials(deepcopy=False)
    assert states(opened(database)) == {TrialState.COMPLETE: 3, TrialState.FAIL: 1}
    assert trials[2].params == trials[1].params
    assert repeated(trials) == {1}


def test_the_first_end_of_a_trial_counts(database):
    """A worker that is slow but alive cannot finish a trial that another worker has ended as lost, and goes on."""

    def slow(trial):
        value = parabola(trial)
        if trial.number == 0:
            opened(database).tell(trial.number, state=TrialState.FAIL)
        return value

    finished = worker(database, 3).work(slow)

    assert finished == 3
    assert opened(database).get_trials()[0].state == TrialState.FAIL
    assert states(opened(database))[TrialState.COMPLETE] == 3


@pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")
def test_a_worker_without_a_trial_waits_for_the_others(database):
    """While another worker runs the last trial, a worker waits instead of running one more."""
    study, waits = opened(database), []
    running = study.ask()
    stops = threading.Event()

    def wait(seconds):
        waits.append(seconds)
        study.tell(running, 1.0)

    assert worker(database, 1, wait=wait, should_stop=stops.is_set).work(parabola) == 0
    assert len(waits) == 1
    assert states(study) == {TrialState.COMPLETE: 1}


def test_pruned_trials_count(database):
    """A study of two trials is done after two pruned ones."""

    def pruned(trial):
        parabola(trial)
        raise optuna.TrialPruned

    assert worker(database, 2).work(pruned) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_failing_trials_end_the_worker(database, value):
    """Five trials in a row without a finite value end the worker with one line."""
    with pytest.raises(OperatorNeeded, match="5 trials in a row"):
        worker(database).work(lambda _trial: value)

    assert states(opened(database)) == {TrialState.FAIL: FAILURES}


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        ("nonsense://host/study", BadConfig, "nonsense"),
        ("/shared/study.journal", BadConfig, "journal"),
        ("sqlite://", BadConfig, "memory"),
        ("sqlite:///:memory:", BadConfig, "memory"),
        ("mysql+pymysql://root:hunter2@host/study", BadConfig, "mysql"),
        ("redis://:hunter2@host/study", BadConfig, "redis"),
        ("postgresql://root:hunter2@host:port/study", BadConfig, "postgresql"),
        ("postgresql+asyncpg://root:hunter2@host/study", OperatorNeeded, "not installed: asyncpg"),
    ],
)
def test_a_storage_that_cannot_repeat_trials_is_refused(where, error, words):
    """The line names SQLite and PostgreSQL, or the missing driver, and shows no password."""
    with pytest.raises(error, match=words) as refused:
        open_study(where, "parabola")

    assert error is OperatorNeeded or ("sqlite:///" in str(refused.value) and "postgresql://" in str(refused.value))
    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """A damaged file is an error of the operator, not one that passes."""
    (tmp_path / "study.sqlite").write_bytes(b"no database at all" * 100)

    with pytest.raises(BadConfig, match="move it away"):
        open_study(f"sqlite:///{tmp_path / 'study.sqlite'}", "parabola")


def test_tables_of_another_version_are_refused(database):
    """A database of a later optuna is refused with one line."""
    opened(database)
    with sqlite3.connect(database.removeprefix("sqlite:///")) as hand:
        hand.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
        hand.execute("UPDATE version_info SET schema_version = 99")

    with pytest.raises(BadConfig, match="optuna cannot use this database"):
        opened(database)


def test_a_database_that_does_not_answer_may_answer_later(tmp_path):
    """A database that cannot be opened is "try later", and the line holds nothing of its URL."""
    (tmp_path / "hunter2").mkdir()

    with pytest.raises(RetryLater) as later:
        open_study(f"sqlite:///{tmp_path / 'hunter2'}", "parabola")

    assert "hunter2" not in str(later.value)


def test_a_database_that_breaks_during_a_study_may_answer_later(database):
    """A database that fails at the end of a trial is "try later" for the worker, and its trial is not lost for others."""
    path = database.removeprefix("sqlite:///")

    def breaking(trial):
        value = parabola(trial)
        if trial.number == 1:
            with sqlite3.connect(path) as hand:
                hand.execute("ALTER TABLE trial_params RENAME TO away")
        return value

    with pytest.raises(RetryLater):
        worker(database, 3).work(breaking)
    with sqlite3.connect(path) as hand:
        hand.execute("ALTER TABLE away RENAME TO trial_params")

    assert states(opened(database)) == {TrialState.COMPLETE: 1, TrialState.RUNNING: 1}


def test_a_beat_that_cannot_be_written_ends_neither_the_beats_nor_the_trial(database, monkeypatch):
    """A disk that fails for a while costs no trial: later beats are written, and so is the value."""
    failures, beaten, write = [2], threading.Event(), RDBStorage.record_heartbeat

    def failing(self, trial):
        if failures[0]:
            failures[0] -= 1
            raise OperationalError("insert", {}, OSError(28, "No space left on device"))
        write(self, trial)
        beaten.set()

    monkeypatch.setattr(RDBStorage, "record_heartbeat", failing)

    def slow(_trial):
        assert beaten.wait(60)
        return 1.0

    hand = worker(database, trials=1)
    assert hand.work(slow) == 1
    assert hand.study.trials[0].value == 1.0


def test_a_value_that_cannot_be_written_is_written_later(database, monkeypatch):
    """The end of a trial is repeated until the database takes it."""
    failures, write = [2], RDBStorage.set_trial_state_values

    def failing(self, trial, state, values=None):
        if state == TrialState.COMPLETE and failures[0]:
            failures[0] -= 1
            raise OperationalError("update", {}, OSError(28, "No space left on device"))
        return write(self, trial, state, values)

    monkeypatch.setattr(RDBStorage, "set_trial_state_values", failing)

    hand = worker(database, trials=1)
    assert hand.work(parabola) == 1
    assert failures == [0]
    assert hand.study.trials[0].state == TrialState.COMPLETE
