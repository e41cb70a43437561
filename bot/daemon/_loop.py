"""
``bot run``: the loop over rounds.

Rounds are levels, not events: each look asks what the open round still owes and starts ``bot submit`` for it, as a child
process with a deadline, so that what hangs or crashes while scoring costs one attempt and not the round. The ledger says
what came of it. Nothing here depends on what was true at the last look.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from bot.daemon._accounts import AccountState, Book, Tournament
from bot.errors import BotError, OperatorNeeded, RoundNotOpen, StateUnwritable
from bot.record.heartbeat import Heartbeat
from bot.record.outbox import Outbox
from bot.tournament.rounds import Round

HOLD_S = 300.0
"""Seconds before a round that was refused, or that needs the operator, is tried again."""

ATTEMPT_S = 900.0
"""Seconds an attempt may take; a slow network alone may take minutes, and the deadline of a round comes on top."""

AFTER_CLOSE_S = 5.0
"""Seconds after the close at which an attempt is ended."""

AGAIN_S = 5.0
"""Seconds before an attempt that may succeed later is made again."""

STOP_S = 6.0
"""Seconds an attempt may go on after SIGTERM; it survives being ended anywhere."""

WATCH_S = 0.5
"""Seconds between two looks at an attempt under way."""

WARN = timedelta(minutes=20)
"""How long before a close a person is told that a round is not confirmed; half the window where that is less."""

OUTAGE_S = 300.0
"""Seconds without an answer from Numerai after which a person is told."""

NEAR = timedelta(minutes=2)
"""How far from a learned opening the bot looks more often."""

WEEK = timedelta(days=7)
BRISK_S = 3.0
"""Seconds between two looks near a learned opening."""

LEFT = {75: "later", 65: "refused", 78: "needs the operator"}
"""What an attempt's exit status means."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Daemon:
    """
    The loop.

    Attributes:
        tournament: Whose rounds are played.
        accounts: The accounts.
        book: What is known of rounds.
        heartbeat: Records that the loop runs, and its problems.
        outbox: What a person is told.
        confirmed: Called when a round has become settled.
        helped: Says whether something is under way that may give a slot what it lacks, such as a first training.
        tick_s: Longest pause between two looks.
        hands_in_late: Whether what a closed round left unsent is handed in for the next one.
        wake: Set to bring the next look forward.
    """

    tournament: Tournament
    accounts: Sequence[AccountState]
    book: Book
    heartbeat: Heartbeat
    outbox: Outbox
    confirmed: Callable[[], None]
    helped: Callable[[], bool]
    tick_s: float
    hands_in_late: bool = False
    wake: threading.Event = field(default_factory=threading.Event)
    _round: Round | None = None
    _settled: bool = False
    _said: str = ""
    _silent_since: float | None = None
    _look_at: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Look until *stop* is set, then end the attempts under way."""
        while not stop.is_set():
            self.wake.wait(self.step())
            self.wake.clear()
        for account in self.accounts:
            if account.running is not None:
                account.running.stop(grace_s=STOP_S)

    def try_again(self) -> None:
        """Forget why accounts are held, since something has changed, and look now."""
        for account in self.accounts:
            account.hold_until = 0.0
        self.wake.set()

    def step(self) -> float:
        """
        Look once and do what is owed; return the seconds to wait before the next look.

        No error leaves this method: whatever happens in one look, the next one is taken. A look that crashed is no
        sign of life.
        """
        pause = self.tick_s
        try:
            pause = self._step()
        except Exception:
            # Without a beat, a loop that only crashes is unwell after a while, and then ends: a fresh one may do better.
            log.exception("step.crashed")
            return pause
        try:
            number = None if self._round is None else self._round.number
            self.heartbeat.beat(round=number, settled=self._settled, tick_s=self.tick_s)
        except OSError as error:
            log.error("pulse.failed", reason=str(error))  # noqa: TRY400 - one line
        return pause

    def _step(self) -> float:
        ended = [account for account in self.accounts if self._watch(account)]
        if not ended and any(account.running for account in self.accounts) and time.monotonic() < self._look_at:
            return WATCH_S
        self._look_at = time.monotonic() + self.tick_s
        try:
            self.book.probe()
            self.heartbeat.mark("state", None)
            pause = self._look()
        except RoundNotOpen as waiting:
            self._answered()
            self._leave()
            self._say("round.waiting", str(waiting))
            self._hand_in_late()
            pause = self._pause()
        except StateUnwritable as error:
            self.heartbeat.mark("state", str(error))
            self._say("state.unwritable", str(error))
            pause = self.tick_s
        except BotError as error:
            self._say("step.failed", str(error))
            self._silent(error)
            pause = self.tick_s
        return min(pause, WATCH_S) if any(account.running for account in self.accounts) else pause

    def _look(self) -> float:
        current = self.tournament.current_round()
        self._answered()
        if self._round is None or current.number != self._round.number:
            self._leave()
            self.book.record_round(current)
            log.info("round.open", round=current.number, closes_at=current.closes_at.isoformat())
        self._round = current
        if self._settled:
            return self._pause()
        now = self.tournament.server_now()
        self._warn(current, now)
        failed: list[BotError] = []
        for account in self.accounts:
            try:
                account.slots = account.find_slots() if account.slots is None else account.slots
            except BotError as error:
                failed.append(error)  # one account's key is no reason to keep the others waiting
                continue
            if not self._owes(account, current) or account.running is not None or time.monotonic() < account.hold_until:
                continue
            limit_s = min(ATTEMPT_S, current.seconds_left(now) + AFTER_CLOSE_S)
            account.running, account.trigger = account.attempt(current, limit_s, account.trigger), None
            account.running.start()
        if failed:
            self._say("account.unusable", str(failed[0]))
            if any(isinstance(error, OperatorNeeded) for error in failed):
                self._trouble("account", "an account cannot be used", "; ".join(map(str, failed)))
            return self.tick_s
        self._settle(current)
        if self._settled:
            return self._pause()
        holds = [account.hold_until - time.monotonic() for account in self.accounts]
        return min(self.tick_s, max(WATCH_S, *holds))

    def _hand_in_late(self) -> None:
        """Between rounds, start an attempt for what the last one left finished but unsent."""
        unsent = self.book.unsent() if self.hands_in_late else None
        for account in self.accounts:
            if unsent is not None and account.running is None and time.monotonic() >= account.hold_until:
                account.running = account.attempt(unsent, ATTEMPT_S, None)
                account.running.start()

    def _owes(self, account: AccountState, current: Round) -> bool:
        """Say whether a slot of the account is not known to be confirmed; unknown slots are owed."""
        return account.slots is None or not all(self.book.settled(current.number, slot) for slot in account.slots)

    def _settle(self, current: Round) -> None:
        """See whether nothing is owed any more, and tell the world."""
        if any(account.running is not None or self._owes(account, current) for account in self.accounts):
            return
        self._settled = True
        log.info("round.settled", round=current.number)
        self.heartbeat.mark("round", None)
        for trouble in ("round", "account", "numerai"):  # whoever opened it, perhaps before a restart
            self.outbox.resolve(trouble, f"round {current.number} is confirmed", at=datetime.now(UTC))
        self._alert_fallbacks(current)
        self.confirmed()

    def _alert_fallbacks(self, current: Round) -> None:
        """Tell a person of slots that something else than their champion has filled."""
        filled = {
            slot: self.book.filled_by(current.number, slot) for account in self.accounts for slot in account.slots or ()
        }
        lower = [f"{slot} by its {name}" for slot, name in filled.items() if name != "champion"]
        if lower:
            title = f"round {current.number}: {', '.join(lower).replace('its last', 'the last')}"
            self._trouble("ladder", title, "the champion could not fill the slot; the round's report says why")
        else:
            self.outbox.resolve("ladder", f"round {current.number} was filled by champions", at=datetime.now(UTC))

    def _watch(self, account: AccountState) -> bool:
        """See what became of an attempt, and end it when its time is up; say whether it is over."""
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
        if self._round is None:  # it was late
            account.hold_until = time.monotonic() + HOLD_S
        if status == 0:
            return True
        reason = LEFT.get(status, f"failing with exit status {status}")
        log.warning("round.delayed", round=number, reason=reason)
        if status in (65, 78) and number is not None and not self.helped():
            account.hold_until = time.monotonic() + HOLD_S
            self._trouble("round", f"round {number}: {reason}", "the log has the reason; see `bot doctor`")
        return True

    def _warn(self, current: Round, now: datetime) -> None:
        """Tell a person while there is still time to do something."""
        window = current.closes_at - current.opens_at
        if current.closes_at - now <= min(WARN, window / 2):
            minutes = current.seconds_left(now) / 60
            title = f"round {current.number} is not confirmed, {minutes:.0f} minutes left"
            self.heartbeat.mark("round", title)
            self._trouble("round", title, "the bot goes on trying; see `bot doctor`")

    def _leave(self) -> None:
        """Close the book on the round before; one that was not settled stays a trouble until another one is."""
        missed, self._round = self._round, None
        if missed is not None and not self._settled:
            self._settle(missed)
        if missed is not None and not self._settled:
            log.error("round.missed", round=missed.number)
            self.heartbeat.mark("round", f"round {missed.number} closed without a confirmed submission")
            self._trouble("round", f"round {missed.number} was missed", "see `bot status` and the log")
        self._settled = False
        for account in self.accounts:
            account.slots, account.hold_until = None, 0.0

    def _silent(self, error: BotError) -> None:
        """Tell a person once nothing usable has been heard from Numerai for minutes."""
        self._silent_since = self._silent_since or time.monotonic()
        if time.monotonic() - self._silent_since >= OUTAGE_S or isinstance(error, OperatorNeeded):
            self._trouble("numerai", "no usable answer from Numerai", str(error))

    def _answered(self) -> None:
        if self._silent_since is not None:
            self._silent_since = None
            self.outbox.resolve("numerai", "Numerai answers again", at=datetime.now(UTC))

    def _trouble(self, name: str, title: str, body: str) -> None:
        self.outbox.alert(name, title, body, at=datetime.now(UTC))

    def _pause(self) -> float:
        return pause_s(self.tournament.server_now(), self.book.opening_times(), tick_s=self.tick_s)

    def _say(self, event: str, reason: str) -> None:
        """Log why the loop waits, once until the reason changes."""
        if reason != self._said:
            log.info(event, reason=reason)
        self._said = reason


def pause_s(now: datetime, openings: Sequence[datetime], *, tick_s: float) -> float:
    """
    Return the seconds to wait before the next look at the tournament.

    Rounds open on the same days of the week at the same time until Numerai changes it, and then the next ones do; what
    is learned only makes a look come sooner, never later.

    Args:
        now: Server time, aware.
        openings: Times at which earlier rounds opened, in any order; the newest week of them is used.
        tick_s: Longest pause.
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
