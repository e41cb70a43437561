"""
Workers that share the trials of a study: each trial runs once, and the trial of a dead worker runs again.

Optuna stores the study in SQLite or PostgreSQL. While a trial runs, Optuna writes beats; it ends a trial whose beats have
stopped, and enqueues the trial's parameters again. A worker adds the limits that Optuna has for one process only: the number of
trials of all workers together, and the number of failures.

The storage numbers trials one after the other. A worker that draws a number beyond the wanted count fails that trial
at once, so that the study never has too many.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import structlog
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError

from bot.errors import BadConfig, OperatorNeeded, RetryLater
from bot.tournament.retries import retry_context

BASE = "base"
"""User attribute: this trial is the recipe that the study begins with."""
SURPLUS = "surplus"
"""User attribute: the study had enough trials without this one."""
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
FAILURES = 5
"""Failed trials in a row after which a worker gives up, because the cause is not in the parameters."""
RETRIES = 10
"""Repetitions of a lost trial; parameters that need too much memory would kill one worker after the other."""

UNWRITABLE = (SQLAlchemyError, StorageInternalError)
"""Errors of a database that may pass: a full or failing disk, a database that restarts."""

SHARED = "take sqlite:///PATH (workers of one machine) or postgresql://HOST/DATABASE"

log = structlog.get_logger()
Objective = Callable[[optuna.Trial], float]


class Interrupted(Exception):
    """A worker was stopped inside a trial; the trial runs again."""


def open_study(where: str, name: str, *, beat_s: int = 20, lost_s: int = 300) -> optuna.Study:
    """
    Open the study *name*, or create it.

    Args:
        where: URL of a database: ``sqlite:///PATH`` or ``postgresql://...``.
        name: Name of the study; see :attr:`bot.research.tune.Tuning.name`.
        beat_s: Seconds between two beats of a running trial.
        lost_s: Seconds without a beat after which a trial is lost; many beats, because disks may hang.

    Raises:
        BadConfig: Optuna cannot repeat lost trials in this kind of storage, or the file is no database.
        OperatorNeeded: The driver of the database is not installed.
        RetryLater: The database does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = _database(where)
    # Of workers that create the tables at the same time, all but one fail.
    for attempt in retry_context(on=RetryLater, attempts=4, wait_max=1.0):
        with attempt:
            storage = _storage(url, beat_s=beat_s, lost_s=lost_s)
    try:
        with _experimental():
            return optuna.create_study(
                study_name=name,
                storage=storage,
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(constant_liar=True, n_startup_trials=10),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            )
    except UNWRITABLE as error:
        raise _unanswered(error) from None


def _database(where: str) -> URL:
    """Return the URL of a database in which Optuna repeats lost trials."""
    if "://" not in where:
        raise BadConfig(f"--study {where}: a journal cannot repeat the trial of a dead worker; {SHARED}")
    kind = where.partition(":")[0]
    try:
        url = make_url(where)
    except (ValueError, ArgumentError):
        raise BadConfig(f"--study: this URL of {kind} cannot be read; {SHARED}") from None
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise BadConfig(f"--study: {kind} is not supported, because lost trials were never tested there; {SHARED}")
    if backend == "sqlite":
        if not url.database or "memory" in (url.query.get("mode"), url.database.strip(":")):
            raise BadConfig(f"--study: a database in memory ends with its worker; {SHARED}")
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    return url


def _storage(url: URL, *, beat_s: int, lost_s: int) -> "_Storage":
    """Open a database, and create its tables where they are missing."""
    try:
        with _experimental():
            return _Storage(url, beat_s=beat_s, lost_s=lost_s)
    except ImportError as error:
        # optuna raises an error of its own from that of the driver.
        driver = getattr(error.__cause__ or error, "name", None) or "see SQLAlchemy"
        raise OperatorNeeded(f"{url.drivername} needs a driver that is not installed: {driver}") from None
    except (ValueError, ArgumentError):
        raise BadConfig(f"--study: {url.drivername} is no kind of database that optuna knows; {SHARED}") from None
    except RuntimeError as error:  # tables of another version
        raise BadConfig(f"--study: optuna cannot use this database ({error}); start again in another one") from None
    except SQLAlchemyError as error:
        if url.get_backend_name() == "sqlite" and type(error) is DatabaseError:
            raise BadConfig("--study: the file is damaged or no database; move it away and start again") from None
        raise _unanswered(error) from None


def _unanswered(error: Exception) -> RetryLater:
    # The text of the error may contain the URL, which contains a password.
    return RetryLater(f"the database of the study does not answer ({type(error).__name__})")


@contextmanager
def _experimental() -> Iterator[None]:
    """Hide the warnings that Optuna may change beats and repeated trials in a later version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


class _Storage(RDBStorage):
    """
    A database in which a worker waits for other workers, and for a disk that fails for a while.

    Args:
        url: URL of the database.
        beat_s: Seconds between two beats.
        lost_s: Seconds without a beat after which a trial is lost.
    """

    def __init__(self, url: URL, *, beat_s: int, lost_s: int) -> None:
        sqlite = url.get_backend_name() == "sqlite"
        super().__init__(
            # optuna fills in braces, which a password may have.
            url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
            engine_kwargs={"connect_args": {"timeout": 60, "isolation_level": None}}
            if sqlite
            else {"pool_pre_ping": True},
            heartbeat_interval=beat_s,
            grace_period=lost_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
        )
        self._lost_s = lost_s
        if sqlite:
            # sqlite3 begins a transaction after the reads that optuna's writes depend on, so that two workers would take the
            # same trial. See "Serializable isolation" in SQLAlchemy's page on SQLite.
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def record_heartbeat(self, trial_id: int) -> None:
        """Write a beat, or log that it could not be written."""
        try:
            super().record_heartbeat(trial_id)
        except UNWRITABLE as error:
            # optuna's thread ends at an error; without further beats, other workers would take the trial for lost.
            log.warning("beat.failed", reason=type(error).__name__)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Begin or end a trial; a write that fails is repeated as long as a trial may be silent, since hours depend on it."""
        for attempt in retry_context(on=UNWRITABLE, attempts=None, timeout=self._lost_s, wait_max=20.0):
            with attempt:
                return super().set_trial_state_values(trial_id, state, values)
        raise AssertionError  # stamina raises the last error itself


@dataclass(kw_only=True)
class Worker:
    """
    One process that works on a study until the study is done.

    Attributes:
        study: Study that all workers share.
        trials: Number of trials that the study needs.
        base: Parameters of the first trial.
        should_stop: Called between trials, and by long objectives; the worker stops when it returns true.
        wait_s: Seconds to wait while only other workers have trials.
        wait: Waits for so many seconds.
    """

    study: optuna.Study
    trials: int
    base: Mapping[str, Any] = field(default_factory=dict)
    should_stop: Callable[[], bool] = lambda: False
    wait_s: float = 20.0
    wait: Callable[[float], object] = time.sleep

    def work(self, objective: Objective) -> int:
        """
        Run trials until the study has enough of them, or until *should_stop*.

        Returns:
            Number of trials that this worker finished.

        Raises:
            OperatorNeeded: Several trials in a row failed.
            RetryLater: The database does not answer.
        """
        try:
            return self._work(objective)
        except UNWRITABLE as error:
            raise _unanswered(error) from None

    def _work(self, objective: Objective) -> int:
        finished = failures = 0
        while not self.should_stop():
            with _experimental():
                fail_stale_trials(self.study)
            trials = self._trials()
            if sum(trial.state in DONE for trial in trials) >= self.trials:
                break
            if self.base and not any(BASE in trial.user_attrs for trial in trials):
                self.study.enqueue_trial(dict(self.base), user_attrs={BASE: True})
            elif len(_counted(trials)) >= self.trials and not any(one.state == TrialState.WAITING for one in trials):
                self.wait(self.wait_s)
                continue
            state = self._run(objective)
            finished += state in DONE
            failures = failures + 1 if state == TrialState.FAIL else 0
            if failures >= FAILURES:
                raise OperatorNeeded(f"{failures} trials in a row failed; the log says why, the study is kept")
        return finished

    def _run(self, objective: Objective) -> TrialState | None:
        """Run one trial; return its state, ``None`` if it was surplus, interrupted, or ended by another worker."""
        run = _Run(worker=self, objective=objective)
        try:
            self.study.optimize(run, n_trials=1, catch=(_Surplus,))
        except (Exception, KeyboardInterrupt) as error:  # of whatever kind, the trial must run again
            if error is run.error:
                self._repeat(run.number, most=None if isinstance(error, Interrupted) else RETRIES)
                if isinstance(error, Interrupted):
                    return None
            elif isinstance(error.__context__, UNWRITABLE):
                # optuna 5.0.0 raises an UnboundLocalError where the database fails at the end of a trial.
                raise error.__context__ from None
            elif run.number >= 0 and isinstance(error, (AssertionError, ValueError, UpdateFinishedTrialError)):
                # A worker that saw no beat in time has ended this trial, and enqueued its parameters again. optuna 5.0.0 raises
                # one of these errors then.
                log.warning("trial.ended_elsewhere", trial=run.number)
                return None
            raise
        if run.surplus:
            return None
        state = self._trial(run.number).state
        if state == TrialState.FAIL:
            log.warning("trial.failed", trial=run.number, value="not finite")
        return state

    def _repeat(self, number: int, *, most: int | None) -> None:
        """Enqueue the parameters of a failed trial again, unless they were so *most* times."""
        with _experimental():
            RetryHeartbeatStaleTrialCallback(max_retry=most)(self.study, self._trial(number))

    def _trial(self, number: int) -> FrozenTrial:
        return next(trial for trial in self._trials() if trial.number == number)

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def is_surplus(self, number: int) -> bool:
        """Return whether the study has enough trials without this one, or another trial is the base too."""
        trials = self._trials()
        before = [trial for trial in _counted(trials) if trial.number < number]
        own = self._trial(number)
        return len(before) >= self.trials or (BASE in own.user_attrs and any(BASE in one.user_attrs for one in before))


class _Surplus(Exception):
    """The study has enough trials."""


@dataclass(kw_only=True)
class _Run:
    """
    An objective that keeps what it did.

    Attributes:
        worker: The worker.
        objective: The objective.
        number: Number of the trial; -1 before it begins.
        surplus: Whether the trial was not needed.
        error: Error of the objective.
    """

    worker: Worker
    objective: Objective
    number: int = -1
    surplus: bool = False
    error: BaseException | None = None

    def __call__(self, trial: optuna.Trial) -> float:
        self.number = trial.number
        if self.worker.is_surplus(trial.number):
            self.surplus = True
            trial.set_user_attr(SURPLUS, value=True)
            raise _Surplus
        try:
            value = self.objective(trial)
        except optuna.TrialPruned:
            raise
        except BaseException as error:
            self.error = error
            raise
        return value if math.isfinite(value) else math.nan  # optuna fails a trial without a number


def repeated(trials: Sequence[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that another one repeats, because their worker died or was stopped."""
    with _experimental():
        return {number for one in trials for number in RetryHeartbeatStaleTrialCallback.retry_history(one)}


def _counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count: done, running or waiting."""
    return [trial for trial in trials if trial.state != TrialState.FAIL]
