"""The state of one account in the open round, and the methods of tournament and ledger that the loop calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bot.daemon._background import BackgroundCall
from bot.record.control import Pause
from bot.record.failures import Failure
from bot.system.child_process import ChildProcess
from bot.tournament.rounds import Round


class Tournament(Protocol):
    """Numerai's answers that the loop needs."""

    def current_round(self) -> Round:
        """Return the open round. Raises ``RoundNotOpen`` if there is none."""

    def server_now(self) -> datetime:
        """Return the server's time, aware UTC."""


class RoundLedger(Protocol):
    """The part of the ledger that the loop reads and writes."""

    def settled(self, round_number: int, slot: str) -> bool:
        """Return whether the slot's round is confirmed, or complete in a dry run."""

    def filled_by(self, round_number: int, slot: str) -> str:
        """Return the name of the fallback that filled the slot, ``champion`` for none."""

    def passed_over(self, round_number: int, slot: str) -> str:
        """Return why better fallbacks did not fill the slot."""

    def record_round(self, round_: Round) -> None:
        """Store when a round opened and closes."""

    def opening_times(self) -> tuple[datetime, ...]:
        """Return when the last rounds opened."""

    def record_failure(self, failure: Failure) -> bool:
        """Record why an attempt failed."""

    def failures(self, round_number: int) -> tuple[Failure, ...]:
        """Return the newest failure of each slot of the round."""

    def close_round(self, round_number: int, slots: Sequence[str], state: str, *, at: datetime) -> None:
        """Record the slots of a round that closed for them without a submission: ``missed`` or ``paused``."""

    def pauses(self, now: datetime) -> tuple[Pause, ...]:
        """Return the pauses that last."""

    def newest_order(self, *, after: int = 0) -> int:
        """Return the number of the newest order of a person."""

    def was_tried(self, round_number: int, slot: str) -> bool:
        """Return whether a slot was ever submitted, or an attempt at the round failed."""

    def newest_round(self) -> Round | None:
        """Return the newest recorded round."""

    def closed(self, state: str, *, since: int) -> frozenset[tuple[int, str]]:
        """Return round and slot of each one that was recorded as ``missed`` or ``paused`` since a round."""

    def unsent(self) -> Round | None:
        """Return the newest round if its predictions were finished and never sent."""

    def probe(self) -> None:
        """Acquire the lock that every write needs, and release it."""


@dataclass(slots=True, kw_only=True)
class AccountState:
    """
    One account and its progress in the open round.

    Attributes:
        find_slots: Returns the names of the slots to fill. Called once a round, in a thread of its own.
        attempt: Returns a command, not yet started, that submits the slots of a round. It takes the round, the seconds
            that the command may run, and Numerai's trigger id or ``None``.
        slots: Slots of the open round; ``None`` until they are known.
        trigger: Numerai's id of the webhook call that the next attempt answers.
        running: The attempt that is running.
        attempted: Round of the newest attempt, which can outlive it by seconds; set with ``running``.
        hold_until: Monotonic time before which no attempt starts.
        promoted_ns: When a champion had last been promoted as the last attempt began; a later promotion ends the hold.
        failures: Looks in a row in which the account raised an unexpected error.
        problem: Why the account cannot be used until a person acts; empty where it can.
        lookup: The call of ``find_slots``.
    """

    find_slots: Callable[[], tuple[str, ...]]
    attempt: Callable[[Round, float, str | None], ChildProcess]
    slots: tuple[str, ...] | None = None
    trigger: str | None = None
    running: ChildProcess | None = None
    attempted: Round = field(init=False)
    hold_until: float = 0.0
    promoted_ns: int = 0
    failures: int = 0
    problem: str = ""
    lookup: BackgroundCall[tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.lookup = BackgroundCall(lambda: self.find_slots)

    def start(self, round_: Round, limit_s: float) -> None:
        """
        Start an attempt. It exists only once it runs: if the start fails, the next look starts another one.

        Raises:
            Exception: Anything that the start raised: no process, memory or file descriptor is left, for example.
        """
        # A trigger id that cannot be passed on, such as one with a NUL, must not stop the attempts after this one.
        trigger, self.trigger = self.trigger, None
        attempt = self.attempt(round_, limit_s, trigger)
        attempt.start()
        self.running, self.attempted = attempt, round_
