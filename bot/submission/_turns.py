"""
The order in which an attempt tries the fallbacks, and the time that each may take.

An attempt begins below an artifact that died twice in the round while it scored, or once where another try would leave
those below too little time. No artifact is given up: those that died are tried again last, the one with the fewest
deaths first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.errors import RetryLater
from bot.record.ledger import Deaths
from bot.submission.fallbacks import Fallback

FALLBACK_S = 15.0
"""Least seconds for scoring, gates and upload."""

TRIES = 2
"""Deaths in one round after which an artifact is passed over."""

LONGEST_S = 600.0
"""Longest scoring in seconds; the daemon ends an attempt, which also fetches and uploads, after 900."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """
    The fallbacks of a slot in the order of their turns.

    Attributes:
        order: All of them: best first, those that are passed over last.
        passed_over: Why, for each artifact that is passed over, in the order of the fallbacks.
    """

    order: tuple[Fallback, ...]
    passed_over: Mapping[str, RetryLater]

    @classmethod
    def of(cls, fallbacks: Sequence[Fallback], deaths: Mapping[str, Deaths], *, left_s: float) -> "Turns":
        """
        Order the fallbacks by their earlier deaths in the round.

        Args:
            fallbacks: Fallbacks, best first.
            deaths: Deaths by artifact.
            left_s: Seconds before the guard.
        """
        passed_over = {
            one.artifact: RetryLater(f"artifact {one.artifact} is passed over: {deaths[one.artifact]}")
            for below, one in enumerate(reversed(fallbacks))
            # The last round's predictions are read from disk, whatever became of the artifact that made them.
            if one.artifact in deaths and one.name != "last round" and _has_died(deaths[one.artifact], below, left_s)
        }
        passed_over = dict(reversed(passed_over.items()))
        sound = [one for one in fallbacks if one.artifact not in passed_over or one.name == "last round"]
        dead = [one for one in fallbacks if one not in sound]
        dead.sort(key=lambda one: deaths[one.artifact].count)
        return cls(order=(*sound, *dead), passed_over=passed_over)


def share_s(left_s: float, fallbacks: int) -> float:
    """
    Return the longest scoring of a fallback in seconds: its share of the time before the guard.

    Args:
        left_s: Seconds before the guard.
        fallbacks: Number of fallbacks that have not had their turn, this one included. Each may die as often as
            :data:`TRIES` before the next one's turn.
    """
    return min(LONGEST_S, max(FALLBACK_S, left_s / (TRIES * fallbacks)))


def _has_died(deaths: Deaths, below: int, left_s: float) -> bool:
    """Return whether an artifact is passed over: it had its tries, or another would leave the *below* too little time."""
    another_s = max(deaths.lost_s, FALLBACK_S)
    return deaths.count >= TRIES or left_s < (2 + below) * another_s
