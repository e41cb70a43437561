"""Shared trials: a study ends with the wanted number of trials, each run once, even if a worker is killed."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from bot.errors import BadConfig, OperatorNeeded
from bot.research.trial_worker import AGAIN, LOST, Interrupted, Worker, open_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journal(tmp_path):
    return str(tmp_path / "tuning" / "study.journal")


def worker(journal, trials=5, **changes):
    return Worker(study=open_study(journal, "parabola"), trials=trials, beat_s=0.01, **changes)


def parabola(trial):
    return -(trial.suggest_float("x", -10, 10) ** 2)


def states(study):
    return Counter(trial.state for trial in study.get_trials(deepcopy=False))


def start(journal, *arguments):
    return subprocess.Popen(
        [sys.executable, ROOT / "tests" / "research" / "study_worker.py", journal, "40", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


def test_two_workers_run_forty_trials_once_although_one_is_killed(journal):
    """The trial of a killed worker is ended and run again by the other worker, which completes forty trials."""
    doomed = start(journal, "3")
    while doomed.stdout.readline() != "hangs\n":
        assert doomed.poll() is None
    survivor = start(journal)
    assert survivor.stdout.readline()
    doomed.kill()
    doomed.communicate()
    survivor.communicate(timeout=120)

    study = open_study(journal, "parabola")
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    (lost,) = (trial for trial in trials if trial.user_attrs.get(LOST))
    (again,) = (trial for trial in complete if AGAIN in trial.user_attrs)
    assert survivor.returncode == 0
    assert len(complete) == 40
    assert len({trial.params["x"] for trial in complete}) == 40
    assert all(trial.state in {TrialState.COMPLETE, TrialState.FAIL} for trial in trials)
    assert (again.user_attrs[AGAIN], again.params) == (lost.number, lost.params)


def test_two_workers_at_once_never_run_one_trial_too_many(journal):
    """Two workers that draw the last numbers at the same time complete exactly forty trials."""
    workers = [start(journal), start(journal)]
    for one in workers:
        one.communicate(timeout=120)

    counted = states(open_study(journal, "parabola"))

    assert [one.returncode for one in workers] == [0, 0]
    assert counted[TrialState.COMPLETE] == 40
    assert counted[TrialState.RUNNING] == counted[TrialState.WAITING] == 0


def test_a_second_run_continues_the_study(journal):
    """A second run adds the missing trials, and a third run adds none."""
    assert worker(journal, 3).work(parabola) == 3
    assert worker(journal, 5).work(parabola) == 2
    assert worker(journal, 5).work(parabola) == 0


def test_a_stopped_worker_gives_its_trial_back(journal):
    """The next worker runs the interrupted trial again with the same parameters."""

    def interrupted(trial):
        parabola(trial)
        if trial.number == 1:
            raise Interrupted
        return parabola(trial)

    stops = iter([False, False, True])
    assert worker(journal, 3, should_stop=lambda: next(stops)).work(interrupted) == 1
    assert worker(journal, 3).work(parabola) == 2

    trials = open_study(journal, "parabola").get_trials(deepcopy=False)
    assert states(open_study(journal, "parabola"))[TrialState.COMPLETE] == 3
    assert trials[2].params == trials[1].params


def test_the_first_end_of_a_trial_counts(journal):
    """A worker that is slow but alive cannot finish a trial that another worker has ended as lost."""

    def slow(trial):
        value = parabola(trial)
        if trial.number == 0:
            worker(journal)._give_back(trial.number)
        return value

    finished = worker(journal, 3).work(slow)

    trials = open_study(journal, "parabola").get_trials(deepcopy=False)
    assert finished == 3
    assert [trial.state for trial in trials if trial.number == 0] == [TrialState.FAIL]
    assert states(open_study(journal, "parabola"))[TrialState.COMPLETE] == 3


def test_a_trial_with_new_beats_is_not_lost(journal):
    """A long trial is not ended while its worker beats."""
    study = open_study(journal, "parabola")
    running = study.ask()
    other = worker(journal, lost_s=0.0)
    for beat in range(3):
        other._mark(running.number, "beat", beat)
        other._end_lost_trials()

    assert states(study)[TrialState.RUNNING] == 1
    other._end_lost_trials()
    assert states(study)[TrialState.RUNNING] == 0


def test_pruned_trials_count_and_failing_ones_end_the_worker(journal, tmp_path):
    """A pruned trial counts; a trial with a NaN value fails, and five failures in a row end the worker."""

    def pruned(trial):
        parabola(trial)
        raise optuna.TrialPruned

    assert worker(journal, 2).work(pruned) == 2
    with pytest.raises(OperatorNeeded, match="5 trials in a row"):
        worker(str(tmp_path / "other.journal")).work(lambda _trial: float("nan"))


@pytest.mark.parametrize(
    ("where", "error"), [("nonsense://host/study", BadConfig), ("postgresql+psycopg://host/study", OperatorNeeded)]
)
def test_a_database_that_cannot_be_opened_is_refused(where, error):
    """An unknown kind of database and a missing driver are errors of the configuration and of the operator."""
    with pytest.raises(error):
        open_study(where, "parabola")
