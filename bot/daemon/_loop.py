"""
``bot run``: the loop over rounds.

Every look compares the open round with the ledger and starts ``bot submit`` for slots that are not confirmed. The command
is a child process with a deadline: if scoring hangs or crashes, one attempt is lost and not the round. Its result is read
from the ledger. Numerai is asked in a thread, so that the loop never waits for the network. No look depends on the look
before it: whatever raises, the next look tries again within seconds.
"""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from bot.daemon._accounts import AccountState, RoundLedger, Tournament
from bot.daemon._alerts import Alerts
from bot.daemon._background import BackgroundCall, StillWaiting
from bot.daemon.hooks import CONFIRMED, MISSED
from bot.errors import (
    BotError,
    LedgerDamaged,
    OperatorNeeded,
    RetryLater,
    RoundNotOpen,
    StateForbidden,
    StateUnwritable,
)
from bot.findings import Absent
from bot.record import failures
from bot.record.control import EVERY_SLOT
from bot.record.failures import CRASHED, KINDS, TRAINING, Failure
from bot.record.heartbeat import Heartbeat
from bot.record.outbox import CLOSED_BY_SUCCESS, Outbox
from bot.system.child_process import ChildProcess
from bot.tournament.rounds import Round

HOLD_S = 300.0
"""Seconds before the next attempt after a round was refused, needs the operator, or waits for the first model."""

HOLD_SHARE = 0.1
"""Longest such pause as a share of the round's window: the refusal may be a passing one, and a short round is soon over."""

ATTEMPT_S = 900.0
"""Longest run of an attempt in seconds. A slow network alone takes minutes. The round's deadline may make it shorter."""

SLOT_S = 60.0
"""Seconds of an attempt for each slot of its account, where these are more than :data:`ATTEMPT_S`."""

AFTER_CLOSE_S = 5.0
"""Seconds after the close at which an attempt is stopped."""

AGAIN_S = 5.0
"""Seconds before the next attempt after one that may succeed later."""

STOP_S = 6.0
"""Seconds that an attempt may run after SIGTERM. Killing it is safe at any point."""

WATCH_S = 0.5
"""Seconds between two checks of a running attempt."""

WARN = timedelta(minutes=20)
"""Time before the close at which an unconfirmed round is alerted; half the window if that is shorter."""

SECONDS_BELOW_S = 120.0
"""Seconds before the close below which an alert counts them one by one."""

FRESH_S = 60.0
"""Seconds for the first attempt at a round, in which no alert is raised for want of a confirmation."""

OUTAGE_S = 300.0
"""Seconds without an answer from Numerai before an alert."""

NEAR = timedelta(minutes=2)
"""Distance from an expected opening within which the loop looks every ``BRISK_S`` seconds."""

WEEK = timedelta(days=7)
BRISK_S = 3.0
"""Seconds between two looks near an expected opening."""

NEXT_FALLBACK = "the bot keeps trying; after two such ends the next fallback fills the slot. The log has the place."
"""Body of the alert of an attempt that crashed or hung."""

SHARED = {"last round": "the last round", "earlier upload": "an earlier upload"}
"""Names of fallbacks that are not the slot's own, as alerts write them."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """
    Numerai's answers to one look.

    Attributes:
        current: The open round, or why none is open.
        now: Server time, aware UTC.
    """

    current: Round | Absent
    now: datetime


def view(tournament: Tournament) -> View:
    """Return the open round and the server's time."""
    current: Round | Absent
    try:
        current = tournament.current_round()
    except RoundNotOpen as waiting:
        current = Absent(str(waiting))
    return View(current=current, now=tournament.server_now())


@dataclass(slots=True, kw_only=True)
class Daemon:
    """
    The loop over rounds.

    Attributes:
        open_tournament: Returns a source of the open round and of the server's time, with connections of its own.
        accounts: Accounts whose slots are filled.
        ledger: Record of rounds and submissions.
        heartbeat: Receives a beat and the current problems from every look.
        outbox: Queue of alerts.
        on_settled: Called when every slot of a round that is not paused has been confirmed, and there is one.
        happened: Called with the name of a hook and its content when a round was confirmed or missed.
        trains: Whether this process runs the job that trains; the heartbeat says so.
        promoted_ns: Returns when a champion was last promoted: a new one may fill a round that no other could.
        tick_s: Longest pause between two looks, in seconds.
        submits_late: Whether predictions that a closed round left unsent are sent for the next round.
        wait_s: Longest wait for an answer of Numerai in one step, in seconds. The next step waits for the same answer.
        wake: Set it to start the next look at once.
    """

    open_tournament: Callable[[], Tournament]
    accounts: Sequence[AccountState]
    ledger: RoundLedger
    heartbeat: Heartbeat
    outbox: Outbox
    on_settled: Callable[[], None]
    tick_s: float
    trains: bool = True
    submits_late: bool = False
    happened: Callable[[str, Mapping[str, object]], None] = lambda _event, _content: None
    promoted_ns: Callable[[], int] = lambda: 0
    wait_s: float = WATCH_S
    wake: threading.Event = field(default_factory=threading.Event)
    _numerai: BackgroundCall[View] = field(init=False)
    _alerts: Alerts = field(init=False)
    _round: Round | None = None
    _settled: bool = False
    _logged: str = ""
    _silent_since: float | None = None
    _look_at: float = 0.0
    _crashes: int = 0
    _has_ended: bool = False
    _is_damaged: bool = False
    _has_looked_back: bool = False
    _was_paused: bool = False
    _order: int | None = None
    _paused: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._numerai = BackgroundCall(lambda: partial(view, self.open_tournament()), done=self.wake.set)
        self._alerts = Alerts(self.outbox)

    def run(self, stop: threading.Event) -> None:
        """Look until *stop* is set, then stop the running attempts."""
        while not stop.is_set():
            self.wake.wait(self.step())
            self.wake.clear()
        # At once, since the time of a stop is that of one attempt.
        stops = [
            threading.Thread(target=one.running.stop, kwargs={"grace_s": STOP_S})
            for one in self.accounts
            if one.running is not None
        ]
        for stopping in stops:
            stopping.start()
        for stopping in stops:
            stopping.join()

    def try_again(self) -> None:
        """Release every account that is held, and look now; call it when a job has succeeded."""
        for account in self.accounts:
            account.hold_until = 0.0
        self.wake.set()

    def report_restart(self) -> None:
        """Alert that the process was stuck and started itself anew; the next confirmed round closes the alert."""
        self._alerts.open(
            "restart", "the bot was stuck and started itself anew", "the log has `daemon.stuck` and the stacks"
        )

    def step(self) -> float:
        """
        Look once and start the attempts that are due. Never raises.

        Returns:
            Seconds to wait before the next look.
        """
        try:
            self._alerts.flush()
            pause = self._step()
            self._beat()
        except Exception as error:
            # No beat follows: if every look crashes, the watchdog ends the process, and a new one may do better.
            self._crashes += 1
            log.exception("step.crashed")
            if self._crashes > 1:
                body = f"{type(error).__name__}, {self._crashes} times in a row; the log has the place. The bot keeps trying."
                self._alerts.open("loop", "the loop over rounds fails", body)
            return min(self.tick_s, AGAIN_S)
        if self._crashes > 1:
            self._alerts.close("loop", "the loop over rounds works again")
        self._crashes = 0
        return pause

    def _beat(self) -> None:
        number = None if self._round is None else self._round.number
        try:
            self.heartbeat.beat(round=number, settled=self._settled, tick_s=self.tick_s, trains=self.trains)
        except OSError as error:
            log.error("pulse.failed", reason=str(error))  # noqa: TRY400 - one line

    def _step(self) -> float:
        ended = [account for account in self.accounts if self._check_attempt(account)]
        busy = any(account.running for account in self.accounts)
        waiting = self._numerai.is_running or any(account.lookup.is_running for account in self.accounts)
        if busy and not ended and not waiting and time.monotonic() < self._look_at:
            return WATCH_S
        self._look_at = time.monotonic() + self.tick_s
        try:
            self.ledger.probe()
            if not self._is_damaged:  # a look reads more than the probe
                self.heartbeat.mark("state", None)
            pause = self._look()
            self._end_damage()
        except StillWaiting:
            pause = WATCH_S  # the answer wakes the loop
        except LedgerDamaged as error:
            self._is_damaged = True
            self.heartbeat.mark("state", str(error))
            self._log_once("state.damaged", str(error))
            self._alerts.open("state", "the ledger is damaged: no round can be filled", str(error))
            pause = self.tick_s
        except (StateUnwritable, StateForbidden) as error:
            self.heartbeat.mark("state", str(error))
            self._log_once("state.unwritable", str(error))
            pause = self.tick_s
        except BotError as error:
            self._log_once("step.failed", str(error))
            self._count_outage(error)
            pause = self.tick_s
        return min(pause, WATCH_S) if any(account.running for account in self.accounts) else pause

    def _look(self) -> float:
        seen = self._numerai.result(self.wait_s)
        self._end_outage()
        self._obey(seen.now)
        self._look_back(seen)
        if isinstance(seen.current, Absent):
            if self._round is not None and seen.now < self._round.closes_at:
                # A wrong answer: a round is missed when it has closed. If it was withdrawn, that is reported at its close.
                self._log_once("round.unlisted", seen.current.reason)
                return self._pause(seen.now) if self._settled else min(self.tick_s, BRISK_S)
            self._leave_round()
            self._log_once("round.waiting", seen.current.reason)
            self._submit_late()
            return self._pause(seen.now)
        current = seen.current
        if self._round is None or current.number != self._round.number:
            self._leave_round()
            self.ledger.record_round(current)
            log.info("round.open", round=current.number, closes_at=current.closes_at.isoformat())
        self._round = current
        if not self._settled:
            self._release_for_new_champion()
            left_s = current.seconds_left(seen.now) + AFTER_CLOSE_S
            unknown = self._attempt(current, left_s, self._owing(current))
            if unknown:  # whether the round is confirmed shows only when the slots are known
                return WATCH_S
            self._settle(current)
        if self._settled:
            return self._pause(seen.now)
        self._warn_near_close(current, seen.now)
        holds = [one.hold_until - time.monotonic() for one in self._owing(current) if one.running is None]
        return min(self.tick_s, max(WATCH_S, min(holds, default=self.tick_s)))

    def _look_back(self, seen: View) -> None:
        """Report the newest round, once, where it closed unfilled while no process looked, as during a restart."""
        if self._has_looked_back:
            return
        left = self.ledger.newest_round()
        if isinstance(seen.current, Round) and left is not None and seen.current.number == left.number:
            left = None  # it was extended, and is open
        if left is not None and left.closes_at <= seen.now < left.closes_at + WEEK:
            for account in self.accounts:
                try:
                    account.slots = account.slots or account.lookup.result(self.wait_s)
                except StillWaiting:
                    raise
                except Exception as error:  # noqa: BLE001 - the account's next attempt reports it
                    self._log_once("account.unusable", str(error))
            reported = self.ledger.closed("missed", since=left.number) | self.ledger.closed("paused", since=left.number)
            owed = {slot for account in self.accounts for slot in self._owed(account, left)}
            # A slot that the settings name only since then was not missed.
            if any((left.number, slot) not in reported and self.ledger.was_tried(left.number, slot) for slot in owed):
                self._round = left
                self._leave_round()
        self._has_looked_back = True

    def _obey(self, now: datetime) -> None:
        """Follow what a person asked for since the last look: pauses, their end, and attempts to make at once."""
        paused = frozenset(one.slot for one in self.ledger.pauses(now))
        newest = self.ledger.newest_order(after=self._order or 0)
        if self._order is not None and (newest, paused) != (self._order, self._paused):
            log.info("control.obeyed", paused=["every slot" if slot == EVERY_SLOT else slot for slot in sorted(paused)])
            self._settled = False  # a slot that was paused may be owed again
            for account in self.accounts:
                account.hold_until = 0.0
        self._order, self._paused = newest, paused
        self._was_paused = self._was_paused or bool(paused)

    def _release_for_new_champion(self) -> None:
        """Release every idle account whose last attempt began before the newest promotion."""
        newest = self.promoted_ns()
        for account in self.accounts:
            if account.running is None and account.promoted_ns != newest:
                account.promoted_ns, account.hold_until = newest, 0.0

    def _is_paused(self, slot: str) -> bool:
        return slot in self._paused or EVERY_SLOT in self._paused

    def _owing(self, current: Round) -> list[AccountState]:
        """Return the accounts of which a slot may be unconfirmed, or whose slots are not known."""
        return [account for account in self.accounts if self._owes(account, current)]

    def _attempt(self, round_: Round, left_s: float, accounts: Sequence[AccountState]) -> list[AccountState]:
        """
        Start the attempts that are due for a round, each for at most *left_s* seconds.

        Returns:
            Accounts that wait for the names of their slots.
        """
        idle = [one for one in accounts if one.running is None and time.monotonic() >= one.hold_until]
        waiting = []
        for account in idle:
            try:
                if account.slots is None:
                    account.slots = account.lookup.result(self.wait_s)
                if self._owes(account, round_):
                    account.start(round_, min(max(ATTEMPT_S, SLOT_S * len(account.slots)), left_s))
            except StillWaiting:
                waiting.append(account)
            except LedgerDamaged:
                raise
            except Exception as error:  # noqa: BLE001 - no error of one account may hold up another account or the loop
                self._hold_failed(account, error)
            else:
                account.failures, account.problem = 0, ""
        return waiting

    def _hold_failed(self, account: AccountState, error: Exception) -> None:
        """Hold an account back for a moment after an error; alert what only the operator ends, or what comes again."""
        expected = isinstance(error, BotError)
        account.failures += not expected
        account.hold_until = time.monotonic() + (self.tick_s if expected else min(self.tick_s, AGAIN_S))
        if expected:
            self._log_once("account.unusable", str(error))
        else:
            log.error("account.crashed", kind=type(error).__name__, exc_info=error)
        if self._round is not None and expected:
            self._note(self._round, error)
        if isinstance(error, OperatorNeeded):
            account.problem = str(error)
            problems = "; ".join(sorted({one.problem for one in self.accounts if one.problem}))
            self._alerts.open("account", "an account cannot be used", problems, occasion=problems)
        elif account.failures > 1:
            body = f"{type(error).__name__}, {account.failures} times in a row; the log has the place. The bot keeps trying."
            self._alerts.open("account", "no attempt can be started", body)

    def _submit_late(self) -> None:
        """Between rounds, start an attempt with the unsent predictions of the last round."""
        unsent = self.ledger.unsent() if self.submits_late else None
        if unsent is None:
            return
        for account in self.accounts:
            if account.running is None and time.monotonic() >= account.hold_until:
                try:
                    account.start(unsent, ATTEMPT_S)
                except Exception as error:  # noqa: BLE001 - no error of one account may hold up another account or the loop
                    self._hold_failed(account, error)

    def _owes(self, account: AccountState, current: Round) -> bool:
        """Return whether a slot of the account may be unconfirmed; true while its slots are not known."""
        if account.slots is None:
            return EVERY_SLOT not in self._paused
        return bool(self._owed(account, current))

    def _owed(self, account: AccountState, current: Round) -> list[str]:
        """Return the slots of the account that are neither confirmed nor paused."""
        return [
            slot
            for slot in account.slots or ()
            if not self._is_paused(slot) and not self.ledger.settled(current.number, slot)
        ]

    def _held_back(self, current: Round) -> list[str]:
        """Return the paused slots that have no confirmed submission."""
        slots = [slot for account in self.accounts for slot in account.slots or () if self._is_paused(slot)]
        return [slot for slot in slots if not self.ledger.settled(current.number, slot)]

    def _settle(self, current: Round, *, closed: bool = False) -> None:
        """Mark the round as settled if every slot is confirmed, and close its alerts; an open one waits for its attempts."""
        if any(
            (account.running is not None and not closed) or self._owes(account, current) for account in self.accounts
        ):
            return
        self.heartbeat.mark("round", None)
        held_back = self._held_back(current)
        done = [slot for account in self.accounts for slot in account.slots or () if slot not in held_back]
        paused = f"paused: {', '.join(held_back) or 'every slot'}" if held_back or not done else ""
        how = "; ".join(filter(None, ("is confirmed" if done else "", paused)))
        for name in CLOSED_BY_SUCCESS:  # also those that an earlier process opened
            self._alerts.close(name, f"round {current.number}: {how}" if paused else f"round {current.number} {how}")
        self._alert_fallbacks(current)
        if done:
            self.on_settled()
        log.info("round.settled", round=current.number, **({"paused": held_back} if held_back else {}))
        if done:
            filled = {slot: self.ledger.filled_by(current.number, slot) for slot in done}
            self.happened(CONFIRMED, {"round": current.number, "slots": done, "filled_by": filled, "paused": held_back})
        self._settled = True  # in the end, so that a look that fails here is made again

    def _alert_fallbacks(self, current: Round) -> None:
        """Alert if a slot was filled by a fallback, or resolve that alert."""
        filled = {
            slot: self.ledger.filled_by(current.number, slot) for one in self.accounts for slot in one.slots or ()
        }
        lower = [f"{slot} by {SHARED.get(name, f'its {name}')}" for slot, name in filled.items() if name != "champion"]
        if lower:
            title = f"round {current.number}: {', '.join(lower)}"
            reasons = (
                f"{slot}: {self.ledger.passed_over(current.number, slot)}"
                for slot, name in filled.items()
                if name != "champion"
            )
            self._alerts.open("ladder", title, "; ".join(reasons), occasion="; ".join(lower))
        else:
            self._alerts.close("ladder", f"round {current.number} was filled by champions")

    def _check_attempt(self, account: AccountState) -> bool:
        """Return whether the account's attempt has ended; stop it first if its time is up."""
        attempt = account.running
        if attempt is None:
            return False
        try:
            status = attempt.poll()
            overdue = status is None and attempt.is_overdue
        except Exception:
            log.exception("attempt.unknown")
            # An attempt that cannot be looked at is forgotten after its time: it must not hold up the next one for ever.
            status, overdue = None, attempt.seconds > attempt.limit_s
        if status is None and not overdue:
            return False
        account.running, self._has_ended = None, True
        account.hold_until = time.monotonic() + min(self.tick_s, AGAIN_S)
        if self._round is None:  # the attempt sent late predictions between two rounds
            account.hold_until = time.monotonic() + HOLD_S
        if status is None:
            self._end_hung(attempt, account)
        elif status != 0:
            self._report_failure(account, attempt, status)
        elif self._round is not None and self._owes(account, self._round):
            account.slots = None  # all that the settings name is filled, so the known names are out of date
        return True

    def _end_hung(self, attempt: ChildProcess, account: AccountState) -> None:
        """Kill an attempt whose time is up, and alert unless it had filled every slot."""
        round_ = account.attempted
        try:
            attempt.stop(grace_s=0.0)
        except Exception:
            log.exception("attempt.unstoppable")  # the lock of the state directory keeps a second one from submitting
        log.error("round.hung", round=round_.number, seconds=round(attempt.seconds))
        if not account.slots or self._owed(account, round_):
            self._report_end(round_, f"an attempt hung and was stopped after {attempt.seconds:.0f} s")

    def _report_end(self, round_: Round, what: str) -> None:
        """Record and alert that an attempt at a round ended without saying why."""
        self._note(round_, what)
        number = round_.number
        self._alerts.open("attempt", f"round {number}: {what}", NEXT_FALLBACK, occasion=str(number))

    def _report_failure(self, account: AccountState, attempt: ChildProcess, status: int) -> None:
        """Log why an attempt ended without a confirmation; alert a crash, and what only the operator ends."""
        reason, number = KINDS.get(status) or crash(status), account.attempted.number
        is_over = self._round is None or self._round.number != number
        cause = "" if is_over else failures.headline(self._failures())
        log.warning("round.delayed", round=number, reason=reason, cause=cause)
        if status not in KINDS:
            self._report_end(account.attempted, f"an attempt {reason} after {attempt.seconds:.0f} s")
        elif self._round is None or is_over:
            return
        elif status == RetryLater.exit_code:
            causes = {one.kind for one in self._failures()}
            if causes == {TRAINING}:
                self._hold(account, self._round)
        elif self._owes(account, self._round):
            later, slots = KINDS[RetryLater.exit_code], account.slots or ()
            if not any(
                one.kind == later and one.slot in slots and not self._is_paused(one.slot) for one in self._failures()
            ):
                self._hold(account, self._round)  # no slot of the account waits for something that passes by itself
            self._alert_round(f"round {number}: {reason}", "the log has the reason; see `bot doctor`")

    def _hold(self, account: AccountState, current: Round) -> None:
        """Hold an account back until something has changed, at most for minutes."""
        window_s = (current.closes_at - current.opens_at).total_seconds()
        account.hold_until = time.monotonic() + min(HOLD_S, HOLD_SHARE * window_s)

    def _alert_round(self, title: str, without: str, *, missed: bool = False) -> None:
        """
        Alert that the round is not confirmed, with the causes that the ledger has; *without* one, the given body.

        There is one message about a round while it is open, and one where it is *missed*.
        """
        found = self._failures()
        title = ": ".join(filter(None, (title, failures.headline(found))))
        occasion = f"{self._occasion} missed" if missed else self._occasion
        self._alerts.open("round", title, failures.details(found) or without, occasion=occasion)

    def _failures(self) -> list[Failure]:
        """Return why the open slots of the round failed; of an attempt as a whole only where no slot has its own cause."""
        left = self._round
        if left is None:
            return []
        try:
            found = self.ledger.failures(left.number)
            known = {slot for account in self.accounts for slot in account.slots or ()}
            owed = [
                one
                for one in found
                if one.slot
                and not self.ledger.settled(left.number, one.slot)
                and (one.slot in known or any(account.slots is None for account in self.accounts))
            ]
        except BotError:
            return []
        return owed or [one for one in found if not one.slot]

    def _note(self, round_: Round, cause: BaseException | str, *, kind: str = CRASHED) -> None:
        """Record why the round has no submission yet; a ledger that cannot be written costs the note alone."""
        at = datetime.now(UTC)
        if isinstance(cause, str):
            stamp = at.isoformat()
            failure = Failure(round=round_.number, slot="", kind=kind, message=cause, first_at=stamp, last_at=stamp)
        else:
            failure = Failure.of(cause, round_number=round_.number, slot="", at=at)
        with suppress(BotError):
            self.ledger.record_failure(failure)

    @property
    def _occasion(self) -> str:
        return "" if self._round is None else str(self._round.number)

    def _warn_near_close(self, current: Round, now: datetime) -> None:
        """Alert while there is still time to act."""
        window = current.closes_at - current.opens_at
        left_s = current.seconds_left(now)
        running = [one.running for one in self._owing(current)]
        if all(one and one.seconds < FRESH_S for one in running) and left_s > 2 * FRESH_S and not self._has_ended:
            return  # the bot has just started, or the round has just opened; most attempts end well within seconds
        if current.closes_at - now <= min(WARN, window / 2):
            left = f"{left_s:.0f} s" if left_s < SECONDS_BELOW_S else f"{left_s / 60:.0f} minutes"
            title = f"round {current.number} is not confirmed, {left} left"
            self.heartbeat.mark("round", title)
            self._alert_round(title, "the bot keeps trying; see `bot doctor`")

    def _leave_round(self) -> None:
        """Forget the round; if it was not settled, alert. The alert stays open until another round is settled."""
        left = self._round
        if left is not None and not self._settled:
            self._settle(left, closed=True)
        if left is not None and not self._settled:
            self._report_missed(left)
        if left is not None:
            self._close_round(left, self._held_back(left) or [EVERY_SLOT] * (EVERY_SLOT in self._paused), "paused")
        self._round, self._settled, self._has_ended, self._was_paused = None, False, False, bool(self._paused)
        for account in self.accounts:
            account.slots, account.hold_until = None, 0.0

    def _close_round(self, left: Round, slots: Sequence[str], state: str) -> None:
        """Record how a round closed for *slots*; a ledger that cannot be written delays neither alert nor next round."""
        with suppress(BotError):
            self.ledger.close_round(left.number, slots, state, at=datetime.now(UTC))

    def _report_missed(self, left: Round) -> None:
        """Record, log and alert a round that closed without a confirmed submission, and say why."""
        slots = [slot for account in self.accounts for slot in self._owed(account, left)]
        self._close_round(left, slots, "missed")
        if self._was_paused and not self._failures():
            self._note(left, "it was paused until shortly before the close", kind=KINDS[RetryLater.exit_code])
        cause = failures.headline(self._failures())
        log.error("round.missed", round=left.number, slots=slots, reason=cause)
        closed = f"round {left.number} closed without a confirmed submission"
        self.heartbeat.mark("round", ": ".join(filter(None, (closed, cause))))
        self._alert_round(f"round {left.number} was missed", "see `bot status` and the log", missed=True)
        reasons = [{"slot": one.slot, **one.to_json(is_open=False)} for one in self._failures()]
        self.happened(MISSED, {"round": left.number, "slots": slots, "reason": cause, "failures": reasons})

    def _count_outage(self, error: BotError) -> None:
        """Alert if Numerai has not answered for ``OUTAGE_S`` seconds, or if only the operator can help."""
        self._silent_since = self._silent_since or time.monotonic()
        if time.monotonic() - self._silent_since >= OUTAGE_S or isinstance(error, OperatorNeeded):
            if self._round is not None:
                self._note(self._round, error)
            self._alerts.open("numerai", "no usable answer from Numerai", str(error))

    def _end_damage(self) -> None:
        if self._is_damaged:
            self._is_damaged = False
            self.heartbeat.mark("state", None)
            self._alerts.close("state", "the ledger can be read again")

    def _end_outage(self) -> None:
        if self._silent_since is not None:
            self._silent_since = None
            self._alerts.close("numerai", "Numerai answers again")

    def _pause(self, now: datetime) -> float:
        return pause_s(now, self.ledger.opening_times(), tick_s=self.tick_s)

    def _log_once(self, event: str, reason: str) -> None:
        """Log why the loop waits, unless the last line had the same reason."""
        if reason != self._logged:
            log.info(event, reason=reason)
        self._logged = reason


def crash(status: int) -> str:
    """Return what an exit status without a meaning of its own reports: an exit, or the signal that ended the process."""
    if status >= 0:
        return f"crashed with exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"was killed by {name}" + (" (out of memory?)" if -status == signal.SIGKILL else "")


def pause_s(now: datetime, openings: Sequence[datetime], *, tick_s: float) -> float:
    """
    Return the seconds to wait before the next look at the tournament.

    A round is expected one week after each round of the newest week opened, so that no hour of the day is written in
    code. A wrong expectation costs nothing: the pause is never longer than *tick_s*.

    Args:
        now: Server time, aware.
        openings: Times at which earlier rounds opened, in any order. Only the newest week of them counts.
        tick_s: Longest pause in seconds.
    """
    past = [opened for opened in openings if now - opened > NEAR]  # a wrong answer may once have named a later year
    for opened in past:
        since = (now - opened) % WEEK
        if max(past) - opened < WEEK and min(since, WEEK - since) <= NEAR:
            return min(tick_s, BRISK_S)
    return tick_s
