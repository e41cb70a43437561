"""The newest rounds as `bot status` and the page "Now" list them: one row a slot, with state, reason and scores."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.record.control import EVERY_SLOT
from bot.record.database import Database
from bot.record.failures import NEXT_ROUND, Failure
from bot.record.ledger import Entry, Ledger

UNSENT, UNSEEN = "intended", "not seen"

Row = dict[str, Any]


class RoundScores(Database):
    """
    Live scores, pay and payments, read without the libraries that :mod:`bot.live` needs.

    ``tests/web/test_round_rows.py`` holds the figures equal to those of `bot scores`.
    """

    def since(self, number: int) -> dict[tuple[int, str], dict[str, Any]]:
        """Return scores by name, pay of 1 NMR, NMR paid and whether all are final, by round and slot, since a round."""
        terms = {row["round"]: row for row in self._select("SELECT * FROM round_pay WHERE round >= ?", number)}
        found: dict[tuple[int, str], dict[str, Any]] = {}
        for row in self._select("SELECT * FROM live_score WHERE round >= ? ORDER BY round, slot, name", number):
            one = found.setdefault((row["round"], row["slot"]), {"scores": {}, "final": True})
            one["scores"][row["name"]] = row["value"]
            one["final"] &= bool(row["resolved"])
        paid = {
            (row["round"], row["slot"]): row["nmr"]
            for row in self._select("SELECT * FROM round_paid WHERE round >= ?", number)
        }
        for key, one in found.items():
            one["pay"] = None if key[0] not in terms else _pay(one["scores"], terms[key[0]])
            one["paid_nmr"] = paid.get(key)
        return found


def _pay(scores: Mapping[str, float], terms: Any) -> float | None:  # noqa: ANN401 - a row of SQLite
    """Return the payout of 1 NMR by the round's terms; ``None`` while a paid score is missing."""
    multipliers: dict[str, float] = json.loads(terms["multipliers"])
    if not multipliers or not set(multipliers) <= set(scores):
        return None
    total = terms["factor"] * sum(multiplier * scores[name] for name, multiplier in multipliers.items())
    return float(max(-terms["clip"], min(terms["clip"], total)))


def round_rows(
    ledger: Ledger, scores: RoundScores, *, now: datetime, limit: int, slots: Collection[str] = ()
) -> list[Row]:
    """
    Return the rows of the newest rounds, newest first; rounds between two known ones that the bot did not see are one row.

    Args:
        ledger: Rounds, submissions and failures.
        scores: Live scores.
        now: Current time, aware UTC.
        limit: Number of rounds.
        slots: Names of the slots that there are; a mistyped one of an earlier day, which never submitted, is left out.
            All are listed where it is empty.
    """
    numbers = ledger.newest_rounds(limit=limit)
    if not numbers:
        return []
    entries: dict[int, list[Entry]] = {}
    for entry in ledger.entries(limit=50 * limit):
        entries.setdefault(entry.round, []).append(entry)
    marks = {state: ledger.closed(state, since=numbers[-1]) for state in ("missed", "paused")}
    scored = scores.since(numbers[-1])
    rows: list[Row] = []
    for place, number in enumerate(numbers):
        seen = ledger.seen(number)
        # A round that only `bot submit` of an earlier bot has seen has no times; the newest one may still be open.
        is_open = now < seen.closes_at if seen else not place
        found = list(_rows_of(ledger, number, entries.get(number, ()), marks, now if is_open else None))
        kept = [row for row in found if not slots or row["slot"] in slots or row["intended_at"]]
        rows += kept or found
        older = numbers[place + 1] if place + 1 < len(numbers) else number - 1
        if number - older > 1:
            rows.append({**_row(number - 1, "", UNSEEN), "through": older + 1})
    return [{**row, **scored.get((row["round"], row["slot"]), {"scores": {}})} for row in rows]


def _rows_of(
    ledger: Ledger,
    number: int,
    entries: Sequence[Entry],
    marks: Mapping[str, frozenset[tuple[int, str]]],
    open_at: datetime | None,
) -> Iterator[Row]:
    """Yield the rows of one round; *open_at* is the present time where the round is open, else ``None``."""
    failures, known = {one.slot: one for one in ledger.failures(number)}, {one.slot: one for one in entries}
    held_back = {one.slot for one in ledger.pauses(open_at)} if open_at else set()
    marked = {slot for found in marks.values() for one, slot in found if one == number}
    slots = {*known, *failures, *marked, *held_back}
    common = failures.get(EVERY_SLOT)
    named = sorted(filter(None, slots)) or [""]
    for slot in named:
        entry, failure = known.get(slot), failures.get(slot, common)
        if entry is not None and entry.state != UNSENT:
            yield _row(number, slot, entry.state, entry)
        elif {(number, slot), (number, EVERY_SLOT)} & marks["paused"] or {slot, EVERY_SLOT} & held_back:
            yield _row(number, slot, "paused", entry)
        else:
            late = entry is not None and ledger.queued(number, slot)
            state = "queued late" if late else _state(failure, entry, is_open=open_at is not None)
            why = None if failure is None else failure.to_json(is_open=open_at is not None)
            yield _row(number, slot, state, entry, why)


def _state(failure: Failure | None, entry: Entry | None, *, is_open: bool) -> str:
    """Return the state of a slot without a confirmed submission."""
    if failure is not None and failure.kind == "refused":
        return "refused"
    if not is_open:
        return "missed"
    if failure is not None:
        later = "too late" if failure.remedy == NEXT_ROUND else "trying again"
        return later if failure.kind == "later" else failure.kind
    return "open" if entry is None else UNSENT


def _row(number: int, slot: str, state: str, entry: Entry | None = None, failure: Row | None = None) -> Row:
    return {
        "round": number,
        "slot": slot,
        "state": state,
        "artifact": entry and entry.artifact,
        "rung": "champion" if entry is None else entry.filled_by,
        "passed_over": "" if entry is None else entry.passed_over,
        "submission": entry and entry.submission_id,
        "intended_at": entry and entry.intended_at,
        "confirmed_at": entry and entry.confirmed_at,
        "failure": failure,
    }
