"""Run the daemon process: start its parts, handle signals, stop them, and exit when the loop is stuck."""

import faulthandler
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from types import FrameType

import structlog

from bot.daemon._jobs import LOOK_S, JobSchedule
from bot.daemon._loop import Daemon
from bot.daemon._notifier import Notifier
from bot.daemon.hooks import Hooks
from bot.record.heartbeat import HOPELESS_S, Heartbeat
from bot.system.child_environment import import_path

STOP_S = 9.0
"""Seconds after SIGTERM at which the process ends itself, unless a command is still saving a checkpoint."""

TRAINING_STOP_S = 40.0
"""The same limit while a command is saving a checkpoint."""

BEAT_S = 20.0
"""Seconds between two heartbeats of a trainer, which has no loop over rounds."""

LOOK_AFTER_S = 5.0
"""Seconds between two checks of the watchdog."""

SILENT_S = LOOK_S + 15.0
"""Seconds without a sign of the scheduler after which it counts as dead. With the next beat, 120 s pass until that shows."""

RESTART = 75
"""Exit status of a process that cannot recover; its supervisor should start it again."""

RESTARTED_VARIABLE = "NUMERAI_BOT_RESTARTED"
"""Variable with the monotonic time at which a process that was stuck started itself anew."""

RESTARTED_AGAIN_S = 3600.0
"""Seconds after such a start within which a process that is stuck again ends, with ``RESTART``."""

REPORT_S = 5.0
"""Longest time in seconds for a report before the process ends."""

CHECK_S = 0.2
"""Seconds between two checks whether the time for a stop is over."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """
    The parts of `bot run`, not yet started.

    Attributes:
        loop: The loop over rounds.
        schedule: Its jobs.
        notifier: Sender of alerts and pings.
        hooks: Commands of a person that start when something has happened.
        web: Server of the pages; ``None`` without a port.
    """

    loop: Daemon
    schedule: JobSchedule
    notifier: Notifier
    hooks: Hooks
    web: AbstractContextManager[object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """
    The parts of `bot run --trainer`, not yet started.

    Attributes:
        schedule: Jobs that need no API key.
        heartbeat: Heartbeat of the trainer.
    """

    schedule: JobSchedule
    heartbeat: Heartbeat


def serve(service: Service) -> None:
    """
    Run a service until SIGTERM or SIGINT, then end within ten seconds.

    A training that is running gets half a minute more to save a checkpoint.
    """
    loop, schedule, notifier = service.loop, service.schedule, service.notifier
    if restarted_s() < math.inf:
        _reap_earlier_children()
        loop.report_restart()
    stop = _stop_on_signals(schedule, loop.wake)
    threading.Thread(target=_watch, args=(loop.heartbeat, schedule, stop), daemon=True, name="watchdog").start()
    with ExitStack() as running:
        running.enter_context(service.web or nullcontext())
        notifier.start()
        running.callback(notifier.stop)
        service.hooks.start()
        running.callback(service.hooks.stop)
        schedule.start()
        running.callback(schedule.stop)
        log.info("daemon.started", tick_s=loop.tick_s, chores=schedule.names, accounts=len(loop.accounts))
        loop.run(stop)
        log.info("daemon.stopping")
        loop.heartbeat.end()
    log.info("daemon.stopped")


def serve_jobs(trainer: Trainer) -> None:
    """Run jobs without a loop over rounds until SIGTERM or SIGINT, beside a daemon that cannot train."""
    schedule, wake = trainer.schedule, threading.Event()
    _reap_earlier_children()
    stop = _stop_on_signals(schedule, wake)
    threading.Thread(target=_watch, args=(trainer.heartbeat, schedule, stop), daemon=True, name="watchdog").start()
    with ExitStack() as running:
        schedule.start()
        running.callback(schedule.stop)
        log.info("trainer.started", chores=schedule.names)
        while not stop.is_set():
            try:
                trainer.heartbeat.beat(busy=schedule.is_busy)
            except OSError as error:  # a full disk; the training goes on
                log.error("pulse.failed", reason=str(error))  # noqa: TRY400 - one line
            wake.wait(BEAT_S)
        trainer.heartbeat.end()
    log.info("trainer.stopped")


def _stop_on_signals(schedule: JobSchedule, wake: threading.Event) -> threading.Event:
    """Return an event that SIGTERM and SIGINT set together with *wake*. The process ends soon after in any case."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        if not stop.is_set():
            threading.Thread(target=_end_for_sure, args=(schedule,), daemon=True).start()
        stop.set()
        wake.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return stop


class Silence:
    """
    The time since a part of this process last gave a sign of life, as far as this process could run.

    A process that was stopped, or whose machine was suspended, finds an old sign when it continues. That proves nothing:
    the part could not run either. So only the time between two looks of the watchdog counts, and of that a few seconds.

    Args:
        sign: Returns the time of the part's last sign.
    """

    def __init__(self, sign: Callable[[], float]) -> None:
        self._sign, self._last, self.seconds = sign, sign(), 0.0

    def count(self, passed_s: float) -> float:
        """Add the seconds since the last look, or begin again if there was a sign; return the seconds of silence."""
        sign = self._sign()
        self.seconds = 0.0 if sign != self._last else self.seconds + min(passed_s, 2 * LOOK_AFTER_S)
        self._last = sign
        return self.seconds


def _watch(heartbeat: Heartbeat, schedule: JobSchedule, stop: threading.Event) -> None:
    """End the process if the loop or the scheduler is dead: supervisors restart an ended container, not an unhealthy one."""
    loop, jobs = Silence(lambda: heartbeat.last_beat), Silence(lambda: schedule.last_sign)
    looked = time.monotonic()
    while not stop.wait(LOOK_AFTER_S):
        passed_s, looked = time.monotonic() - looked, time.monotonic()
        try:
            schedule.follow_clock()
        except Exception:  # whatever the scheduler raises, the watchdog goes on: without it nothing ends a dead loop
            log.exception("clock.unfollowed")
        loop_s, jobs_s = loop.count(passed_s), jobs.count(passed_s) if schedule.names else 0.0
        heartbeat.mark("scheduler", f"no sign of it for {jobs_s:.0f} s" if jobs_s > SILENT_S else None)
        if loop_s > HOPELESS_S or jobs_s > SILENT_S + HOPELESS_S:
            _end_stuck(loop_s, jobs_s)


def _end_stuck(loop_s: float, jobs_s: float) -> None:
    """Report that the process is stuck; start it anew in place, or end it if that was done within the last hour."""

    def report() -> None:
        log.critical("daemon.stuck", loop_s=round(loop_s), scheduler_s=round(jobs_s))
        faulthandler.dump_traceback(file=sys.stderr)

    _report(report)
    if restarted_s() > RESTARTED_AGAIN_S:
        os.environ[RESTARTED_VARIABLE] = str(time.monotonic())
        # `main` has isolated this program from the working folder, which a source checkout may be imported from.
        os.environ["PYTHONPATH"] = import_path()
        # Without a supervisor nobody starts the bot again. The kernel kills the children together with their threads.
        with suppress(OSError, ValueError):
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this program with its own arguments
    os._exit(RESTART)


def _report(write: Callable[[], None]) -> None:
    """Write a report for at most ``REPORT_S`` seconds. The write blocks if standard error is a pipe that nobody reads."""
    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    writing.join(timeout=REPORT_S)


def restarted_s() -> float:
    """Return the seconds since this process started itself anew because it was stuck; infinity if it did not."""
    try:
        return time.monotonic() - float(os.environ.get(RESTARTED_VARIABLE, "-inf"))
    except ValueError:
        return math.inf


def _reap_earlier_children() -> None:
    """Read the status of children that died when this process started itself anew, so that they leave no zombies."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_for_sure(schedule: JobSchedule) -> None:
    """End the process if it has not stopped in time. Nothing is lost: ledger and server hold the state of the round."""
    began, pause = time.monotonic(), threading.Event()
    while time.monotonic() - began < (TRAINING_STOP_S if schedule.is_busy else STOP_S):
        pause.wait(CHECK_S)  # `time.sleep` raises EINVAL under libfaketime 0.9.10, and this thread must not end early
    _report(lambda: log.warning("daemon.killed", reason="something went on after the signal"))
    os._exit(0)
