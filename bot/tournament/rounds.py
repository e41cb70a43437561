"""A tournament round as a value: when it opens, when it closes, and what it pays."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

CLOSE_GUARD = timedelta(seconds=60)
"""Nothing is uploaded in the last minute: a submission that arrives late is queued for the next round."""

GUARD_SHARE = 0.1
"""The guard is at most this share of a window, so that a window of a minute is not all guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One score that a round pays for, with the multiplier and clip in force for that round."""

    score: str
    multiplier: float
    clip: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    One submission window.

    Attributes:
        number: Numerai's round number.
        opens_at: Aware UTC.
        closes_at: Aware UTC; the earlier of ``closeTime`` and ``closeStakingTime``, since an upload after the
            staking deadline is not bound to stake.
        payouts: What the round pays for, from its own score configuration; empty when the API gave none.
        factor: Payout factor of the round; ``None`` when the API gave none.
    """

    number: int
    opens_at: datetime
    closes_at: datetime
    payouts: tuple[Payout, ...] = field(default=())
    factor: float | None = None

    def is_open(self, now: datetime) -> bool:
        """Say whether the round takes on-time submissions at *now* (server time)."""
        return self.opens_at <= now < self.closes_at

    def accepts_upload(self, now: datetime) -> bool:
        """Say whether an upload started at *now* would still be on time, with the guard to spare."""
        return self.opens_at <= now < self.closes_at - self.guard

    @property
    def guard(self) -> timedelta:
        """Return how long before the close nothing is uploaded any more."""
        return min(CLOSE_GUARD, (self.closes_at - self.opens_at) * GUARD_SHARE)

    def seconds_left(self, now: datetime) -> float:
        """Return the seconds until the round closes; negative once it has."""
        return (self.closes_at - now).total_seconds()
