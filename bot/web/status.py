"""
Status of the bot from its state directory: `bot status`, and the data of the pages.

It reads the ledger and small files only, needs no network, and imports no large library.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.record.diagnostics import DiagnosticsRecord
from bot.record.heartbeat import problems
from bot.record.ledger import Ledger, rounds_folder
from bot.record.outbox import Outbox
from bot.serving.artifacts import ArtifactStore
from bot.serving.version_pin import Pin
from bot.system.file_names import file_name

ROUNDS = 10
"""Number of newest rounds in the overview."""


def overview(state_dir: Path, ledger_path: Path, *, now: datetime) -> dict[str, Any]:
    """
    Return rounds, champions, jobs and open alerts as plain JSON values.

    Args:
        state_dir: The state directory.
        ledger_path: Ledger of the live or the dry-run mode.
        now: Current time, aware UTC; it decides whether the last round is still open.
    """
    champions, store = _champions(state_dir), ArtifactStore(state_dir / "artifacts")
    about: dict[str, Any] = {
        "mode": "live" if ledger_path.stem == "ledger" else "dry-run",
        "champions": champions,
        "kept_back": {recipe: one.about for recipe, one in store.kept_back().items()},
        "data_versions": {recipe: Pin.of(store, recipe, "").in_use or None for recipe in champions},
    }
    if not ledger_path.is_file():
        return {
            **about,
            "rounds": [],
            "diagnostics": {},
            "chores": [],
            "troubles": {},
            "daemon": list(problems(state_dir)),
        }
    ledger, outbox = Ledger(ledger_path, read_only=True), Outbox(ledger_path, read_only=True)
    try:
        seen = ledger.last_round()
        entries = ledger.entries(limit=200)
        numbers = sorted({entry.round for entry in entries}, reverse=True)[:ROUNDS]
        return {
            **about,
            "last_seen_round": None if seen is None else {**seen, "open": datetime.fromisoformat(seen["closes_at"]) > now},
            "rounds": [
                {
                    "round": entry.round, "slot": entry.slot, "state": entry.state, "artifact": entry.artifact, "rung": entry.filled_by,
                    "passed_over": entry.passed_over, "submission": entry.submission_id, "confirmed_at": entry.confirmed_at,
                }
                for entry in entries
                if entry.round in numbers
            ],
            "diagnostics": _diagnostics(ledger_path),
            "chores": list(ledger.jobs()),
            "troubles": outbox.open_alerts(),
            "messages_waiting": outbox.waiting(),
            "daemon": list(problems(state_dir)),
        }  # fmt: skip
    finally:
        ledger.close()
        outbox.close()


def post_mortem(ledger_path: Path, number: int) -> dict[str, Any]:
    """
    Return all records of a round: entries, events, live files, reports and log lines.

    Args:
        ledger_path: Ledger of the live or the dry-run mode.
        number: Number of the round.
    """
    folder = rounds_folder(ledger_path) / str(number)
    ledger = Ledger(ledger_path, read_only=True)
    try:
        live = ledger.live_files(number)
        entries = [entry for entry in ledger.entries(limit=10_000) if entry.round == number]
        events = ledger.events(number)
    finally:
        ledger.close()
    return {
        "round": number,
        "live": [
            {"version": one.version, "sha256": one.sha256, "rows": one.rows, "fetched_at": one.fetched_at} for one in live
        ],
        "slots": {
            entry.slot: {
                "state": entry.state, "artifact": entry.artifact, "rung": entry.filled_by,
                "passed_over": entry.passed_over, "csv_sha256": entry.csv_sha256,
                "submission": entry.submission_id, "filename": entry.filename, "intended_at": entry.intended_at,
                "confirmed_at": entry.confirmed_at, "report": _report(folder / file_name(entry.slot) / "report.json"),
                "benchmark": _report(folder / file_name(entry.slot) / "likeness.json"),
            }
            for entry in entries
        },
        "events": [{"at": at, "event": name} for at, name in events],
        "log": _lines(folder / "log.jsonl"),
    }  # fmt: skip


def _champions(state_dir: Path) -> dict[str, str]:
    """Return the champion's artifact id by recipe."""
    found = {}
    for pointer in sorted((state_dir / "artifacts" / "champions").glob("*.json")):
        try:
            found[pointer.stem] = str(json.loads(pointer.read_text(encoding="utf-8"))["champion"])
        except (OSError, ValueError, KeyError, TypeError):
            found[pointer.stem] = "damaged pointer; see `bot doctor`"
    return found


def _diagnostics(ledger_path: Path) -> dict[str, Any]:
    """Return state, verdict and time of each artifact's diagnostics."""
    record = DiagnosticsRecord(ledger_path, read_only=True)
    try:
        return {
            identity: {"state": one.state, "verdict": one.verdict, "at": one.at}
            for identity, one in record.all().items()
        }
    finally:
        record.close()


def _report(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file; ``None`` if it is missing or damaged."""
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a round's log, without a line that a crash cut off."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            kept.append(json.loads(line))
        except ValueError:
            continue
    return kept
