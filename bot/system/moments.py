"""Times as people read and write them: in local time, with how long it is until then."""

import re
from datetime import UTC, datetime, timedelta

from bot.errors import BadConfig

UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def local(at: str | datetime | None) -> str:
    """Return a moment in local time, ``Tue 2026-11-24 13:00 CET``; a dash for none."""
    if at is None:
        return "-"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone():%a %Y-%m-%d %H:%M %Z}"


def in_words(seconds: float) -> str:
    """Return a duration as a person says it: ``40 s``, ``18 min``, ``1 h 40 min``."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def away(seconds: float) -> str:
    """Return how long something is away: ``in 3 h 12 min``, ``in 2 days 4 h``, ``5 min ago``."""
    length = abs(seconds)
    minutes = int(length // 60)
    if length < 60:
        text = f"{length:.0f} s"
    elif minutes < 60:
        text = f"{minutes} min"
    elif minutes < 48 * 60:
        text = f"{minutes // 60} h {minutes % 60:02} min"
    else:
        text = f"{minutes // 1440} days {minutes % 1440 // 60} h"
    return f"in {text}" if seconds >= 0 else f"{text} ago"


def until(at: str | datetime, now: datetime) -> str:
    """Return a moment in local time with how far it is away: ``Tue 2026-11-24 13:00 CET, in 3 h 12 min``."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{local(moment)}, {away((moment - now).total_seconds())}"


def parse_end(text: str, now: datetime) -> datetime:
    """
    Return the moment that a person names: a local date, a local time of a date, an ISO time, or a length such as ``6h``.

    Raises:
        BadConfig: The text is none of these, or the moment is not in the future.
    """
    length = re.fullmatch(r"([0-9]{1,4})([smhdw])", text.strip())
    try:
        if length is not None:
            end = now + int(length[1]) * UNITS[length[2]]
        else:
            end = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise BadConfig(
            f"{text!r} is no time; write a date as 2026-12-24, a time as '2026-12-24 18:00', or a length as 90s, 30m, 6h, 2d or 1w"
        ) from None
    if end <= now:
        raise BadConfig(
            f"{text!r} is in the past ({local(end)}); name a later time, or a length as 90s, 30m, 6h, 2d or 1w"
        )
    return end
