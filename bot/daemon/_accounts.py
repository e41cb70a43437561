"""An account in the open round, and what the loop asks of tournament and ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.system.child_process import ChildProcess
from bot.tournament.rounds import Round


class Tournament(Protocol):
    """What the loop asks Numerai."""

    def current_round(self) -> Round:
        """Return the open round; raises ``RoundNotOpen`` where there is none."""

    def server_now(self) -> datetime:
        """Return the server's time, aware UTC."""


class Book(Protocol):
    """What the loop reads and writes of the ledger."""

    def settled(self, round_number: int, slot: str) -> bool:
        """Say whether the slot's round is confirmed, or rehearsed in a dry run."""

    def filled_by(self, round_number: int, slot: str) -> str:
        """Return what filled the slot."""

    def record_round(self, round_: Round) -> None:
        """Remember when a round opened and closes."""

    def opening_times(self) -> tuple[datetime, ...]:
        """Return when the last rounds opened."""

    def unsent(self) -> Round | None:
        """Return the newest round, if predictions for it were finished and never sent."""

    def probe(self) -> None:
        """Take the lock that every write needs and give it back."""


@dataclass(slots=True, kw_only=True)
class AccountState:
    """
    One account and where it stands in the open round.

    Attributes:
        find_slots: Returns the names of the slots to fill; asked again for every round.
        attempt: Returns the command that brings them to a confirmed submission within so many seconds, not yet started;
            it is handed Numerai's trigger id where there is one.
        slots: Of the open round; ``None`` while they are not known.
        trigger: Numerai's id of the webhook call that the next attempt answers.
        running: The attempt under way.
        hold_until: Monotonic time before which no other attempt begins.
    """

    find_slots: Callable[[], tuple[str, ...]]
    attempt: Callable[[Round, float, str | None], ChildProcess]
    slots: tuple[str, ...] | None = None
    trigger: str | None = None
    running: ChildProcess | None = None
    hold_until: float = 0.0
