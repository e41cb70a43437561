"""
Trials that several machines share: each is done once, and one whose worker died is done again.

Optuna keeps the study; what it lacks is here. A journal file leaves the trial of a killed worker running for ever, so
every worker writes a beat into its trial, and whoever sees a beat stand still ends that trial and puts its parameters
back. Clocks of machines are never compared: each worker times the beats that it sees by its own clock.

The number of a trial is given out by the storage, one after the other, and that is what keeps a study from having more
trials than asked for: a worker that draws a number beyond them gives it up at once.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import structlog
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from bot.errors import BadConfig, OperatorNeeded, RetryLater

BEAT = "beat"
AGAIN = "again"
LOST = "lost"
SURPLUS = "surplus"
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
FAILURES = 5
"""Trials of one worker that fail in a row before it gives up: then it is not the parameters."""

log = structlog.get_logger()
Objective = Callable[[optuna.Trial], float]


class Interrupted(Exception):
    """The worker was asked to stop inside a trial; the trial goes back to the others."""


def open_study(where: str, name: str) -> optuna.Study:
    """
    Open or make the study called *name*.

    Args:
        where: Path of a journal file on a disk that all workers share, or the URL of a database.
        name: The same for the same data and question.

    Raises:
        BadConfig: The URL is not one that can be opened.
        OperatorNeeded: Its driver is not installed.
        RetryLater: The database does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kind = where.partition(":")[0]
    storage: BaseStorage
    try:
        if "://" in where:
            storage = RDBStorage(where)
        else:
            Path(where).parent.mkdir(parents=True, exist_ok=True)
            storage = JournalStorage(JournalFileBackend(where))
    except ImportError as error:
        raise OperatorNeeded(f"{kind} needs a driver that is not installed: {error.name or 'see optuna'}") from None
    except (ValueError, ArgumentError):
        raise BadConfig(f"{kind} is no kind of database that optuna knows; use postgresql://..., or a path") from None
    except SQLAlchemyError as error:
        # The error's own text may repeat the URL, and that holds a password.
        raise RetryLater(f"the {kind} database of the study does not answer ({type(error).__name__})") from None
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(constant_liar=True, n_startup_trials=10),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )


@dataclass(kw_only=True)
class Worker:
    """
    One process that works on a study until it is done.

    Attributes:
        study: Shared with the other workers.
        trials: How many the study shall have in the end.
        beat_s: Seconds between two beats.
        lost_s: Seconds without a beat after which a trial counts as lost; many beats, for disks may hang.
        should_stop: Asked between trials, and by objectives that take long.
        wait: Waits so many seconds at most while only others' trials are left.
    """

    study: optuna.Study
    trials: int
    beat_s: float = 20.0
    lost_s: float = 300.0
    should_stop: Callable[[], bool] = lambda: False
    wait: Callable[[float], object] = time.sleep
    _seen: dict[int, tuple[object, float]] = field(default_factory=dict)

    def work(self, objective: Objective) -> int:
        """
        Do trials until the study has as many as it shall have, or until *should_stop*.

        Returns:
            The trials that this worker finished.

        Raises:
            OperatorNeeded: Several trials in a row failed.
        """
        finished = failures = 0
        while not self.should_stop():
            self._reap()
            known = self._known()
            if sum(trial.state in DONE for trial in known) >= self.trials:
                break
            if len(_slots(known)) >= self.trials and not any(trial.state == TrialState.WAITING for trial in known):
                self.wait(self.beat_s)
                continue
            trial = self.study.ask()
            if self._surplus(trial.number):
                self._end(trial.number, TrialState.FAIL, {SURPLUS: True})
                continue
            outcome = self._do(trial, objective)
            finished += outcome in DONE
            failures = failures + 1 if outcome == TrialState.FAIL else 0
            if failures >= FAILURES:
                raise OperatorNeeded(f"{failures} trials in a row failed; the log says why, the study is kept")
        return finished

    def _do(self, trial: optuna.Trial, objective: Objective) -> TrialState | None:
        """Do one trial while a thread keeps its beat; return how it ended, None where it was given back."""
        over = threading.Event()
        beats = threading.Thread(target=self._beat, args=(trial.number, over), name="beat", daemon=True)
        self._mark(trial.number, BEAT, 0)
        beats.start()
        try:
            value = objective(trial)
        except optuna.TrialPruned:
            return self._end(trial.number, TrialState.PRUNED)
        except (Interrupted, KeyboardInterrupt) as asked:
            over.set()
            beats.join()
            self._give_back(trial.number)
            if isinstance(asked, KeyboardInterrupt):
                raise
            return None
        finally:
            over.set()
            beats.join()
        if not math.isfinite(value):
            log.warning("trial.failed", trial=trial.number, value=value)
            return self._end(trial.number, TrialState.FAIL)
        return self._end(trial.number, TrialState.COMPLETE, value=value)

    def _beat(self, number: int, over: threading.Event) -> None:
        count = 0
        while not over.wait(self.beat_s):
            count += 1
            self._mark(number, BEAT, count)

    def _reap(self) -> None:
        """End the trials whose beat stands still, and put back the parameters of all that were lost."""
        now = time.monotonic()
        for trial in self._known():
            if trial.state != TrialState.RUNNING:
                self._seen.pop(trial.number, None)
                continue
            beat = trial.user_attrs.get(BEAT)
            last, since = self._seen.setdefault(trial.number, (beat, now))
            if beat != last:
                self._seen[trial.number] = (beat, now)
            elif now - since > self.lost_s:
                log.warning("trial.lost", trial=trial.number, silent_s=round(now - since, 1))
                self._give_back(trial.number)
        known = self._known()
        for trial in _orphans(known):
            self.study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})

    def _give_back(self, number: int) -> None:
        self._end(number, TrialState.FAIL, {LOST: True})
        for trial in _orphans(self._known()):
            if trial.number == number:
                self.study.enqueue_trial(trial.params, user_attrs={AGAIN: number})

    def _end(
        self, number: int, state: TrialState, marks: dict[str, object] | None = None, value: float | None = None
    ) -> TrialState | None:
        """End a trial; None where another worker has ended it before, whose word counts."""
        for name, mark in (marks or {}).items():
            self._mark(number, name, mark)
        try:
            self.study.tell(number, value, state=state)
        except (UpdateFinishedTrialError, ValueError):
            log.warning("trial.ended_elsewhere", trial=number)
            return None
        return state

    def _mark(self, number: int, name: str, value: object) -> None:
        storage, study = self.study._storage, self.study._study_id  # noqa: SLF001 - a trial of another process has no handle
        try:
            storage.set_trial_user_attr(storage.get_trial_id_from_study_id_trial_number(study, number), name, value)
        except UpdateFinishedTrialError:
            log.warning("trial.ended_elsewhere", trial=number)

    def _known(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _surplus(self, number: int) -> bool:
        """Say whether the study has its trials without this one, or another does the same again."""
        before = [trial for trial in self._known() if trial.number <= number]
        slots = _slots(before)
        return number not in slots or len(slots) > self.trials


def _slots(known: list[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that count: done, being done, waiting, or lost and not put back yet."""
    again: dict[int, int] = {}
    for trial in known:
        if AGAIN in trial.user_attrs:
            again.setdefault(int(trial.user_attrs[AGAIN]), trial.number)
    slots = set()
    for trial in known:
        if trial.state == TrialState.FAIL:
            counts = LOST in trial.user_attrs and trial.number not in again
        else:
            counts = AGAIN not in trial.user_attrs or again[int(trial.user_attrs[AGAIN])] == trial.number
        if counts:
            slots.add(trial.number)
    return slots


def _orphans(known: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that were lost and that nobody has put back."""
    slots = _slots(known)
    return [trial for trial in known if trial.state == TrialState.FAIL and trial.number in slots]
