"""
Status of the bot from its state directory: `bot status`, and the data of the pages.

It reads the ledger and small files only, needs no network, and imports no large library.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.record.diagnostics import DiagnosticsRecord
from bot.record.heartbeat import problems
from bot.record.hosted import HostedRecord, shown
from bot.record.ledger import Ledger, rounds_folder
from bot.record.outbox import Outbox
from bot.record.running import running_work
from bot.serving.artifacts import ArtifactStore
from bot.serving.version_pin import Pin
from bot.system.file_names import file_name
from bot.tournament.rounds import Round
from bot.web._round_rows import RoundScores, round_rows

ROUNDS = 10
"""Number of newest rounds in the overview."""

WEEK = timedelta(days=7)


def overview(
    state_dir: Path, ledger_path: Path, *, now: datetime, rounds: int = ROUNDS, slots: Collection[str] = ()
) -> dict[str, Any]:
    """
    Return rounds, champions, jobs and open alerts as plain JSON values.

    Args:
        state_dir: The state directory.
        ledger_path: Ledger of the live or the dry-run mode.
        now: Current time, aware UTC; it decides whether the last round is still open.
        rounds: Number of rounds.
        slots: Names of all slots of the settings; empty where they do not name them.
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
            "hosted": [],
            "next_opening": None,
            "paused": [],
            "diagnostics": {},
            "chores": [],
            "progress": running_work(state_dir),
            "troubles": {},
            "alerts": [],
            "daemon": list(problems(state_dir)),
        }
    with (
        closing(Ledger(ledger_path, read_only=True)) as ledger,
        closing(Outbox(ledger_path, read_only=True)) as outbox,
        closing(RoundScores(ledger_path, read_only=True)) as scores,
    ):
        seen, alerts = ledger.newest_round(), outbox.problems()
        return {
            **about,
            "last_seen_round": None if seen is None else _seen(seen, now),
            "next_opening": _next_opening(ledger.opening_times(), now),
            "paused": [asdict(one) for one in ledger.pauses(now)],
            "rounds": round_rows(ledger, scores, now=now, limit=rounds, slots=slots),
            "hosted": _hosted(ledger_path),
            "diagnostics": _diagnostics(ledger_path),
            "chores": list(ledger.jobs()),
            "progress": running_work(state_dir),
            "troubles": {one.name: one.title for one in alerts},
            "alerts": [asdict(one) for one in alerts],
            "messages_waiting": outbox.waiting(),
            "daemon": list(problems(state_dir)),
        }


def _seen(newest: Round, now: datetime) -> dict[str, Any]:
    """Return the times of the newest round, and whether it is still open."""
    times = {"opens_at": newest.opens_at.isoformat(), "closes_at": newest.closes_at.isoformat()}
    return {"number": newest.number, **times, "open": newest.closes_at > now}


def problems_without_alert(about: Mapping[str, Any]) -> list[str]:
    """
    Return the problems of the daemon that no open alert reports; ``round: ...`` is that of the alert ``round``.

    Args:
        about: Result of :func:`overview`.
    """
    told = {one["name"] for one in about["alerts"]}
    return [one for one in about["daemon"] if one.partition(": ")[0] not in told]


def kept_back_without_alert(about: Mapping[str, Any]) -> dict[str, str]:
    """
    Return why each recipe without a champion has none, but for reasons that an open alert gives already.

    Args:
        about: Result of :func:`overview`.
    """
    alerts = "\n".join(one["body"] for one in about["alerts"])
    return {recipe: reason for recipe, reason in about["kept_back"].items() if reason not in alerts}


def _next_opening(openings: Sequence[datetime], now: datetime) -> str | None:
    """Return when a round is expected to open: a week after the first round of the newest week that is not past."""
    past = [one for one in openings if one <= now]
    if not past or max(past) - min(past) < WEEK - timedelta(days=1):  # not yet a week of them
        return None
    newest = [one for one in past if max(past) - one < WEEK]
    expected = [one + WEEK * ((now - one) // WEEK + 1) for one in newest]
    return min(expected).isoformat()


def newest_round(ledger_path: Path) -> int | None:
    """Return the number of the newest round in a ledger, or ``None``."""
    with closing(Ledger(ledger_path, read_only=True)) as ledger:
        return next(iter(ledger.newest_rounds(limit=1)), None)


def post_mortem(ledger_path: Path, number: int, *, now: datetime | None = None) -> dict[str, Any]:
    """
    Return all records of a round: entries, events, live files, reports and log lines.

    Args:
        ledger_path: Ledger of the live or the dry-run mode.
        number: Number of the round.
        now: Current time, aware UTC, by default that of this machine; it decides whether the round is still open.
    """
    folder = rounds_folder(ledger_path) / str(number)
    ledger = Ledger(ledger_path, read_only=True)
    try:
        live = ledger.live_files(number)
        entries = [entry for entry in ledger.entries(limit=10_000) if entry.round == number]
        events, seen = ledger.events(number), ledger.seen(number)
        is_open = seen is None or (now or datetime.now(UTC)) < seen.closes_at
        failures = {one.slot: one.to_json(is_open=is_open) for one in ledger.failures(number)}
    finally:
        ledger.close()
    return {
        "round": number,
        "opens_at": seen and seen.opens_at.isoformat(),
        "closes_at": seen and seen.closes_at.isoformat(),
        "live": [
            {"version": one.version, "sha256": one.sha256, "rows": one.rows, "fetched_at": one.fetched_at} for one in live
        ],
        "slots": {
            **{slot: _unmade(slot, failure, folder) for slot, failure in failures.items() if slot},
            **{entry.slot: {
                "state": entry.state, "failure": failures.get(entry.slot), "artifact": entry.artifact, "rung": entry.filled_by,
                "passed_over": entry.passed_over, "csv_sha256": entry.csv_sha256,
                "submission": entry.submission_id, "filename": entry.filename, "intended_at": entry.intended_at,
                "confirmed_at": entry.confirmed_at, "report": _report(folder / file_name(entry.slot) / "report.json"),
                "benchmark": _report(folder / file_name(entry.slot) / "likeness.json"),
            }
            for entry in entries},
        },
        "failure": failures.get(""),
        "events": [{"at": at, "event": name} for at, name in events],
        "log": _lines(folder / "log.jsonl"),
    }  # fmt: skip


def _unmade(slot: str, failure: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the record of a slot that failed before the ledger got an entry; the report of a refused one has its gates."""
    report = _report(folder / file_name(slot) / "report.json")
    kept = dict.fromkeys(("csv_sha256", "submission", "filename", "intended_at", "confirmed_at", "benchmark"))
    artifact = None if report is None else report.get("artifact")
    about = {"state": failure["kind"], "artifact": artifact, "rung": "champion", "passed_over": ""}
    return {**kept, **about, "report": report, "failure": failure}


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


def _hosted(ledger_path: Path) -> list[dict[str, Any]]:
    """Return the pickles of slots that Numerai runs: the one that runs, and one that came after it and does not."""
    with closing(HostedRecord(ledger_path, read_only=True)) as record:
        return [{**asdict(one), "summary": one.summary} for one in shown(record.all())]


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
