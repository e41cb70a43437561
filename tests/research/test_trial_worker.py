"""Shared trials: a study ends with the wanted number of trials, each run once, even if a worker is killed."""

import subprocess
import sys
import threading
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


def test_a_beat_that_cannot_be_written_ends_neither_the_beats_nor_the_trial(journal):
    """A disk that fails for a while costs no trial: later beats are written, and so is the value."""
    hand = worker(journal, trials=1)
    storage, write, failures, beaten = (
        hand.study._storage,
        hand.study._storage.set_trial_user_attr,
        [3],
        threading.Event(),
    )

    def failing(identity, name, value):
        if name == "beat" and value:
            if failures[0]:
                failures[0] -= 1
                raise OSError(28, "No space left on device")
            beaten.set()
        write(identity, name, value)

    storage.set_trial_user_attr = failing

    def slow(_trial):
        assert beaten.wait(60)
        return 1.0

    assert hand.work(slow) == 1
    assert failures == [0]
    assert hand.study.trials[0].value == 1.0


def test_a_value_that_cannot_be_written_is_written_later(journal):
    """The end of a trial is repeated until the storage takes it."""
    waits = []
    hand = worker(journal, trials=1, wait=waits.append)
    tell, failures = hand.study.tell, [2]

    def failing(*arguments, **options):
        if failures[0]:
            failures[0] -= 1
            raise OSError(28, "No space left on device")
        return tell(*arguments, **options)

    hand.study.tell = failing

    assert hand.work(parabola) == 1
    assert len(waits) == 2
    assert hand.study.trials[0].state.name == "COMPLETE"


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_journal_whose_last_line_is_cut_goes_on(journal, cut):
    """The half line is kept beside the journal, the study goes on, and can be opened again."""
    worker(journal, trials=3).work(parabola)
    path = Path(journal)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    finished = worker(journal, trials=6, lost_s=0.1).work(parabola)
    (aside,) = path.parent.glob(f"{path.name}.cut-*")

    assert finished >= 3
    assert whole.startswith(path.read_bytes()[: -cut or None][:100])
    assert whole[:-cut].endswith(aside.read_bytes())
    assert sum(trial.state.name == "COMPLETE" for trial in worker(journal).study.trials) == 6


def test_a_write_that_is_cut_off_does_not_spoil_the_next(journal):
    """A half line of this or another worker is moved away before the next line is written."""
    hand = worker(journal, trials=2)
    with Path(journal).open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    hand.work(parabola)

    assert sum(trial.state.name == "COMPLETE" for trial in worker(journal).study.trials) == 2


def test_a_journal_that_is_damaged_in_the_middle_is_one_line(journal):
    """A line that no worker can read is named, and what to do."""
    worker(journal, trials=2).work(parabola)
    path = Path(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"half a li" + lines[2], *lines[3:]]))

    with pytest.raises(BadConfig, match=f"the journal {journal} of the study is damaged in the middle"):
        worker(journal)
