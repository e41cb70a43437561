"""
JobSchedule jobs: commands of the bot on a schedule, as child processes beside the rounds.

APScheduler only looks whether something is due; dueness itself comes from the ledger and survives restarts, so that what
was missed is made up for once. A job that fails or hangs cannot stop the loop.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from bot.record.ledger import Ledger
from bot.system.child_process import ChildProcess

LIMIT_S = 12 * 3600.0
"""Seconds a job's command may take."""

RETRY_S = 900.0
"""Seconds after which a failed job is tried again."""

LOOK_S = 60.0
"""Seconds between two looks whether a job is due."""

CHECKPOINT_S = 30.0
"""Seconds a command gets to save where it is, once it is told to stop."""

NICENESS = 10
log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Job:
    """
    Commands of the bot on a schedule.

    Attributes:
        name: Under which the ledger remembers the last run.
        commands: Arguments of each command, run one after another.
        ledger_path: Where the job remembers its last run.
        every_s: Seconds between two runs, from success to success.
        with_key: Whether its commands ask Numerai about the account.
        wanted: Says, when it is time, whether there is anything to run for.
        alive: Called while a command runs.
        done: Called when a run has succeeded.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    ledger_path: Path
    every_s: float
    with_key: bool = False
    wanted: Callable[[], bool] = lambda: True
    alive: Callable[[], None] = lambda: None
    done: Callable[[], None] = lambda: None
    _child: ChildProcess | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def is_due(self, now: datetime) -> bool:
        """Say whether to run: never ran, was cut off, failed a while ago, or succeeded long enough ago."""
        ledger = Ledger(self.ledger_path)
        try:
            last = ledger.job(self.name)
        finally:
            ledger.close()
        if last is None or last["finished_at"] is None:
            return True
        pause_s = self.every_s if last["outcome"] == "ok" else min(self.every_s, RETRY_S)
        return (now - datetime.fromisoformat(last["finished_at"])).total_seconds() >= pause_s

    def run(self) -> None:
        """Run the commands if it is time to; the outcome goes to the ledger and the log."""
        if self._stopping.is_set() or not self.is_due(datetime.now(UTC)) or not self.wanted():
            return
        ledger = Ledger(self.ledger_path)
        try:
            ledger.start_job(self.name, datetime.now(UTC))
            outcomes = [self._run(command) for command in self.commands]
            outcome = next((one for one in outcomes if one != "ok"), "ok")
            if self._stopping.is_set():
                return
            ledger.finish_job(self.name, datetime.now(UTC), outcome)
            log.info("chore.finished", chore=self.name, outcome=outcome)
            if outcome == "ok":
                self.done()
        finally:
            ledger.close()

    @property
    def is_running(self) -> bool:
        """Say whether one of its commands is under way."""
        return self._child is not None and self._child.poll() is None

    def stop(self, *, grace_s: float = CHECKPOINT_S) -> None:
        """End a command that is under way, once it has saved where it is; what it publishes, it publishes in one step."""
        self._stopping.set()
        if self._child is not None:
            self._child.stop(grace_s=grace_s)

    def _run(self, command: tuple[str, ...]) -> str:
        if self._stopping.is_set():
            return "stopped"
        log.info("chore.started", chore=self.name, command=" ".join(command))
        child = ChildProcess(command=command, limit_s=LIMIT_S, niceness=NICENESS, with_key=self.with_key)
        child.start()
        self._child = child
        while (status := child.poll()) is None:
            if child.is_overdue:
                child.stop(grace_s=CHECKPOINT_S)
                return f"not done within {LIMIT_S:g} s"
            self.alive()
            self._stopping.wait(0.5)
            if self._stopping.is_set():
                return "stopped"
        return "ok" if status == 0 else f"exit status {status}"


class JobSchedule:
    """
    The jobs of a daemon, one after another in their order: they share data and cores.

    Args:
        jobs: Of them, those that are due at once run in this order.
        done: Called when one of them has succeeded.
    """

    def __init__(self, jobs: Sequence[Job], *, done: Callable[[], None] = lambda: None) -> None:
        self._jobs = jobs
        self._seen = time.monotonic()
        self._scheduler = make_scheduler()
        for job in jobs:
            job.alive, job.done = self._live, done
        if jobs:
            seconds = min(LOOK_S, *(job.every_s for job in jobs))
            self._scheduler.add_job(self._look, "interval", seconds=seconds, id="jobs", next_run_time=datetime.now(UTC))

    @property
    def silent_s(self) -> float:
        """Return the seconds since the scheduler last showed that it lives; 0 where it has nothing to do."""
        return time.monotonic() - self._seen if self._jobs else 0.0

    @property
    def names(self) -> dict[str, float]:
        """Return the jobs, and the seconds between two runs of each."""
        return {job.name: job.every_s for job in self._jobs}

    @property
    def is_busy(self) -> bool:
        """Say whether a command is under way."""
        return any(job.is_running for job in self._jobs)

    def start(self) -> None:
        """Look for due jobs from now on."""
        self._scheduler.start()

    def stop(self) -> None:
        """End what is under way; return once every command has saved and ended."""
        for job in self._jobs:
            job.stop()
        self._scheduler.shutdown(wait=False)

    def _look(self) -> None:
        for job in self._jobs:
            self._live()
            job.run()

    def _live(self) -> None:
        self._seen = time.monotonic()


def make_scheduler() -> BackgroundScheduler:
    """Return a scheduler for jobs: in memory, UTC, late runs are made up for once and never overlap."""
    return BackgroundScheduler(
        timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
