"""One round as a timeline: events of the ledger and lines of the round's log, in the order of their times."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LONGEST = 240
"""Characters of the longest detail."""

_APART = frozenset({"event", "timestamp", "level", "logger", "round", "slot", "exception"})
"""Fields of a log line that are shown elsewhere, or nowhere."""


def timeline(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the rows of a timeline, oldest first: time, slot, event, detail and tone.

    Args:
        found: Result of :func:`bot.web.status.post_mortem`.
    """
    rows = [{"at": one["at"], "slot": "", "what": one["event"], "detail": "", "tone": ""} for one in found["events"]]
    rows += [_row(line) for line in found["log"] if isinstance(line, dict)]
    return sorted(rows, key=lambda one: _moment(one["at"]))


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
