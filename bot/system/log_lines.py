"""
Log events as lines for a person: ``13:00:05  round 1422 · my_model · confirmed in 5 s``.

Events that are not in the table below are shown by their name and fields.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

PHRASES = {
    "attempt.started": "an attempt begins",
    "chore.finished": "job {chore}: {outcome}",
    "chore.started": "job {chore} begins",
    "control.obeyed": "order obeyed; paused now: {paused}",
    "daemon.started": "the bot runs; it looks every {tick_s} s",
    "daemon.stopped": "stopped",
    "daemon.stopping": "stopping",
    "dataset.fetched": "live file fetched, {rows} rows",
    "hook.failed": "hook {hook} failed: {reason}",
    "hook.finished": "hook {hook} done",
    "ladder.rung": "filled by its {rung}: {reason}",
    "ladder.trying": "trying the {rung}: {reason}",
    "request.repeated": "tries again in {pause_s} s: {reason}",
    "round.delayed": "{reason}: {cause}",
    "round.finished": "confirmed in {total_s} s",
    "round.hung": "an attempt hung for {seconds} s and was stopped",
    "round.missed": "missed: {reason}",
    "round.open": "open until {closes_at}",
    "round.settled": "every slot is done",
    "round.waiting": "waiting: {reason}",
    "submission.confirmed": "Numerai has the file",
    "submission.failed": "{kind}: {reason}",
    "submission.uploaded": "uploaded",
    "trainer.started": "the trainer runs",
    "web.failed": "{reason}",
    "web.off": "no pages: set BOT_HTTP_PORT to a port to see them",
    "web.started": "pages at {url}",
}
"""Words for an event, with its fields in braces. A phrase whose fields are missing is not used."""

ABOUT = ("round", "slot")
"""Fields that stand before the words."""

HIDDEN = {"event", "level", "timestamp", "artifact", "exception", *ABOUT}
WARNED, FAILED, PLAIN = "\x1b[33m", "\x1b[31m", "\x1b[0m"
COLOURS = {"warning": WARNED, "error": FAILED, "critical": FAILED}


def human_line(event: Mapping[str, Any], *, colours: bool = False, encoding: str = "utf-8") -> str:
    """
    Return one line for an event, and below it the traceback of an exception.

    Args:
        event: Fields of the event, with ``event``, ``level`` and ``timestamp``.
        colours: Paint warnings yellow and errors red, for a terminal.
        encoding: Encoding of the terminal; one without a middle dot gets a hyphen.
    """
    level = str(event.get("level", "info"))
    about = [f"round {event['round']}" if event.get("round") is not None else "", str(event.get("slot") or "")]
    words = _words(event)
    if level in COLOURS:
        words = f"{level}: {words}"
    dot = " · " if "·".encode(encoding, "ignore") else " - "
    line = f"{_clock(event.get('timestamp'))}  {dot.join(filter(None, (*about, words)))}"
    line = "".join(one if one.isprintable() else " " for one in line)
    if colours and level in COLOURS:
        line = f"{COLOURS[level]}{line}{PLAIN}"
    return "\n".join(filter(None, (line, str(event.get("exception") or ""))))


def _words(event: Mapping[str, Any]) -> str:
    name = str(event.get("event", ""))
    values = {key: _shown(key, value) for key, value in event.items()}
    if isinstance(event.get("seconds"), Mapping):
        values["total_s"] = f"{sum(event['seconds'].values()):.0f}"
    try:
        return PHRASES[name].format_map(values).removesuffix(": ")
    except KeyError:
        pass
    fields = [f"{key} {value}" for key, value in values.items() if key not in {*HIDDEN, "reason"} and value]
    reason = [values["reason"]] if event.get("reason") else []
    return ": ".join(filter(None, (name.replace(".", " ").replace("_", " "), ", ".join([*reason, *fields]))))


def _shown(key: str, value: object) -> str:
    if key.endswith("_at") and isinstance(value, str):
        try:
            return f"{datetime.fromisoformat(value).astimezone():%a %H:%M}"
        except ValueError:
            return value
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _clock(timestamp: object) -> str:
    """Return the local time of an event."""
    try:
        return f"{datetime.fromisoformat(str(timestamp)).astimezone():%H:%M:%S}"
    except ValueError:
        return "--:--:--"
