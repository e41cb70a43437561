"""
The story of a round: fetch, score, gates, intent, reconcile, guard, upload, read back, confirmed.

It can be killed anywhere and started again. The ledger knows what was intended, the server knows what arrived, and
every step asks both before it acts. A dry run is the same code without the last steps.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import structlog

from bot.data.live_file import LiveFile
from bot.errors import BotError, DatasetIncomplete, GateFailed, RefuseToSubmit, RetryLater, StateUnwritable
from bot.findings import Finding
from bot.record.ledger import Entry, Ledger, LiveFileRecord
from bot.submission._delivery import Delivery, token
from bot.submission._late_queue import Late
from bot.submission._round_report import RoundReport
from bot.submission.fallbacks import Fallback, Fallbacks, Filled
from bot.submission.gates import Limits, check_submission, feature_drift, not_neutralized, official_validation
from bot.submission.live_fetch import LiveFiles, live_path
from bot.submission.submission_file import OfficialValidation, render, reread
from bot.system.files import publish, rename
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot

FALLBACK_S = 15.0
"""Seconds that scoring, gates and upload need at least: with fewer left before the guard no further rung is tried."""

log = structlog.get_logger()

Outcome = Literal["confirmed", "already confirmed", "dry run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of a round for one slot; ``seconds_left`` counts down to the close in server time."""

    round: Round
    slot: str
    outcome: Outcome
    artifact: str
    filled_by: str
    data_version: str
    data_sha256: str
    csv_sha256: str
    submission_id: str | None = None
    findings: tuple[Finding, ...] = ()
    seconds_used: float
    seconds_left: float


@dataclass(slots=True, kw_only=True)
class Submitter:
    """
    Everything a submission needs, wired once.

    Attributes:
        client: The tournament API.
        ledger: What is owed and proven.
        fallbacks: What can fill a slot.
        live: ``False`` stops before the first effect on the server.
        limits: Of the gates.
    """

    client: NumeraiClient
    ledger: Ledger
    fallbacks: Fallbacks
    live: bool
    limits: Limits = field(default_factory=Limits)

    @property
    def _delivery(self) -> Delivery:
        return Delivery(client=self.client, ledger=self.ledger)

    def submit(self, round_: Round, slot: Slot, *, force: bool = False) -> Receipt:
        """
        Bring one slot of one open round to a confirmed submission.

        Args:
            round_: The open round.
            slot: Where to submit.
            force: Replace a submission that is confirmed already, or that the bot did not make.

        Raises:
            RoundNotOpen: The round closed or rolled over on the way.
            RefuseToSubmit: Uploading would be wrong; nothing was uploaded.
            RetryLater: The same call may succeed later.
        """
        try:
            return self._submit(round_, slot, force=force)
        except OSError as error:
            raise StateUnwritable(
                f"{self.fallbacks.state_dir} cannot be used now: {error}; is the disk full?"
            ) from None

    def queue(self, slots: Sequence[Slot], round_number: int | None) -> tuple[Entry, ...]:
        """
        Between rounds, hand in late what the last one left finished but unsent; return what is queued now.

        Raises:
            BotError: As :meth:`bot.submission._late_queue.Late.queue`.
        """
        late = Late(delivery=self._delivery, rounds=self.ledger.rounds)
        return tuple(filter(None, (late.queue(slot, round_number) for slot in slots)))

    def _submit(self, round_: Round, slot: Slot, *, force: bool) -> Receipt:
        with structlog.contextvars.bound_contextvars(round=round_.number, slot=slot.name, artifact=None):
            stages = _Stages()
            entry = self.ledger.entry(round_.number, slot.name)
            if entry is not None and entry.state == "confirmed" and not force:
                return self._receipt(round_, slot, "already confirmed", stages)
            if (
                entry is not None
                and entry.state == "intended"
                and not force
                and self._resume(round_, slot, entry, stages)
            ):
                return self._receipt(round_, slot, "confirmed", stages)
            draft = self._draft(round_, slot, stages)
            if not self.live:
                self.ledger.intend(replace(draft.entry, state="rehearsed"))
                return self._receipt(round_, slot, "dry run", stages, draft.findings)
            self.ledger.intend(draft.entry)
            structlog.contextvars.bind_contextvars(artifact=draft.entry.artifact)
            with stages.stage("deliver"):
                self._deliver(round_, slot, draft.entry, draft.content, force=force)
            self._report(draft, self.ledger.entry(round_.number, slot.name) or draft.entry, stages)
            return self._receipt(round_, slot, "confirmed", stages, draft.findings)

    def _resume(self, round_: Round, slot: Slot, entry: Entry, stages: "_Stages") -> bool:
        """
        Finish what an earlier run intended, with its very bytes: its upload may still be on the way.

        Returns:
            Whether the round is confirmed now; if not, its bytes are gone and are made anew.
        """
        structlog.contextvars.bind_contextvars(artifact=entry.artifact)
        with stages.stage("deliver"):
            path = self._folder(round_) / slot.name / "predictions.csv"
            content = path.read_bytes() if path.is_file() else b""
            if hashlib.sha256(content).hexdigest() != entry.csv_sha256:
                return self._delivery.reconcile(entry, slot, force=False)
            self._deliver(round_, slot, entry, content, force=False)
            return True

    def _deliver(self, round_: Round, slot: Slot, entry: Entry, content: bytes, *, force: bool) -> None:
        """Upload and confirm; where the server shows that the rows were another round's, forget them."""
        try:
            self._delivery.deliver(round_, slot, entry, content, force=force)
        except DatasetIncomplete:
            self.ledger.forget(round_.number)
            raise

    def _draft(self, round_: Round, slot: Slot, stages: "_Stages") -> "_Draft":
        """
        Fetch what a rung scores, and step down from rung to rung until one fills the slot and passes the gates.

        Raises:
            BotError: None does; what was wrong with the best.
        """
        fallbacks, absent = self.fallbacks.find(slot, round_.number)
        refused: list[BotError] = [] if fallbacks and fallbacks[0].name == "champion" else list(absent)
        files = LiveFiles(
            delivery=self._delivery,
            round_=round_,
            folder=self._folder(round_),
            versions=[one.data_version for one in fallbacks],
        )
        longest = FALLBACK_S
        for fallback in fallbacks:
            if refused:
                left = round_.seconds_left(self.client.server_now()) - round_.guard.total_seconds()
                if left < longest:
                    log.error(
                        "ladder.late", rung=fallback.name, seconds_left=round(left), seconds_needed=round(longest)
                    )
                    break
                log.error("ladder.rung", rung=fallback.name, artifact=fallback.artifact, reason=str(refused[-1]))
            began = stages.total
            with stages.stage("fetch"):
                fetched = files.of(fallback.data_version)
            if isinstance(fetched, RetryLater):
                refused.append(fetched)
                continue
            try:
                return self._fill(round_, slot, fallback, *fetched, stages, tuple(map(str, refused)))
            except RefuseToSubmit as error:
                refused.append(error)
            longest = max(longest, stages.total - began)
        raise refused[0]

    def _fill(
        self,
        round_: Round,
        slot: Slot,
        fallback: Fallback,
        record: LiveFileRecord,
        live: LiveFile,
        stages: "_Stages",
        refused: tuple[str, ...],
    ) -> "_Draft":
        """Score and judge, everything up to the first effect on the server; what gates refuse replaces nothing."""
        with structlog.contextvars.bound_contextvars(artifact=fallback.artifact):
            with stages.stage("score"):
                filled = self.fallbacks.fill(fallback, live, slot, round_)
            with stages.stage("gates"):
                content = render(live.ids, filled.predictions)
                csv = self._folder(round_) / slot.name / "draft.csv"
                publish(csv, content)
                findings = self._gate(live, filled, live_path(self._folder(round_), record.version), csv)
            sha256 = hashlib.sha256(content).hexdigest()
            entry = Entry(
                round=round_.number,
                slot=slot.name,
                state="intended",
                token=token(round_.number, slot.name, sha256),
                csv_sha256=sha256,
                data_sha256=record.sha256,
                artifact=fallback.artifact,
                submission_id=None,
                filename=None,
                intended_at=self.client.server_now().isoformat(),
                confirmed_at=None,
                filled_by=fallback.name,
            )
            draft = _Draft(
                entry=entry, version=record.version, content=content, filled=filled, findings=findings, refused=refused
            )
            failed = [finding.message for finding in findings if not finding.ok]
            before = self.ledger.entry(round_.number, slot.name)
            if not failed or before is None or before.state != "confirmed":
                self._report(draft, entry, stages)
            if failed:
                raise GateFailed("; ".join(failed))
            rename(csv, csv.with_name("predictions.csv"))
            return draft

    def _folder(self, round_: Round) -> Path:
        return self.ledger.rounds / str(round_.number)

    def _gate(self, live: LiveFile, filled: Filled, scored: Path, csv: Path) -> tuple[Finding, ...]:
        """Judge *csv* as it lies on disk beside the live file that was *scored*, by our gates and by Numerai's own."""
        official = OfficialValidation(scored, csv)
        ids, predictions = reread(csv)
        findings = check_submission(
            ids,
            predictions,
            live_ids=live.ids,
            features=filled.neutralizers,
            drift=filled.drift,
            limits=self.limits,
        )
        verdict = official.verdict()
        if filled.members:
            findings = (*findings, feature_drift(filled.features, self.limits))
        if filled.unlike:
            findings = (*findings, not_neutralized(filled.unlike))
        return (*findings, official_validation(verdict))

    def _report(self, draft: "_Draft", entry: Entry, stages: "_Stages") -> None:
        """Write the round's report beside its predictions; once confirmed, log it as the round's one summary."""
        report = RoundReport.of(
            round=entry.round,
            slot=entry.slot,
            artifact=entry.artifact,
            data_version=draft.version,
            data_sha256=entry.data_sha256,
            submission_id=entry.submission_id,
            filled_by=entry.filled_by,
            refused=draft.refused,
            predictions=draft.filled.predictions,
            members=draft.filled.members,
            features=draft.filled.neutralizers,
            validation=draft.filled.validation,
            drift=draft.filled.drift,
            feature_drift=None if draft.filled.features is None else draft.filled.features.share,
            findings=draft.findings,
            seconds=stages.seconds,
        )
        path = self.ledger.rounds / str(entry.round) / entry.slot / "report.json"
        publish(path, report.to_json().encode())
        if entry.state == "confirmed":
            log.info("round.finished", **report.summary())

    def _receipt(
        self, round_: Round, slot: Slot, outcome: Outcome, stages: "_Stages", findings: tuple[Finding, ...] = ()
    ) -> Receipt:
        entry = self.ledger.entry(round_.number, slot.name)
        if entry is None:
            raise RefuseToSubmit(f"the ledger lost round {round_.number} of slot {slot.name}; check the disk")
        return Receipt(
            round=round_,
            slot=slot.name,
            outcome=outcome,
            artifact=entry.artifact,
            filled_by=entry.filled_by,
            data_version=self.fallbacks.artifacts.data_version(entry.artifact) or "unknown",
            data_sha256=entry.data_sha256,
            csv_sha256=entry.csv_sha256,
            submission_id=entry.submission_id,
            findings=findings,
            seconds_used=stages.total,
            seconds_left=round_.seconds_left(self.client.server_now()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A submission that has been made and judged, but not sent."""

    entry: Entry
    version: str
    content: bytes
    filled: Filled
    findings: tuple[Finding, ...]
    refused: tuple[str, ...]


class _Stages:
    """How long each stage of one submission took, in seconds."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)

    @property
    def total(self) -> float:
        """Return the seconds since the submission began."""
        return round(time.perf_counter() - self._began, 3)
