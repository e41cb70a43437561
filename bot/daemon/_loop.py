"""
``bot run``: the loop over rounds.

Every look compares the open round with the ledger and starts ``bot submit`` for slots that are not confirmed. The command
is a child process with a deadline: if scoring hangs or crashes, one attempt is lost and not the round. Its result is read
from the ledger. No look depends on the look before it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from bot.daemon._accounts import AccountState, RoundLedger, Tournament
from bot.errors import BotError, OperatorNeeded, RoundNotOpen, StateForbidden, StateUnwritable
from bot.record.heartbeat import Heartbeat
from bot.record.outbox import Outbox
from bot.tournament.rounds import Round

HOLD_S = 300.0
"""Seconds before the next attempt after a round was refused or needs the operator."""

ATTEMPT_S = 900.0
"""Longest run of an attempt in seconds. A slow network alone takes minutes. The round's deadline may make it shorter."""

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

OUTAGE_S = 300.0
"""Seconds without an answer from Numerai before an alert."""

NEAR = timedelta(minutes=2)
"""Distance from an expected opening within which the loop looks every ``BRISK_S`` seconds."""

WEEK = timedelta(days=7)
BRISK_S = 3.0
"""Seconds between two looks near an expected opening."""

REASONS = {75: "later", 65: "refused", 78: "needs the operator"}
"""Meaning of an attempt's exit status."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Daemon:
    """
    The loop over rounds.

    Attributes:
        tournament: Source of the open round and of the server's time.
        accounts: Accounts whose slots are filled.
        ledger: Record of rounds and submissions.
        heartbeat: Receives a beat and the current problems from every look.
        outbox: Queue of alerts.
        on_settled: Called when every slot of a round has been confirmed.
        is_busy: Returns whether a job runs whose result may let a refused round pass, such as a first training.
        tick_s: Longest pause between two looks, in seconds.
        submits_late: Whether predictions that a closed round left unsent are sent for the next round.
        wake: Set it to start the next look at once.
    """

    tournament: Tournament
    accounts: Sequence[AccountState]
    ledger: RoundLedger
    heartbeat: Heartbeat
    outbox: Outbox
    on_settled: Callable[[], None]
    is_busy: Callable[[], bool]
    tick_s: float
    submits_late: bool = False
    wake: threading.Event = field(default_factory=threading.Event)
    _round: Round | None = None
    _settled: bool = False
    _logged: str = ""
    _silent_since: float | None = None
    _look_at: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Look until *stop* is set, then stop the running attempts."""
        while not stop.is_set():
            self.wake.wait(self.step())
            self.wake.clear()
        for account in self.accounts:
            if account.running is not None:
                account.running.stop(grace_s=STOP_S)

    def try_again(self) -> None:
        """Release every account that is held, and look now; call it when a job has succeeded."""
        for account in self.accounts:
            account.hold_until = 0.0
        self.wake.set()

    def step(self) -> float:
        """
        Look once and start the attempts that are due. Never raises.

        Returns:
            Seconds to wait before the next look.
        """
        pause = self.tick_s
        try:
            pause = self._step()
        except Exception:
            # No beat follows: if every look crashes, the watchdog ends the process, and a new one may do better.
            log.exception("step.crashed")
            return pause
        try:
            number = None if self._round is None else self._round.number
            self.heartbeat.beat(round=number, settled=self._settled, tick_s=self.tick_s)
        except OSError as error:
            log.error("pulse.failed", reason=str(error))  # noqa: TRY400 - one line
        return pause

    def _step(self) -> float:
        ended = [account for account in self.accounts if self._check_attempt(account)]
        if not ended and any(account.running for account in self.accounts) and time.monotonic() < self._look_at:
            return WATCH_S
        self._look_at = time.monotonic() + self.tick_s
        try:
            self.ledger.probe()
            self.heartbeat.mark("state", None)
            pause = self._look()
        except RoundNotOpen as waiting:
            self._end_outage()
            self._leave_round()
            self._log_once("round.waiting", str(waiting))
            self._submit_late()
            pause = self._pause()
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
        current = self.tournament.current_round()
        self._end_outage()
        if self._round is None or current.number != self._round.number:
            self._leave_round()
            self.ledger.record_round(current)
            log.info("round.open", round=current.number, closes_at=current.closes_at.isoformat())
        self._round = current
        if self._settled:
            return self._pause()
        now = self.tournament.server_now()
        self._warn_near_close(current, now)
        failed: list[BotError] = []
        for account in self.accounts:
            try:
                account.slots = account.find_slots() if account.slots is None else account.slots
            except BotError as error:
                failed.append(error)  # the other accounts are not held up by one account's key
                continue
            if not self._owes(account, current) or account.running is not None:
                continue
            if time.monotonic() < account.hold_until:
                continue
            limit_s = min(ATTEMPT_S, current.seconds_left(now) + AFTER_CLOSE_S)
            account.running, account.trigger = account.attempt(current, limit_s, account.trigger), None
            account.running.start()
        if failed:
            self._log_once("account.unusable", str(failed[0]))
            if any(isinstance(error, OperatorNeeded) for error in failed):
                self._alert("account", "an account cannot be used", "; ".join(map(str, failed)))
            return self.tick_s
        self._settle(current)
        if self._settled:
            return self._pause()
        holds = [account.hold_until - time.monotonic() for account in self.accounts]
        return min(self.tick_s, max(WATCH_S, *holds))

    def _submit_late(self) -> None:
        """Between rounds, start an attempt with the unsent predictions of the last round."""
        unsent = self.ledger.unsent() if self.submits_late else None
        for account in self.accounts:
            if unsent is not None and account.running is None and time.monotonic() >= account.hold_until:
                account.running = account.attempt(unsent, ATTEMPT_S, None)
                account.running.start()

    def _owes(self, account: AccountState, current: Round) -> bool:
        """Return whether a slot of the account may be unconfirmed; true while its slots are not known."""
        return account.slots is None or not all(self.ledger.settled(current.number, slot) for slot in account.slots)

    def _settle(self, current: Round) -> None:
        """Mark the round as settled if every slot is confirmed, and close its alerts."""
        if any(account.running is not None or self._owes(account, current) for account in self.accounts):
            return
        self._settled = True
        log.info("round.settled", round=current.number)
        self.heartbeat.mark("round", None)
        for name in ("round", "account", "numerai"):  # also those that an earlier process opened
            self.outbox.resolve(name, f"round {current.number} is confirmed", at=datetime.now(UTC))
        self._alert_fallbacks(current)
        self.on_settled()

    def _alert_fallbacks(self, current: Round) -> None:
        """Alert if a slot was filled by a fallback, or resolve that alert."""
        filled = {
            slot: self.ledger.filled_by(current.number, slot) for one in self.accounts for slot in one.slots or ()
        }
        lower = [f"{slot} by its {name}" for slot, name in filled.items() if name != "champion"]
        if lower:
            title = f"round {current.number}: {', '.join(lower).replace('its last', 'the last')}"
            self._alert("ladder", title, "the champion could not fill the slot; the round's report has the reason")
        else:
            self.outbox.resolve("ladder", f"round {current.number} was filled by champions", at=datetime.now(UTC))

    def _check_attempt(self, account: AccountState) -> bool:
        """Return whether the account's attempt has ended; stop it first if its time is up."""
        attempt = account.running
        if attempt is None:
            return False
        status = attempt.poll()
        number = None if self._round is None else self._round.number
        if status is None and not attempt.is_overdue:
            return False
        account.running = None
        account.hold_until = time.monotonic() + min(self.tick_s, AGAIN_S)
        if status is None:
            attempt.stop(grace_s=0.0)
            log.error("round.hung", round=number, seconds=round(attempt.seconds))
            return True
        if self._round is None:  # the attempt sent late predictions between two rounds
            account.hold_until = time.monotonic() + HOLD_S
        if status == 0:
            return True
        reason = REASONS.get(status, f"failing with exit status {status}")
        log.warning("round.delayed", round=number, reason=reason)
        if status in (65, 78) and number is not None and not self.is_busy():
            account.hold_until = time.monotonic() + HOLD_S
            self._alert("round", f"round {number}: {reason}", "the log has the reason; see `bot doctor`")
        return True

    def _warn_near_close(self, current: Round, now: datetime) -> None:
        """Alert while there is still time to act."""
        window = current.closes_at - current.opens_at
        if current.closes_at - now <= min(WARN, window / 2):
            minutes = current.seconds_left(now) / 60
            title = f"round {current.number} is not confirmed, {minutes:.0f} minutes left"
            self.heartbeat.mark("round", title)
            self._alert("round", title, "the bot keeps trying; see `bot doctor`")

    def _leave_round(self) -> None:
        """Forget the round; if it was not settled, alert. The alert stays open until another round is settled."""
        left, self._round = self._round, None
        if left is not None and not self._settled:
            self._settle(left)
        if left is not None and not self._settled:
            log.error("round.missed", round=left.number)
            self.heartbeat.mark("round", f"round {left.number} closed without a confirmed submission")
            self._alert("round", f"round {left.number} was missed", "see `bot status` and the log")
        self._settled = False
        for account in self.accounts:
            account.slots, account.hold_until = None, 0.0

    def _count_outage(self, error: BotError) -> None:
        """Alert if Numerai has not answered for ``OUTAGE_S`` seconds, or if only the operator can help."""
        self._silent_since = self._silent_since or time.monotonic()
        if time.monotonic() - self._silent_since >= OUTAGE_S or isinstance(error, OperatorNeeded):
            self._alert("numerai", "no usable answer from Numerai", str(error))

    def _end_outage(self) -> None:
        if self._silent_since is not None:
            self._silent_since = None
            self.outbox.resolve("numerai", "Numerai answers again", at=datetime.now(UTC))

    def _alert(self, name: str, title: str, body: str) -> None:
        self.outbox.alert(name, title, body, at=datetime.now(UTC))

    def _pause(self) -> float:
        return pause_s(self.tournament.server_now(), self.ledger.opening_times(), tick_s=self.tick_s)

    def _log_once(self, event: str, reason: str) -> None:
        """Log why the loop waits, unless the last line had the same reason."""
        if reason != self._logged:
            log.info(event, reason=reason)
        self._logged = reason


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
    if not openings:
        return tick_s
    newest = max(openings)
    recent = [one for one in openings if newest - one < WEEK]
    for opened in recent:
        since = (now - opened) % WEEK
        if min(since, WEEK - since) <= NEAR and now - opened > NEAR:
            return min(tick_s, BRISK_S)
    return tick_s
