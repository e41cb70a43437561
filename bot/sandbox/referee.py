"""
Check the promises of the bot against the sandbox's history and the bot's ledger: ``python -m bot.sandbox.referee``.

Only these records are read, nothing of the run itself. The promises:

- I1  at most one distinct content per round and slot in time, and one that was queued late
- I2  every submission has exactly the ids of its round's live file
- I3  nothing is submitted outside the window, or within the guard before its end
- I4  the server holds every submission that the ledger marks as confirmed, byte for byte
- I5  every owed round has a submission
- I6  no file of the bot holds a canary
"""

import json
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.tournament.rounds import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A broken promise: its code, and the evidence."""

    promise: str
    detail: str


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the sandbox's history; empty if there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judge(
    history: Sequence[dict[str, Any]],
    *,
    ledgers: Iterable[Path] = (),
    owed: Iterable[tuple[int, str]] = (),
    written: Iterable[Path] = (),
    canaries: Sequence[str] = (),
    late_is_allowed: bool = False,
) -> list[Breach]:
    """
    Return the broken promises.

    Args:
        history: From :func:`read_history`.
        ledgers: Ledgers of the bots.
        owed: Round and slot of each submission that must exist.
        written: Folders and files that the bots wrote.
        canaries: Secrets that none of these files may hold.
        late_is_allowed: Whether uploads after the close are allowed.
    """
    created = [line for line in history if line["event"] == "created"]
    held = {(line["round"], line["slot"], line["id"], line["sha256"]) for line in created}
    held |= {(one["round"], one["slot"], one["id"], one["sha256"]) for one in history if one["event"] == "placed"}
    breaches = _one_content(created)
    breaches += [
        Breach(promise="I2", detail=f"round {line['round']}: {line['filename']} has other ids than the live file")
        for line in created
        if line["ids_sha256"] != line["live_sha256"]
    ]
    if not late_is_allowed:
        breaches += [
            Breach(promise="I3", detail=f"round {line['round']}: {line['filename']} was sent at {line['at']}")
            for line in created
            if not _window(line).accepts_upload(datetime.fromisoformat(line["at"]))
        ]
    for path in ledgers:
        breaches += [
            Breach(promise="I4", detail=f"round {claim[0]} of {claim[1]} is not on the server as confirmed")
            for claim in _confirmed(path)
            if claim not in held
        ]
    there = {(number, slot) for number, slot, _, _ in held}
    breaches += [
        Breach(promise="I5", detail=f"round {number} of {slot} was lost") for number, slot in owed if (number, slot) not in there
    ]  # fmt: skip
    return breaches + _leaks(written, canaries)


def _one_content(created: Sequence[dict[str, Any]]) -> list[Breach]:
    """Return breaches of I1. Late submissions, queued for the next round, are counted apart from those in time."""
    contents: dict[tuple[int, str, bool], set[str]] = {}
    for line in created:
        contents.setdefault((line["round"], line["slot"], line["late"]), set()).add(line["sha256"])
    return [
        Breach(promise="I1", detail=f"round {number} of {slot} got {len(found)} contents")
        for (number, slot, _), found in contents.items()
        if len(found) > 1
    ]


def _window(line: dict[str, Any]) -> Round:
    """Return the round with its times at the moment of the submission."""
    return Round(
        number=line["round"],
        opens_at=datetime.fromisoformat(line["opens_at"]),
        closes_at=datetime.fromisoformat(line["closes_at"]),
    )


def _confirmed(path: Path) -> list[tuple[int, str, str, str]]:
    """Return round, slot, submission id and sha256 of the ledger's confirmed submissions."""
    if not path.is_file():
        return []
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT round, slot, submission_id, csv_sha256 FROM submission WHERE state = 'confirmed'"
        return database.execute(query).fetchall()
    finally:
        database.close()


def _leaks(written: Iterable[Path], canaries: Sequence[str]) -> list[Breach]:
    files = (path for one in written for path in ([one] if one.is_file() else sorted(one.rglob("*"))) if path.is_file())
    return [
        Breach(promise="I6", detail=f"{path} holds a secret")
        for path in files
        if any(canary.encode() in path.read_bytes() for canary in canaries)
    ]


def main() -> None:
    """Check ``HISTORY [STATE...]``: print every breach; exit with 1 if there is one."""
    history, *states = (Path(argument) for argument in sys.argv[1:])
    lines = read_history(history)
    breaches = judge(lines, ledgers=[path for state in states for path in state.glob("ledger*.sqlite")])
    for breach in breaches:
        print(f"{breach.promise}: {breach.detail}")  # noqa: T201 - a program of its own
    created = sum(line["event"] == "created" for line in lines)
    print(f"{len(lines)} lines, {created} submissions, {len(breaches)} breaches")  # noqa: T201
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
