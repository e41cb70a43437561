"""The page "Now" in a few seconds of reading: is this round in, how the last rounds went, and which champions fill them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.web.content.artifact_files import ArtifactFiles

STRIP = 20
"""Rounds of a slot's strip."""

LISTED, LISTED_ROWS = 10, 60
"""Newest rounds in the table, of which the strip has more, and most rows of it: an account may have many slots."""

GOOD = ("confirmed", "healthy")
BAD = ("refused", "missed", "too late", "crashed", "needs the operator", "unhealthy", "newest round not filled")
"""States of slots and of the bot whose words are coloured."""

Row = Mapping[str, Any]


def tone(state: str) -> str:
    """Return the class of a state's words: ``good``, ``bad`` or none."""
    return "good" if state in GOOD else "bad" if state in BAD else ""


def health(about: Mapping[str, Any]) -> str:
    """
    Return the state of the bot: ``healthy``, ``unhealthy`` or ``newest round not filled``.

    Args:
        about: Result of :func:`bot.web.status.overview`.
    """
    newest = about.get("last_seen_round")
    unfilled = newest and any(one["round"] == newest["number"] and one["state"] in BAD for one in about["rounds"])
    return "unhealthy" if about["daemon"] else "newest round not filled" if unfilled else "healthy"


def slots_now(about: Mapping[str, Any], slots: Collection[str] = ()) -> list[dict[str, Any]]:
    """
    Return what each slot did in the newest round, and its last rounds, oldest first.

    Args:
        about: Result of :func:`bot.web.status.overview`.
        slots: Names of all slots of the settings; others are left out. All are returned where it is empty.
    """
    rows: Sequence[Row] = about["rounds"]
    newest = about.get("last_seen_round")
    number = newest["number"] if newest else max((one["round"] for one in rows), default=None)
    names = sorted({one["slot"] for one in rows if one["slot"] and (not slots or one["slot"] in slots)})
    found = []
    for name in names:
        own = [one for one in rows if one["slot"] == name]
        now = next((one for one in own if one["round"] == number), None)
        waiting = "not in yet" if newest and newest["open"] else "not seen"
        state = now["state"] if now and now["state"] != "open" else waiting
        found.append(
            {
                "slot": name,
                "state": state,
                "round": number,
                "tone": tone(state),
                "failure": now and now["failure"],
                "confirmed_at": now and now["confirmed_at"],
                "strip": [_cell(one) for one in reversed(own[:STRIP])],
            }
        )
    return found


def newest_rows(about: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the newest :data:`LISTED` rounds, or of fewer where these have too many rows; all of the newest."""
    rows: Sequence[Row] = about["rounds"]
    numbers = sorted({one["round"] for one in rows}, reverse=True)[:LISTED]
    while len(numbers) > 1 and sum(one["round"] in numbers for one in rows) > LISTED_ROWS:
        numbers.pop()
    return [one for one in rows if one["round"] in numbers]


def champions_now(state_dir: Path, champions: Mapping[str, str], now: datetime) -> Iterator[dict[str, Any]]:
    """Yield each recipe's champion by day, age and score; the id is left for small print."""
    for recipe, identity in champions.items():
        folder = state_dir / "artifacts" / identity
        one = ArtifactFiles.read(folder) or ArtifactFiles(id=identity, manifest={})
        yield {"recipe": recipe, "id": identity, "day": one.day, "age": one.age(now), "corr": one.summary("mean")}


def _cell(row: Row) -> dict[str, Any]:
    """Return a round of a strip: its mark is the sign of the pay where it is known, else the state."""
    pay = row.get("pay")
    mark = tone(row["state"])
    if isinstance(pay, float):
        mark = "won" if pay >= 0 else "lost"
    parts = [f"round {row['round']}: {row['state']}"]
    parts += [f"{name} {value:+.4f}" for name, value in sorted(row.get("scores", {}).items())]
    parts += [f"pay {pay:+.4f} per NMR staked"] if isinstance(pay, float) else []
    return {"round": row["round"], "mark": mark, "about": ", ".join(parts)}
