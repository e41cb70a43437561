"""
``bot run``: the submit step in a loop, and the calendar chores beside it.

Rounds are levels, not events: each step asks what the open round still owes and does it, with the code of
``bot submit``. APScheduler runs chores only; a chore that fails or hangs cannot stop the loop.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from bot.delivery import Slot
from bot.errors import BotError, NoChampion, RetryLater, RoundNotOpen
from bot.ledger import Ledger
from bot.submit import Submitter

HOLD_S = 300.0
"""Seconds before a slot that was refused, or that needs the operator, is tried again in the same round."""

STOP_S = 8.0
"""Seconds a step may go on after SIGTERM before the process ends itself; every step survives that."""

CHORE_LIMIT_S = 12 * 3600
RETRY_S = 900.0
"""Seconds after which a failed chore is tried again."""

LOOK_S = 60.0
"""Seconds between two looks whether a chore is due; dueness itself comes from the ledger and survives restarts."""
log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Daemon:
    """
    The loop over rounds.

    Attributes:
        submitter: Does a round for a slot.
        find_slots: Asks the account which slots there are; asked again for every round.
        tick_s: Seconds between two looks.
    """

    submitter: Submitter
    find_slots: Callable[[], tuple[Slot, ...]]
    tick_s: float
    _slots: tuple[Slot, ...] = ()
    _round: int | None = None
    _done: set[str] = field(default_factory=set)
    _held: dict[str, float] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Take steps until *stop* is set."""
        while not stop.is_set():
            stop.wait(self.step())

    def step(self) -> float:
        """
        Do what the open round still owes; return the seconds to wait before the next look.

        No error leaves this method: whatever happens in one step, the next one is taken.
        """
        try:
            self._step()
        except RoundNotOpen as waiting:
            if self._round != 0:
                log.info("round.waiting", reason=str(waiting))
            self._round = 0
        except BotError as error:
            log.warning("step.failed", reason=str(error), kind=type(error).__name__)
        except Exception:
            log.exception("step.crashed")
        return self.tick_s

    def _step(self) -> None:
        round_ = self.submitter.client.current_round()
        if round_.number != self._round:
            self._slots, self._done, self._held, self._said = self.find_slots(), set(), {}, {}
            self._round = round_.number
            log.info("round.open", round=round_.number, closes_at=round_.closes_at.isoformat())
        for slot in self._slots:
            if slot.name in self._done or self._held.get(slot.name, 0.0) > time.monotonic():
                continue
            try:
                receipt = self.submitter.submit(round_, slot)
            except (NoChampion, RetryLater) as error:
                self._wait(slot, str(error))
            except BotError as error:
                self._held[slot.name] = time.monotonic() + HOLD_S
                log.error("round.refused", round=round_.number, slot=slot.name, reason=str(error))  # noqa: TRY400 - one line
            else:
                self._done.add(slot.name)
                log.info("round.settled", round=round_.number, slot=slot.name, outcome=receipt.outcome)

    def _wait(self, slot: Slot, reason: str) -> None:
        """Log why a slot has to wait, once until the reason changes."""
        if self._said.get(slot.name) != reason:
            log.warning("round.delayed", round=self._round, slot=slot.name, reason=reason)
        self._said[slot.name] = reason


@dataclass(slots=True, kw_only=True)
class Chore:
    """
    Commands of the bot on a schedule, as child processes, so that neither their memory nor a crash reaches the loop.

    Attributes:
        name: Under which the ledger remembers the last run.
        commands: Arguments of each command, run one after another.
        ledger_path: Where the chore remembers its last run.
        every_s: Seconds between two runs, from success to success.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    ledger_path: Path
    every_s: float
    _child: subprocess.Popen[bytes] | None = None
    _stopping: bool = False

    def is_due(self, now: datetime) -> bool:
        """Say whether to run: never ran, was cut off, failed a while ago, or succeeded long enough ago."""
        ledger = Ledger(self.ledger_path)
        try:
            last = ledger.chore(self.name)
        finally:
            ledger.close()
        if last is None or last["finished_at"] is None:
            return True
        pause_s = self.every_s if last["outcome"] == "ok" else min(self.every_s, RETRY_S)
        return (now - datetime.fromisoformat(last["finished_at"])).total_seconds() >= pause_s

    def run(self) -> None:
        """Run the commands if it is time to; the outcome goes to the ledger and the log."""
        if self._stopping or not self.is_due(datetime.now(UTC)):
            return
        ledger = Ledger(self.ledger_path)
        try:
            ledger.start_chore(self.name, datetime.now(UTC))
            outcomes = [self._run(command) for command in self.commands]
            outcome = next((one for one in outcomes if one != "ok"), "ok")
            if self._stopping:
                return
            ledger.finish_chore(self.name, datetime.now(UTC), outcome)
            log.info("chore.finished", chore=self.name, outcome=outcome)
        finally:
            ledger.close()

    def stop(self) -> None:
        """End a command that is under way; everything it publishes, it publishes in one step."""
        self._stopping = True
        child = self._child
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(timeout=STOP_S / 2)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _run(self, command: tuple[str, ...]) -> str:
        if self._stopping:
            return "stopped"
        # Neither training nor data need the key, so they do not get it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMERAI_")}
        log.info("chore.started", command=" ".join(command))
        arguments = [sys.executable, "-m", "bot", *command]
        self._child = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
        os.setpriority(os.PRIO_PROCESS, self._child.pid, 10)
        try:
            status = self._child.wait(timeout=CHORE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            return f"not done within {CHORE_LIMIT_S} s"
        return "ok" if status == 0 else f"exit status {status}"


def make_scheduler() -> BackgroundScheduler:
    """Return a scheduler for chores: in memory, UTC, late runs are made up for once and never overlap."""
    return BackgroundScheduler(
        timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )


def run(daemon: Daemon, chores: Sequence[Chore]) -> None:
    """
    Run loop and chores until SIGTERM or SIGINT; return within ten seconds of it.

    Chores that are due at once run one after another, in their order: they share data and cores.
    """
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        if not stop.is_set():
            threading.Thread(target=_end_for_sure, daemon=True).start()
        stop.set()

    def do_chores() -> None:
        for chore in chores:
            chore.run()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    scheduler = make_scheduler()
    if chores:
        seconds = min(LOOK_S, *(chore.every_s for chore in chores))
        scheduler.add_job(do_chores, "interval", seconds=seconds, id="chores", next_run_time=datetime.now(UTC))
    scheduler.start()
    log.info("daemon.started", tick_s=daemon.tick_s, chores={chore.name: chore.every_s for chore in chores})
    try:
        daemon.run(stop)
    finally:
        for chore in chores:
            chore.stop()
        scheduler.shutdown(wait=False)
        log.info("daemon.stopped")


def _end_for_sure() -> None:
    """End the process when a step outlasts its grace; the ledger and the server know where it was."""
    time.sleep(STOP_S)
    log.warning("daemon.killed", reason=f"a step went on for {STOP_S:g} s after the signal")
    os._exit(0)
