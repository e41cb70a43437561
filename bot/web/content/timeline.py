"""One round as a timeline: events of the ledger and lines of the round's log, in the order of their times."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

LONGEST = 240
"""Characters of the longest detail."""

TOGETHER = timedelta(seconds=2)
"""Longest time between an event's row in the ledger and its line in the log."""

_APART = frozenset({"event", "timestamp", "level", "logger", "round", "slot", "exception"})
"""Fields of a log line that are shown elsewhere, or nowhere."""


def timeline(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the rows of a timeline, oldest first: time, slot, event, detail and tone.

    An event of the ledger that the log also has, at about the same time, is one row: the log's, which says more.

    Args:
        found: Result of :func:`bot.web.status.post_mortem`.
    """
    logged = [_row(line) for line in found["log"] if isinstance(line, dict)]
    rows = [{"at": one["at"], "slot": "", "what": one["event"], "detail": "", "tone": ""} for one in found["events"]]
    # The ledger has its events in the order in which they happened; some of their times are of the server's clock.
    times = accumulate((_moment(one["at"]) for one in rows), max)
    apart = [(at, one) for at, one in zip(times, rows, strict=True) if not any(_same(one, other) for other in logged)]
    placed = [*apart, *((_moment(one["at"]), one) for one in logged)]
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]


def one_day(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the day of all rows, ``2026-11-24``; empty where they are of several days."""
    days = {str(one["at"])[:10] for one in rows}
    return days.pop() if len(days) == 1 else ""


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one["what"] == other["what"] and abs(_moment(one["at"]) - _moment(other["at"])) <= TOGETHER


def round_state(found: Mapping[str, Any]) -> str:
    """Return the state of a round in a word: ``confirmed`` only where every slot is, else that of the first other slot."""
    states = [str(one["state"]) for one in found["slots"].values()]
    other = [one for one in states if one != "confirmed"]
    return other[0] if other else "confirmed" if states else "not submitted"


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    level = line.get("level")
    text = ", ".join(
        f"{name} {value}"
        for name, value in line.items()
        if name not in _APART and isinstance(value, str | int | float) and value != ""
    )
    return {
        "at": line.get("timestamp", ""),
        "slot": line.get("slot") or "",
        "what": line.get("event", ""),
        "detail": text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…",
        "tone": "bad" if level in ("error", "critical", "warning") else "",
    }


def _moment(at: object) -> datetime:
    """Return a time for sorting; one that cannot be read comes first."""
    try:
        found = datetime.fromisoformat(str(at))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
