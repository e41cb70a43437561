"""
Jobs: commands of the bot that run on a schedule, as child processes beside the rounds.

The ledger decides whether a job is due, so that a restart forgets nothing and a missed run is made up for once.
APScheduler only triggers the check. A job that fails or hangs cannot stop the loop, and one that cannot be started does
not hold up the next job.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from bot.errors import StateUnwritable
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.system.child_process import ChildProcess

LIMIT_S = 12 * 3600.0
"""Longest run of a job's command in seconds."""

RETRY_S = 900.0
"""Seconds before a failed job runs again."""

LOOK_S = 60.0
"""Seconds between two checks whether a job is due."""

CRASHED_S = 10.0
"""Seconds before the next check after one that raised."""

STEP_S = 2.0
"""Seconds by which the wall clock must be moved before the schedule is set anew."""

FINISHING_S, FINISHINGS = 5.0, 60
"""Seconds between two attempts to write a run's outcome, and their number: a disk that is full may get room again."""

CHECKPOINT_S = 30.0
"""Seconds a command has after SIGTERM to save a checkpoint."""

NICENESS = 10
CHECK = "jobs"
"""Name of the check for due jobs in the scheduler."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Job:
    """
    Commands of the bot that run on a schedule.

    Attributes:
        name: Name of the job in the ledger.
        commands: Arguments of each command; they run one after another.
        ledger_path: Ledger that stores the last run.
        every_s: Seconds from a success to the next run.
        with_key: Whether the commands get the API key.
        with_storage: Whether the commands get the URL and the variables of the storage of packs.
        environment: Further variables of the commands.
        wanted: Returns whether there is work for a run that is due.
        alive: Called every half second while a command runs.
        done: Called when a run, or one of its commands, has succeeded.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    ledger_path: Path
    every_s: float
    with_key: bool = False
    with_storage: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    wanted: Callable[[], bool] = lambda: True
    alive: Callable[[], None] = lambda: None
    done: Callable[[], None] = lambda: None
    _child: ChildProcess | None = None
    _succeeded: dict[tuple[str, ...], float] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def is_due(self, now: datetime) -> bool:
        """
        Return whether the last run is missing, was interrupted, or ended long enough ago.

        A run that ended in the future was recorded by a clock that was ahead. Nobody knows when it ended, so it is made
        again: a second run costs minutes, and waiting for that time would cost weeks.
        """
        with closing(Ledger(self.ledger_path)) as ledger:
            last = ledger.job(self.name)
        if last is None or last["finished_at"] is None:
            return True
        pause_s = self.every_s if last["outcome"] == "ok" else min(self.every_s, RETRY_S)
        return not 0 <= (now - datetime.fromisoformat(last["finished_at"])).total_seconds() < pause_s

    def run(self) -> None:
        """Run the commands if the job is due; write the outcome to the ledger and the log."""
        if self._stopping.is_set() or not self.is_due(datetime.now(UTC)) or not self.wanted():
            return
        with closing(Ledger(self.ledger_path)) as ledger:
            ledger.start_job(self.name, datetime.now(UTC))
            outcomes = [self._run(command) for command in self._left()]
            outcome = next((one for one in outcomes if one != "ok"), "ok")
            if self._stopping.is_set():
                return
            self._finish(ledger, outcome)
            log.info("chore.finished", chore=self.name, outcome=outcome)
            if outcome == "ok":
                self._succeeded.clear()
            if "ok" in outcomes:
                self.done()

    def _left(self) -> list[tuple[str, ...]]:
        """
        Return the commands to run: all, but in a run after a failure not those that succeeded a while ago.

        One broken recipe fails every run, and the others would be trained again every quarter of an hour.
        """
        now = time.monotonic()
        left = [one for one in self.commands if now - self._succeeded.get(one, -math.inf) >= self.every_s]
        return left or list(self.commands)

    def _finish(self, ledger: Ledger, outcome: str) -> None:
        """Write the outcome; hours of work are not made again because the disk was full for a minute."""
        for left in reversed(range(FINISHINGS)):
            try:
                ledger.finish_job(self.name, datetime.now(UTC), outcome)
            except StateUnwritable:
                if not left:
                    raise
                self.alive()
                if self._stopping.wait(FINISHING_S):
                    raise
            else:
                return

    @property
    def is_running(self) -> bool:
        """Return whether one of its commands is running."""
        return self._child is not None and self._child.poll() is None

    def start_no_more(self) -> None:
        """Start no command from now on; one that is running goes on."""
        self._stopping.set()

    def stop(self, *, grace_s: float = CHECKPOINT_S) -> None:
        """Stop the running command, after *grace_s* seconds by SIGKILL. Commands publish their results atomically."""
        self.start_no_more()
        if self._child is not None:
            self._child.stop(grace_s=grace_s)

    def _run(self, command: tuple[str, ...]) -> str:
        """Run one command; return its outcome, ``ok`` or a reason."""
        if self._stopping.is_set():
            return "stopped"
        log.info("chore.started", chore=self.name, command=" ".join(command))
        child = ChildProcess(
            command=command,
            limit_s=LIMIT_S,
            niceness=NICENESS,
            with_key=self.with_key,
            with_storage=self.with_storage,
            environment=self.environment,
        )
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
        if status == 0:
            self._succeeded[command] = time.monotonic()
            return "ok"
        return f"exit status {status}"


class JobSchedule:
    """
    Runs a daemon's jobs, one at a time, because they share data and cores.

    Args:
        jobs: Jobs in the order in which they run when several are due.
        done: Called when one of them has succeeded.
    """

    def __init__(self, jobs: Sequence[Job], *, done: Callable[[], None] = lambda: None) -> None:
        self._jobs = jobs
        self._last_sign = time.monotonic()
        self._crashes: dict[str, int] = {}
        self._sound: set[str] = set()
        self._offset = _clock_offset()
        self._scheduler = make_scheduler()
        if jobs:
            # The thread that starts a child must outlive it, because the kernel ends the child with it; the threads of
            # the scheduler's pool live as long as the scheduler.
            self._scheduler.add_job(
                self._look,
                "interval",
                seconds=min(LOOK_S, *(job.every_s for job in jobs)),
                id=CHECK,
                next_run_time=datetime.now(UTC),
            )
        for job in jobs:
            job.alive, job.done = self._note_sign, done

    @property
    def last_sign(self) -> float:
        """Return the monotonic time of the scheduler's last sign of life."""
        return self._last_sign

    @property
    def silent_s(self) -> float:
        """Return the seconds since the scheduler's last sign of life; 0 if there are no jobs."""
        return time.monotonic() - self._last_sign if self._jobs else 0.0

    @property
    def names(self) -> dict[str, float]:
        """Return the seconds between two runs of each job, by its name."""
        return {job.name: job.every_s for job in self._jobs}

    @property
    def is_busy(self) -> bool:
        """Return whether a command is running."""
        return any(job.is_running for job in self._jobs)

    def start(self) -> None:
        """Start to check for due jobs."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop the running command; return once it has saved and ended."""
        # All jobs first: while one saves a checkpoint, the check for due jobs would start the next one.
        for job in self._jobs:
            job.start_no_more()
        for job in self._jobs:
            job.stop()
        # Last: the kernel kills a command together with the thread that started it, which ends with the scheduler.
        self._scheduler.shutdown(wait=False)

    def follow_clock(self) -> None:
        """
        Check for due jobs at once if the wall clock was moved; call it every few seconds.

        The scheduler waits by the wall clock: one that is set back by an hour would make it wait for an hour.
        """
        offset = _clock_offset()
        if abs(offset - self._offset) > STEP_S:
            self._offset = offset
            self._look_in(0.0)

    def _look_in(self, seconds: float) -> None:
        if self._jobs and self._scheduler.running:
            self._scheduler.modify_job(CHECK, next_run_time=datetime.now(UTC) + timedelta(seconds=seconds))

    def _look(self) -> None:
        for job in self._jobs:
            self._note_sign()
            try:
                job.run()
                self._end_crashes(job)
            except Exception as error:  # noqa: BLE001 - whatever one job raises, the others run, and the thread goes on
                self._count_crash(job, error)
        if self._crashes:
            self._look_in(CRASHED_S)

    def _count_crash(self, job: Job, error: Exception) -> None:
        """Log an error of a job, and alert the second one in a row; its next check comes soon."""
        crashes = self._crashes[job.name] = self._crashes.get(job.name, 0) + 1
        log.error("chore.crashed", chore=job.name, kind=type(error).__name__, exc_info=error)
        if crashes > 1:
            body = f"{type(error).__name__}, {crashes} times in a row; the log has the place. The bot keeps trying."
            try:
                with closing(Outbox(job.ledger_path)) as outbox:
                    outbox.alert(f"job {job.name}", f"the job {job.name} cannot run", body, at=datetime.now(UTC))
            except Exception as unsent:  # noqa: BLE001 - the ledger is often the cause; the next crash tries again
                log.warning("alert.delayed", trouble=f"job {job.name}", kind=type(unsent).__name__)

    def _end_crashes(self, job: Job) -> None:
        """Close the alert of a job that can run; in the first check also one that an earlier process opened."""
        if self._crashes.get(job.name, 0) > 1 or job.name not in self._sound:
            with closing(Outbox(job.ledger_path)) as outbox:
                outbox.resolve(f"job {job.name}", f"the job {job.name} runs again", at=datetime.now(UTC))
        self._crashes.pop(job.name, None)
        self._sound.add(job.name)

    def _note_sign(self) -> None:
        self._last_sign = time.monotonic()


def make_scheduler() -> BackgroundScheduler:
    """Return a scheduler in memory and UTC, whose late runs are made up for once and never overlap."""
    return BackgroundScheduler(
        timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )


def _clock_offset() -> float:
    """Return the seconds from the monotonic clock to the wall clock; it changes when somebody moves the latter."""
    return time.time() - time.monotonic()
