"""
Workers that share the trials of a study: each trial runs once, and the trial of a dead worker runs again.

Optuna stores the study. A journal file leaves the trial of a killed worker running for ever, so every worker counts up a
beat in its trial. A worker that reads the same beat for too long ends that trial and enqueues its parameters again. Each
worker measures that time by its own clock, so the clocks of machines are never compared.

The storage numbers trials one after the other. A worker that draws a number beyond the wanted count gives the trial up
at once, so that the study never has too many.
"""

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import structlog
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from bot.errors import BadConfig, OperatorNeeded, RetryLater

BEAT = "beat"
"""User attribute: count that a running trial's worker raises."""
AGAIN = "again"
"""User attribute: number of the lost trial whose parameters this trial repeats."""
LOST = "lost"
"""User attribute: the worker of this trial died or was stopped."""
SURPLUS = "surplus"
"""User attribute: the study had enough trials without this one."""
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
FAILURES = 5
"""Failed trials in a row after which a worker gives up, because the cause is not in the parameters."""

UNWRITABLE = (OSError, SQLAlchemyError, StorageInternalError)
"""Errors of a storage that may pass: a full or failing disk, a database that restarts."""

log = structlog.get_logger()
Objective = Callable[[optuna.Trial], float]


class Interrupted(Exception):
    """A worker was stopped inside a trial; other workers run the trial again."""


def open_study(where: str, name: str) -> optuna.Study:
    """
    Open the study *name*, or create it.

    Args:
        where: Path of a journal file on a disk that all workers share, or URL of a database.
        name: Name of the study; see :attr:`bot.research.tune.Tuning.name`.

    Raises:
        BadConfig: The kind of database is unknown, or the journal is damaged.
        OperatorNeeded: The driver of the database is not installed.
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
            storage = JournalStorage(_Journal(where))
    except json.JSONDecodeError as error:
        raise BadConfig(
            f"the journal {where} of the study is damaged in the middle: {error.msg}; move it away and start again,"
            " or give another --study"
        ) from None
    except ImportError as error:
        raise OperatorNeeded(f"{kind} needs a driver that is not installed: {error.name or 'see optuna'}") from None
    except (ValueError, ArgumentError):
        raise BadConfig(f"{kind} is no kind of database that optuna knows; use postgresql://..., or a path") from None
    except SQLAlchemyError as error:
        # The text of the error may contain the URL, which contains a password.
        raise RetryLater(f"the {kind} database of the study does not answer ({type(error).__name__})") from None
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(constant_liar=True, n_startup_trials=10),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )


class _Journal(JournalFileBackend):
    """
    A journal that goes on after a write that was cut off, by a crash or a full disk.

    optuna appends to the half line, which makes one of two that no worker can read again.
    """

    def __init__(self, file_path: str) -> None:
        super().__init__(file_path)
        self._cut_tail()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines to whole ones."""
        self._cut_tail()
        super().append_logs(logs)

    def _cut_tail(self) -> None:
        """Move a half line at the end of the file to a file beside it."""
        path = Path(self._file_path)
        if _whole_bytes(path) == path.stat().st_size:
            return
        with get_lock_file(self._lock):  # another worker may be in the middle of its line
            whole = _whole_bytes(path)
            with path.open("r+b") as file:
                file.seek(whole)
                if tail := file.read():
                    aside = path.with_name(f"{path.name}.cut-{whole}")
                    aside.write_bytes(tail)
                    file.truncate(whole)
                    log.warning("study.line_cut", journal=str(path), kept=str(aside), bytes=len(tail))


def _whole_bytes(path: Path) -> int:
    """Return the size of a file up to the end of its last whole line."""
    end = path.stat().st_size
    with path.open("rb") as file:
        while end:
            start = max(0, end - 4096)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beat:
    """
    The newest beat of a running trial.

    Attributes:
        value: The beat.
        read_at: Time of this worker's clock when it read the value first, in seconds.
    """

    value: object
    read_at: float


@dataclass(kw_only=True)
class Worker:
    """
    One process that works on a study until the study is done.

    Attributes:
        study: Study that all workers share.
        trials: Number of trials that the study needs.
        beat_s: Seconds between two beats.
        lost_s: Seconds without a new beat after which a trial is lost; many beats, because disks may hang.
        should_stop: Called between trials, and by long objectives; the worker stops when it returns true.
        wait: Waits for at most the given seconds, while only other workers have trials.
    """

    study: optuna.Study
    trials: int
    beat_s: float = 20.0
    lost_s: float = 300.0
    should_stop: Callable[[], bool] = lambda: False
    wait: Callable[[float], object] = time.sleep
    _last_beats: dict[int, _Beat] = field(default_factory=dict)

    def work(self, objective: Objective) -> int:
        """
        Run trials until the study has enough of them, or until *should_stop*.

        Returns:
            Number of trials that this worker finished.

        Raises:
            OperatorNeeded: Several trials in a row failed.
        """
        finished = failures = 0
        while not self.should_stop():
            self._end_lost_trials()
            trials = self._trials()
            if sum(trial.state in DONE for trial in trials) >= self.trials:
                break
            if len(_counted(trials)) >= self.trials and not any(trial.state == TrialState.WAITING for trial in trials):
                self.wait(self.beat_s)
                continue
            trial = self.study.ask()
            if self._is_surplus(trial.number):
                self._end(trial.number, TrialState.FAIL, {SURPLUS: True})
                continue
            outcome = self._run(trial, objective)
            finished += outcome in DONE
            failures = failures + 1 if outcome == TrialState.FAIL else 0
            if failures >= FAILURES:
                raise OperatorNeeded(f"{failures} trials in a row failed; the log says why, the study is kept")
        return finished

    def _run(self, trial: optuna.Trial, objective: Objective) -> TrialState | None:
        """Run one trial while a thread beats; return its state, ``None`` if it was given back or ended elsewhere."""
        over = threading.Event()
        beats = threading.Thread(target=self._beat, args=(trial.number, over), name="beat", daemon=True)
        self._mark(trial.number, BEAT, 0)
        beats.start()
        try:
            value = objective(trial)
        except optuna.TrialPruned:
            return self._end(trial.number, TrialState.PRUNED)
        except UpdateFinishedTrialError:
            # A worker that did not see a beat in time has ended this trial, and made another one with its parameters.
            log.warning("trial.taken", trial=trial.number)
            return None
        except (Interrupted, KeyboardInterrupt) as interruption:
            over.set()
            beats.join()
            self._give_back(trial.number)
            if isinstance(interruption, KeyboardInterrupt):
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
            try:
                self._mark(number, BEAT, count)
            except UNWRITABLE as error:
                # The next beat may be written; without any, other workers would take the trial for lost.
                log.warning("beat.failed", trial=number, reason=type(error).__name__)

    def _end_lost_trials(self) -> None:
        """End the running trials without a new beat, and enqueue the parameters of all lost trials again."""
        now = time.monotonic()
        for trial in self._trials():
            if trial.state != TrialState.RUNNING:
                self._last_beats.pop(trial.number, None)
                continue
            beat = trial.user_attrs.get(BEAT)
            last = self._last_beats.setdefault(trial.number, _Beat(value=beat, read_at=now))
            if beat != last.value:
                self._last_beats[trial.number] = _Beat(value=beat, read_at=now)
            elif now - last.read_at > self.lost_s:
                log.warning("trial.lost", trial=trial.number, silent_s=round(now - last.read_at, 1))
                self._give_back(trial.number)
        for trial in _lost(self._trials()):
            self.study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})

    def _give_back(self, number: int) -> None:
        """End a trial as lost, and enqueue its parameters again."""
        self._end(number, TrialState.FAIL, {LOST: True})
        for trial in _lost(self._trials()):
            if trial.number == number:
                self.study.enqueue_trial(trial.params, user_attrs={AGAIN: number})

    def _end(
        self, number: int, state: TrialState, marks: dict[str, object] | None = None, value: float | None = None
    ) -> TrialState | None:
        """End a trial and return its state; ``None`` if another worker ended it before, which stays valid."""
        try:
            for name, mark in (marks or {}).items():
                self._insist(partial(self._mark, number, name, mark))
            self._insist(partial(self.study.tell, number, value, state=state))
        except (UpdateFinishedTrialError, ValueError):
            log.warning("trial.ended_elsewhere", trial=number)
            return None
        return state

    def _insist(self, write: Callable[[], object]) -> None:
        """Write to the storage; a write that fails is repeated as long as a trial may be silent, since hours depend on it."""
        end = time.monotonic() + self.lost_s
        while True:
            try:
                write()
            except UNWRITABLE as error:
                if time.monotonic() >= end:
                    raise
                log.warning("study.unwritable", reason=type(error).__name__)
                self.wait(self.beat_s)
            else:
                return

    def _mark(self, number: int, name: str, value: object) -> None:
        """Set a user attribute of a trial, unless the trial has ended."""
        storage, study = self.study._storage, self.study._study_id  # noqa: SLF001 - a trial of another process has no handle
        try:
            storage.set_trial_user_attr(storage.get_trial_id_from_study_id_trial_number(study, number), name, value)
        except UpdateFinishedTrialError:
            log.warning("trial.ended_elsewhere", trial=number)

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _is_surplus(self, number: int) -> bool:
        """Return whether the study has enough trials without this one, or another trial repeats the same lost one."""
        counted = _counted([trial for trial in self._trials() if trial.number <= number])
        return number not in counted or len(counted) > self.trials


def _counted(trials: list[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that count: done, running, waiting, or lost and not enqueued again yet."""
    repeats: dict[int, int] = {}
    for trial in trials:
        if AGAIN in trial.user_attrs:
            repeats.setdefault(int(trial.user_attrs[AGAIN]), trial.number)
    counted = set()
    for trial in trials:
        if trial.state == TrialState.FAIL:
            counts = LOST in trial.user_attrs and trial.number not in repeats
        else:
            counts = AGAIN not in trial.user_attrs or repeats[int(trial.user_attrs[AGAIN])] == trial.number
        if counts:
            counted.add(trial.number)
    return counted


def _lost(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return the lost trials that are not enqueued again yet."""
    counted = _counted(trials)
    return [trial for trial in trials if trial.state == TrialState.FAIL and trial.number in counted]
