"""The life of the daemon's process: everything started, signals heard, everything ended, and an end when it is stuck."""

import faulthandler
import os
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import FrameType

import structlog

from bot.daemon._jobs import LOOK_S, JobSchedule
from bot.daemon._loop import Daemon
from bot.daemon._notifier import Notifier
from bot.record.heartbeat import HOPELESS_S, Heartbeat

STOP_S = 9.0
"""Seconds after SIGTERM at which the process ends itself, if no training has to save where it is."""

TRAINING_STOP_S = 40.0
"""The same while a command is saving a checkpoint."""

BEAT_S = 20.0
"""Seconds between two heartbeats where there is no loop over rounds."""

LOOK_AFTER_S = 5.0
"""Seconds between two looks of the watchdog."""

SILENT_S = LOOK_S + 15.0
"""Seconds without a sign from the scheduler after which it counts as dead; with the next beat that is seen in 120."""

RESTART = 75
"""Exit status of a process that ends because it cannot recover: whoever started it should start it again."""

log = structlog.get_logger()


def serve(loop: Daemon, schedule: JobSchedule, notifier: Notifier, web: AbstractContextManager[object] | None) -> None:
    """
    Run loop, jobs, messages and pages until SIGTERM or SIGINT, and end within ten seconds of it.

    A training under way gets half a minute to save where it is.
    """
    stop = _stop_on_signals(schedule, loop.wake)
    threading.Thread(target=_watch, args=(loop.heartbeat, schedule, stop), daemon=True, name="watchdog").start()
    with ExitStack() as running:
        running.enter_context(web or nullcontext())
        notifier.start()
        running.callback(notifier.stop)
        schedule.start()
        running.callback(schedule.stop)
        log.info("daemon.started", tick_s=loop.tick_s, chores=schedule.names, accounts=len(loop.accounts))
        loop.run(stop)
        log.info("daemon.stopping")
    log.info("daemon.stopped")


def serve_jobs(schedule: JobSchedule, heartbeat: Heartbeat) -> None:
    """Run jobs alone, as beside a daemon that cannot train: until SIGTERM or SIGINT, with a heartbeat of its own."""
    wake = threading.Event()
    stop = _stop_on_signals(schedule, wake)
    threading.Thread(target=_watch, args=(heartbeat, schedule, stop), daemon=True, name="watchdog").start()
    schedule.start()
    log.info("trainer.started", chores=schedule.names)
    while not stop.is_set():
        heartbeat.beat(busy=schedule.is_busy)
        wake.wait(BEAT_S)
    schedule.stop()
    log.info("trainer.stopped")


def _stop_on_signals(schedule: JobSchedule, wake: threading.Event) -> threading.Event:
    """Return an event that SIGTERM and SIGINT set, waking whoever waits; the process ends soon after in any case."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        if not stop.is_set():
            threading.Thread(target=_end_for_sure, args=(schedule,), daemon=True).start()
        stop.set()
        wake.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return stop


def _watch(heartbeat: Heartbeat, schedule: JobSchedule, stop: threading.Event) -> None:
    """End the process when the loop or the scheduler has died: an unhealthy container is not restarted, an ended one is."""
    while not stop.wait(LOOK_AFTER_S):
        silent = schedule.silent_s > SILENT_S
        heartbeat.mark("scheduler", f"no sign of it for {schedule.silent_s:.0f} s" if silent else None)
        if heartbeat.age_s > HOPELESS_S or schedule.silent_s > SILENT_S + HOPELESS_S:
            log.critical("daemon.stuck", loop_s=round(heartbeat.age_s), scheduler_s=round(schedule.silent_s))
            faulthandler.dump_traceback(file=sys.stderr)
            os._exit(RESTART)


def _end_for_sure(schedule: JobSchedule) -> None:
    """End the process when stopping outlasts its grace; ledger and server know where everything was."""
    began = time.monotonic()
    while time.monotonic() - began < (TRAINING_STOP_S if schedule.is_busy else STOP_S):
        time.sleep(0.2)
    log.warning("daemon.killed", reason="something went on after the signal")
    os._exit(0)
