"""
The ledger: rounds, submissions, live files and jobs, in one SQLite file per mode.

A row of ``submission`` is written *before* the first effect on the server (``intended``) and becomes ``confirmed`` only
after the uploaded bytes were read back; a dry run leaves ``rehearsed``. The table ``event`` is append-only. A row of
``scoring`` holds the start of a scoring while it runs, so that one whose process died is known to the next attempt.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot.record.control import EVERY_SLOT, Control
from bot.record.failures import Failure, gates_from_json, gates_to_json
from bot.system.kill_points import kill_point
from bot.system.redaction import redact
from bot.tournament.rounds import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    The submission of one slot in one round.

    Attributes:
        round: Number of the round.
        slot: Name of the slot.
        state: ``intended``, ``confirmed``, or ``rehearsed`` in a dry run.
        token: Beginning of the uploaded file's name.
        csv_sha256: Digest of the uploaded file.
        data_sha256: Digest of the live file that was scored.
        artifact: Id of the artifact that scored it.
        submission_id: Id on the server, once confirmed.
        filename: Name of the file on the server, once confirmed.
        intended_at: ISO time of the intent, UTC.
        confirmed_at: ISO time of the confirmation, UTC.
        filled_by: The champion or the fallback that filled the slot, see :mod:`bot.submission.fallbacks`.
        passed_over: Why better ones did not; empty where there were none.
    """

    round: int
    slot: str
    state: str
    token: str
    csv_sha256: str
    data_sha256: str
    artifact: str
    submission_id: str | None
    filename: str | None
    intended_at: str
    confirmed_at: str | None
    filled_by: str = "champion"
    passed_over: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaths:
    """
    Scorings of one artifact in one round that did not return.

    Attributes:
        killed: Number of those whose process was killed from outside.
        overran: Number of those that were ended at their time limit.
        lost_s: Seconds that the last one took.
    """

    killed: int = 0
    overran: int = 0
    lost_s: float = 0.0

    @property
    def count(self) -> int:
        """Return the number of all."""
        return self.killed + self.overran

    def __add__(self, other: "Deaths") -> "Deaths":
        return Deaths(
            killed=self.killed + other.killed,
            overran=self.overran + other.overran,
            lost_s=max(self.lost_s, other.lost_s),
        )

    def __str__(self) -> str:
        killed = f"its process was killed {_times(self.killed)}" if self.killed else ""
        overran = f"it did not score in its time {_times(self.overran)}" if self.overran else ""
        return " and ".join(filter(None, (killed, overran)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFileRecord:
    """
    A live file that a round was scored on.

    Attributes:
        round: Number of the round.
        version: Data version; empty for files that an older bot recorded.
        sha256: Digest of the file.
        ids_sha256: Digest of its sorted ids.
        rows: Number of rows.
        fetched_at: ISO time of the download, UTC.
    """

    round: int
    version: str
    sha256: str
    ids_sha256: str
    rows: int
    fetched_at: str


def rounds_folder(ledger_path: Path) -> Path:
    """
    Return the folder with the live files, predictions and reports of a ledger's rounds.

    Each mode has its own folder beside its own ledger, so a dry run never replaces files of a real round.
    """
    return ledger_path.with_name(ledger_path.stem.replace("ledger", "rounds"))


class Ledger(Control):
    """The rounds, submissions, live files and jobs of one mode."""

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self._path

    @property
    def rounds(self) -> Path:
        """Return the folder of the ledger's rounds."""
        return rounds_folder(self._path)

    def entry(self, round_number: int, slot: str) -> Entry | None:
        """Return the entry of *slot* in the round, ``None`` where there is none."""
        rows = self._select("SELECT * FROM submission WHERE round = ? AND slot = ?", round_number, slot)
        return _to_entry(rows[0]) if rows else None

    def entries(self, *, limit: int = 20) -> tuple[Entry, ...]:
        """Return the entries of the newest rounds, newest first."""
        rows = self._select("SELECT * FROM submission ORDER BY round DESC, slot LIMIT ?", limit)
        return tuple(_to_entry(row) for row in rows)

    def last_success(self) -> datetime | None:
        """Return when a submission was last confirmed, of whatever slot and round; ``None`` where none ever was."""
        rows = self._select("SELECT max(confirmed_at) AS at FROM submission WHERE state = 'confirmed'")
        return datetime.fromisoformat(rows[0]["at"]) if rows[0]["at"] else None

    def last_confirmed(self, slot: str, *, before: int) -> Entry | None:
        """Return the newest confirmed entry of *slot* in a round earlier than *before*."""
        rows = self._select(
            "SELECT * FROM submission WHERE slot = ? AND round < ? AND state = 'confirmed' ORDER BY round DESC LIMIT 1",
            slot,
            before,
        )
        return _to_entry(rows[0]) if rows else None

    def intend(self, entry: Entry) -> None:
        """Record a submission before its upload; a later one for the same round and slot replaces it."""
        with kill_point("ledger.intend"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO submission (round, slot, state, token, csv_sha256, data_sha256, artifact,"
                " submission_id, filename, intended_at, confirmed_at, rung, passed_over)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    entry.round,
                    entry.slot,
                    entry.state,
                    entry.token,
                    entry.csv_sha256,
                    entry.data_sha256,
                    entry.artifact,
                    entry.submission_id,
                    entry.filename,
                    entry.intended_at,
                    entry.confirmed_at,
                    entry.filled_by,
                    entry.passed_over,
                ),
            )
            self._event("submission." + entry.state, entry.intended_at, entry.round, entry.slot, {"token": entry.token})

    def confirm(self, round_number: int, slot: str, *, submission_id: str, filename: str, at: datetime) -> None:
        """Record that the server has exactly the intended bytes."""
        with kill_point("ledger.confirm"), self._transaction():
            self._db.execute(
                "UPDATE submission SET state = 'confirmed', submission_id = ?, filename = ?, confirmed_at = ?"
                " WHERE round = ? AND slot = ?",
                (submission_id, filename, at.isoformat(), round_number, slot),
            )
            self._event("submission.confirmed", at.isoformat(), round_number, slot, {"submission_id": submission_id})

    def record_created(
        self, round_number: int, slot: str, *, csv_sha256: str, submission_id: str, at: datetime
    ) -> None:
        """Record that the server acknowledged a submission, which is not read back yet."""
        with kill_point("ledger.record_created"), self._transaction():
            detail = {"sha256": csv_sha256, "submission_id": submission_id}
            self._event("submission.created", at.isoformat(), round_number, slot, detail)

    def created(self, round_number: int, slot: str, *, csv_sha256: str) -> frozenset[str]:
        """Return the ids of the acknowledged submissions of one content."""
        rows = self._select(
            "SELECT detail FROM event WHERE name = 'submission.created' AND round = ? AND slot = ?", round_number, slot
        )
        details = [json.loads(row["detail"]) for row in rows]
        return frozenset(one["submission_id"] for one in details if one["sha256"] == csv_sha256)

    def newest(self, slot: str) -> Entry | None:
        """Return the newest entry of *slot*."""
        rows = self._select("SELECT * FROM submission WHERE slot = ? ORDER BY round DESC LIMIT 1", slot)
        return _to_entry(rows[0]) if rows else None

    def queue(self, round_number: int, slot: str, *, submission_id: str, filename: str, at: datetime) -> None:
        """Record that the server has the intended bytes for the next round, since they were uploaded late."""
        with kill_point("ledger.queue"), self._transaction():
            detail = {"submission_id": submission_id, "filename": filename}
            self._event("submission.queued", at.isoformat(), round_number, slot, detail)

    def queued(self, round_number: int, slot: str) -> bool:
        """Return whether the submission of *slot* in the round was uploaded late."""
        query = "SELECT 1 FROM event WHERE name = 'submission.queued' AND round = ? AND slot = ?"
        return bool(self._select(query, round_number, slot))

    def unsent(self) -> Round | None:
        """Return the newest recorded round if one of its submissions is intended, but neither confirmed nor uploaded late."""
        rows = self._select(
            "SELECT * FROM round WHERE number = (SELECT max(number) FROM round) AND EXISTS (SELECT 1 FROM submission s"
            " WHERE s.round = number AND s.state = 'intended' AND NOT EXISTS (SELECT 1 FROM event e"
            " WHERE e.name = 'submission.queued' AND e.round = s.round AND e.slot = s.slot))"
        )
        return _to_round(rows[0]) if rows else None

    def record_live_file(self, record: LiveFileRecord) -> None:
        """Record a live file of a round, so that a later round can prove that its own is new."""
        with kill_point("ledger.record_live"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO live_file (round, version, sha256, ids_sha256, rows, fetched_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (record.round, record.version, record.sha256, record.ids_sha256, record.rows, record.fetched_at),
            )
            self._event("dataset.fetched", record.fetched_at, record.round, None, {"sha256": record.sha256})

    def live_files(self, round_number: int) -> tuple[LiveFileRecord, ...]:
        """Return the live files of the round, one for each data version that was scored."""
        rows = self._select("SELECT * FROM live_file WHERE round = ? ORDER BY version", round_number)
        return tuple(LiveFileRecord(**row) for row in rows)

    def was_tried(self, round_number: int, slot: str) -> bool:
        """Return whether a slot was ever submitted, or an attempt at the round failed."""
        rows = self._select(
            "SELECT 1 FROM submission WHERE slot = ? UNION SELECT 1 FROM failure WHERE round = ? AND slot IN (?, '')",
            slot, round_number, slot,
        )  # fmt: skip
        return bool(rows)

    def forget(self, round_number: int) -> None:
        """Delete the live files of a round, and its submissions that are only intended."""
        with kill_point("ledger.forget"), self._transaction():
            self._db.execute("DELETE FROM live_file WHERE round = ?", (round_number,))
            self._db.execute("DELETE FROM submission WHERE round = ? AND state = 'intended'", (round_number,))

    def earlier_live_files(self, round_number: int) -> tuple[LiveFileRecord, ...]:
        """Return the newest 50 live files of earlier rounds, newest first."""
        rows = self._select("SELECT * FROM live_file WHERE round < ? ORDER BY round DESC LIMIT 50", round_number)
        return tuple(LiveFileRecord(**row) for row in rows)

    def settled(self, round_number: int, slot: str) -> bool:
        """Return whether the submission of *slot* in the round is confirmed, or rehearsed in a dry run."""
        entry = self.entry(round_number, slot)
        return entry is not None and entry.state != "intended"

    def filled_by(self, round_number: int, slot: str) -> str:
        """Return what filled *slot* in the round: the champion until a fallback did."""
        entry = self.entry(round_number, slot)
        return "champion" if entry is None else entry.filled_by

    def passed_over(self, round_number: int, slot: str) -> str:
        """Return why better fallbacks did not fill *slot* in the round; empty where there were none."""
        entry = self.entry(round_number, slot)
        return "" if entry is None else entry.passed_over

    def start_scoring(self, round_number: int, slot: str, artifact: str, *, at: datetime, limit_s: float) -> None:
        """Record that an artifact begins to score. The record stays if the process dies."""
        with kill_point("ledger.start_scoring"), self._transaction():
            self._db.execute(
                "INSERT INTO scoring (round, slot, artifact, started_at, limit_s) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET started_at = excluded.started_at, limit_s = excluded.limit_s",
                (round_number, slot, artifact, at.isoformat(), limit_s),
            )

    def end_scoring(self, round_number: int, slot: str, artifact: str) -> None:
        """Record that an artifact's scoring returned, with scores or with an error."""
        with kill_point("ledger.end_scoring"), self._transaction():
            self._db.execute(
                "UPDATE scoring SET started_at = NULL WHERE round = ? AND slot = ? AND artifact = ?",
                (round_number, slot, artifact),
            )

    def overrun_scoring(self, round_number: int, slot: str, artifact: str, *, at: datetime) -> None:
        """Record that the process is about to end itself, because an artifact's scoring reached its limit."""
        with kill_point("ledger.overrun_scoring"), self._transaction():
            self._db.execute(
                "UPDATE scoring SET started_at = NULL, overran = overran + 1, lost_s = limit_s"
                " WHERE round = ? AND slot = ? AND artifact = ?",
                (round_number, slot, artifact),
            )
            self._event("scoring.overran", at.isoformat(), round_number, slot, {"artifact": artifact})

    def count_deaths(self, round_number: int, *, at: datetime) -> None:
        """Count each scoring of the round that neither returned nor reached its limit; call it while none is running."""
        with kill_point("ledger.count_deaths"), self._transaction():
            query = "SELECT * FROM scoring WHERE round = ? AND started_at IS NOT NULL"
            for row in self._db.execute(query, (round_number,)).fetchall():
                since = (at - datetime.fromisoformat(row["started_at"])).total_seconds()
                self._db.execute(
                    "UPDATE scoring SET started_at = NULL, killed = killed + 1, lost_s = ?"
                    " WHERE round = ? AND slot = ? AND artifact = ?",
                    (min(max(since, 0.0), row["limit_s"]), round_number, row["slot"], row["artifact"]),
                )
                detail = {"artifact": row["artifact"]}
                self._event("scoring.killed", at.isoformat(), round_number, row["slot"], detail)

    def deaths(self, round_number: int, *, slot: str | None = None) -> dict[str, Deaths]:
        """Return the counted deaths of the round by artifact: of all slots, or of one."""
        found: dict[str, Deaths] = {}
        for row in self._select("SELECT * FROM scoring WHERE round = ? AND killed + overran > 0", round_number):
            if slot in (None, row["slot"]):
                one = Deaths(killed=row["killed"], overran=row["overran"], lost_s=row["lost_s"])
                found[row["artifact"]] = found.get(row["artifact"], Deaths()) + one
        return found

    def record_failure(self, failure: Failure) -> bool:
        """Record why an attempt at a slot failed; return whether the round has no failure of the same cause yet."""
        before = next((one for one in self.failures(failure.round) if one.slot == failure.slot), None)
        is_new = before is None or before.cause != failure.cause
        gates = redact(json.dumps(gates_to_json(failure.gates)))
        with kill_point("ledger.record_failure"), self._transaction():
            self._db.execute(
                "INSERT INTO failure (round, slot, kind, message, gates, first_at, last_at, attempts)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET kind = excluded.kind,"
                " message = excluded.message, gates = excluded.gates, last_at = excluded.last_at, attempts = attempts + 1",
                (
                    failure.round,
                    failure.slot,
                    failure.kind,
                    redact(failure.message),
                    gates,
                    failure.first_at,
                    failure.last_at,
                ),
            )
            if is_new:
                detail = {"kind": failure.kind, "reason": redact(failure.headline)}
                self._event("submission.failed", failure.last_at, failure.round, failure.slot or None, detail)
        return is_new

    def failures(self, round_number: int) -> tuple[Failure, ...]:
        """Return the newest failure of each slot of the round; one without a slot concerns all of them."""
        rows = self._select("SELECT * FROM failure WHERE round = ? ORDER BY slot", round_number)
        return tuple(Failure(**{**dict(row), "gates": gates_from_json(row["gates"])}) for row in rows)

    def end_common_failure(self, round_number: int) -> None:
        """Delete the failure that concerned every slot of the round, since an attempt got past its cause; its event stays."""
        with kill_point("ledger.end_common_failure"), self._transaction():
            self._db.execute("DELETE FROM failure WHERE round = ? AND slot = ?", (round_number, EVERY_SLOT))

    def unresolved_failures(self, slots: Collection[str] = ()) -> tuple[Failure, ...]:
        """
        Return the failures of the newest round that has any, without confirmed slots; none once a later round is confirmed.

        Args:
            slots: Names of the slots that there are; failures of other ones are left out. All count where it is empty.
        """
        (failed,) = self._select("SELECT MAX(round) AS newest FROM failure")
        (done,) = self._select("SELECT MAX(round) AS newest FROM submission WHERE state = 'confirmed'")
        if failed["newest"] is None or (done["newest"] or 0) > failed["newest"]:
            return ()
        entries = self._select("SELECT slot, state FROM submission WHERE round = ?", failed["newest"])
        confirmed = {row["slot"] for row in entries if row["state"] == "confirmed"}
        known = {EVERY_SLOT, *slots}
        return tuple(
            one
            for one in self.failures(failed["newest"])
            if one.slot not in confirmed and (not slots or one.slot in known)
        )

    def close_round(self, round_number: int, slots: Sequence[str], state: str, *, at: datetime) -> None:
        """Record that a round closed for *slots*: ``missed``, or ``paused`` by a person. A slot is recorded once."""
        known = self.closed(state, since=round_number)
        with kill_point("ledger.close_round"), self._transaction():
            for slot in slots:
                if (round_number, slot) not in known:
                    self._event(f"round.{state}", at.isoformat(), round_number, slot, {})

    def closed(self, state: str, *, since: int) -> frozenset[tuple[int, str]]:
        """Return round and slot of each one that was recorded as ``missed`` or ``paused`` since a round."""
        rows = self._select("SELECT round, slot FROM event WHERE name = ? AND round >= ?", f"round.{state}", since)
        return frozenset((row["round"], row["slot"]) for row in rows)

    def first_hook(self, hook: str, round_number: int, *, at: datetime) -> bool:
        """Record that a round is handed to a hook; return whether it was not before."""
        known = self._select("SELECT 1 FROM event WHERE name = ? AND round = ?", f"hook.{hook}", round_number)
        if not known:
            with kill_point("ledger.first_hook"), self._transaction():
                self._event(f"hook.{hook}", at.isoformat(), round_number, None, {})
        return not known

    def reported_champions(self) -> dict[str, str]:
        """Return the champion by recipe that hooks have reported last; empty before the first time."""
        rows = self._select("SELECT detail FROM event WHERE name = 'hook.champions' ORDER BY id")
        return {recipe: one for row in rows for recipe, one in json.loads(row["detail"]).items()}

    def report_champions(self, champions: Mapping[str, str], *, at: datetime) -> None:
        """Record the champions that hooks have reported; with an empty first list, that there were none."""
        if champions or not self.reported_champions():
            with kill_point("ledger.report_champions"), self._transaction():
                self._event("hook.champions", at.isoformat(), None, None, champions or {"": ""})

    def newest_rounds(self, *, limit: int) -> tuple[int, ...]:
        """Return the numbers of the newest rounds that were seen, tried or submitted, newest first."""
        rows = self._select(
            "SELECT number FROM round UNION SELECT round FROM submission UNION SELECT round FROM failure"
            " ORDER BY 1 DESC LIMIT ?",
            limit,
        )
        return tuple(row["number"] for row in rows)

    def seen(self, round_number: int) -> Round | None:
        """Return the round's recorded times, ``None`` where it was not seen."""
        rows = self._select("SELECT * FROM round WHERE number = ?", round_number)
        return _to_round(rows[0]) if rows else None

    def record_round(self, round_: Round) -> None:
        """Record when a round opened and closes; later times replace earlier ones."""
        with kill_point("ledger.see"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO round (number, opens_at, closes_at) VALUES (?, ?, ?)",
                (round_.number, round_.opens_at.isoformat(), round_.closes_at.isoformat()),
            )

    def newest_round(self) -> Round | None:
        """Return the newest round whose times were recorded."""
        rows = self._select("SELECT * FROM round ORDER BY number DESC LIMIT 1")
        return _to_round(rows[0]) if rows else None

    def opening_times(self, *, limit: int = 15) -> tuple[datetime, ...]:
        """Return the opening times of the newest recorded rounds, newest first."""
        rows = self._select("SELECT opens_at FROM round ORDER BY number DESC LIMIT ?", limit)
        return tuple(datetime.fromisoformat(row["opens_at"]) for row in rows)

    def start_job(self, name: str, at: datetime) -> None:
        """Record that a job began."""
        with kill_point("ledger.start_job"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO chore (name, started_at) VALUES (?, ?)",
                (name, at.isoformat()),
            )
            self._event("chore.started", at.isoformat(), None, None, {"chore": name})

    def finish_job(self, name: str, at: datetime, outcome: str) -> None:
        """Record how a job ended: ``ok`` or a reason."""
        with kill_point("ledger.finish_job"), self._transaction():
            self._db.execute(
                "UPDATE chore SET finished_at = ?, outcome = ? WHERE name = ?", (at.isoformat(), outcome, name)
            )
            self._event("chore.finished", at.isoformat(), None, None, {"chore": name, "outcome": outcome})

    def job(self, name: str) -> dict[str, str | None] | None:
        """Return start, end and outcome of a job's last run, ``None`` where it never ran."""
        rows = self._select("SELECT * FROM chore WHERE name = ?", name)
        return dict(rows[0]) if rows else None

    def jobs(self) -> tuple[dict[str, str | None], ...]:
        """Return the last run of every job."""
        return tuple(dict(row) for row in self._select("SELECT * FROM chore ORDER BY name"))

    def events(self, round_number: int) -> tuple[tuple[str, str], ...]:
        """Return time and name of every event of a round, oldest first."""
        rows = self._select("SELECT at, name FROM event WHERE round = ? ORDER BY id", round_number)
        return tuple((row["at"], row["name"]) for row in rows)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _to_entry(row: sqlite3.Row) -> Entry:
    columns = dict(row)
    return Entry(filled_by=columns.pop("rung"), **columns)


def _to_round(row: sqlite3.Row) -> Round:
    opens_at, closes_at = (datetime.fromisoformat(row[name]) for name in ("opens_at", "closes_at"))
    return Round(number=row["number"], opens_at=opens_at, closes_at=closes_at)
