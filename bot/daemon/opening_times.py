"""When the next round may open, learned from the openings so far; no hour of the day is written anywhere."""

from collections.abc import Sequence
from datetime import datetime, timedelta

NEAR = timedelta(minutes=2)
"""How far from a learned opening the bot looks more often."""

WEEK = timedelta(days=7)
BRISK_S = 3.0
"""Seconds between two looks near a learned opening."""


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
