"""A round of the tournament: its opening, its close and its payout factors."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

CLOSE_GUARD = timedelta(seconds=60)
"""No upload starts in the last minute, since Numerai queues a late submission for the next round."""

GUARD_SHARE = 0.1
"""Largest share of a window that the guard may take; a window of one minute still accepts uploads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """
    A score that a round pays for.

    Attributes:
        score: Name of the score, such as ``corr60``.
        multiplier: Factor of the score in the payout of this round.
        clip: Largest gain or loss in the round as a share of the stake; ``None`` if the API returned none.
    """

    score: str
    multiplier: float
    clip: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    A round of the tournament and its submission window.

    Attributes:
        number: Numerai's round number.
        opens_at: Opening, aware UTC.
        closes_at: Close, aware UTC: the earlier of ``closeTime`` and ``closeStakingTime``, since the stake does not
            count for an upload after ``closeStakingTime``.
        payouts: Scores that the round pays for, from its own configuration; empty if the API returned none.
        factor: Payout factor of the round; ``None`` if the API returned none.
    """

    number: int
    opens_at: datetime
    closes_at: datetime
    payouts: tuple[Payout, ...] = field(default=())
    factor: float | None = None

    def is_open(self, now: datetime) -> bool:
        """Return whether a submission at *now* (server time) is on time."""
        return self.opens_at <= now < self.closes_at

    def accepts_upload(self, now: datetime) -> bool:
        """Return whether an upload may start at *now* (server time): the round is open and the guard has not begun."""
        return self.opens_at <= now < self.closes_at - self.guard

    @property
    def guard(self) -> timedelta:
        """Return the time before the close in which no upload starts."""
        return min(CLOSE_GUARD, (self.closes_at - self.opens_at) * GUARD_SHARE)

    def seconds_left(self, now: datetime) -> float:
        """Return the seconds until the close; negative after it."""
        return (self.closes_at - now).total_seconds()
