"""
Submit one slot of one open round: the ten steps of docs/inside/round.md.

The daemon takes step 1 and finds the open round; :meth:`Submitter.submit` takes the others. The methods below it stand in
the order of the steps.

The process can be killed anywhere and started again: the ledger holds what was intended, the server holds what arrived,
and every step checks both before it acts. A dry run is the same code without the last three steps.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import structlog

from bot.data.live_column_sums import differing_columns
from bot.errors import BotError, DatasetIncomplete, GateFailed, RefuseToSubmit, RetryLater
from bot.findings import Absent, Finding
from bot.record.failures import TRAINING, Failure
from bot.record.ledger import Entry, Ledger
from bot.submission._delivery import Delivery, token
from bot.submission._late_queue import LateQueue
from bot.submission._refusal import passed_over, refusal
from bot.submission._round_report import RoundReport
from bot.submission._scoring_watch import ScoringWatch
from bot.submission._turns import FALLBACK_S, Turns, share_s
from bot.submission.fallbacks import Fallback, Fallbacks, LivePredictions
from bot.submission.gates import (
    Limits,
    check_submission,
    columns_as_filed,
    feature_drift,
    not_neutralized,
    official_validation,
)
from bot.submission.live_fetch import LiveFiles, ProvenLiveFile
from bot.submission.submission_file import OfficialValidation, read_submission, render
from bot.system.file_names import file_name
from bot.system.files import publish, rename, state_error
from bot.system.kill_points import kill_point
from bot.system.redaction import redact
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot

Outcome = Literal["confirmed", "already confirmed", "dry run"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """
    Result of one round for one slot.

    Attributes:
        round: The round.
        slot: Model name.
        outcome: How it ended.
        artifact: Id of the artifact that predicted.
        filled_by: Name of the fallback that filled the slot.
        passed_over: Why better ones did not; empty where there were none.
        data_version: Data version of the artifact; ``unknown`` where its manifest is gone.
        data_sha256: Digest of the live file.
        csv_sha256: Digest of the submitted file.
        submission_id: Id on the server; ``None`` in a dry run.
        findings: Results of the gates; empty where nothing was scored in this run.
        seconds_used: Seconds since the call began.
        seconds_left: Seconds until the round closes, in server time.
    """

    round: Round
    slot: str
    outcome: Outcome
    artifact: str
    filled_by: str
    passed_over: str
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
    Submits the rounds of one account.

    Attributes:
        client: Client of the tournament API.
        ledger: Record of what is owed, intended and confirmed.
        fallbacks: Artifacts that can fill a slot.
        live: ``False`` stops before the first effect on the server.
        limits: Limits of the gates.
    """

    client: NumeraiClient
    ledger: Ledger
    fallbacks: Fallbacks
    live: bool
    limits: Limits = field(default_factory=Limits)

    def submit(self, round_: Round, slot: Slot, *, force: bool = False) -> Receipt:
        """
        Bring one slot of one open round to a confirmed submission.

        Args:
            round_: The open round.
            slot: The slot to fill.
            force: Replace a submission that is confirmed already, or that the bot did not make.

        Raises:
            RoundNotOpen: The round closed or rolled over on the way.
            RefuseToSubmit: Uploading would be wrong; nothing was uploaded.
            RetryLater: The same call may succeed later.
        """
        folder = self.ledger.rounds / str(round_.number)
        attempt = _Attempt(round=round_, slot=slot, force=force, folder=folder, stages=_Stages())
        with structlog.contextvars.bound_contextvars(round=round_.number, slot=slot.name, artifact=None):
            return self._submit_and_record(attempt)

    def in_turn(self, round_: Round, slots: Sequence[Slot]) -> tuple[Slot, ...]:
        """Return the slots, last those whose artifacts ended the process in this round: they hold up no other slot."""
        self.ledger.count_deaths(round_.number, at=self.client.server_now())
        deaths = {one.name: self.ledger.deaths(round_.number, slot=one.name).values() for one in slots}
        return tuple(sorted(slots, key=lambda one: sum(found.count for found in deaths[one.name])))

    def queue(self, slots: Sequence[Slot], round_number: int | None) -> tuple[Entry, ...]:
        """
        Upload late, between rounds, what the last round left finished but unsent; return the queued entries.

        Raises:
            BotError: As :meth:`bot.submission._late_queue.LateQueue.queue`.
        """
        late = LateQueue(delivery=self._delivery, rounds=self.ledger.rounds)
        return tuple(filter(None, (late.queue(slot, round_number) for slot in slots)))

    def _submit_and_record(self, attempt: "_Attempt") -> Receipt:
        """Submit; where that fails, say why in the ledger and in the round's log."""
        try:
            try:
                return self._submit(attempt)
            except OSError as error:  # translated here, so that it is recorded with its path and remedy
                raise state_error(self.fallbacks.state_dir, error) from None
        except BotError as error:
            at = self.client.server_now()
            failure = Failure.of(error, round_number=attempt.round.number, slot=attempt.slot.name, at=at)
            tell(failure)
            with suppress(BotError):  # a full disk is often the cause; the error is raised in any case
                self.ledger.record_failure(failure)
            raise

    def _submit(self, attempt: "_Attempt") -> Receipt:
        if self._is_confirmed(attempt):
            return self._receipt(attempt, "already confirmed")
        if self._resume(attempt):
            return self._receipt(attempt, "confirmed")
        draft = self._draft(attempt)  # steps 2 to 7: fetch, prove, preprocess, score, blend, check
        if not self.live:
            self.ledger.intend(replace(draft.entry, state="rehearsed"))
            _log_fallback(draft.entry)
            return self._receipt(attempt, "dry run", draft.findings)
        self._intend(draft)  # step 8
        self._deliver(attempt, draft.entry, draft.content, force=attempt.force)  # steps 8 to 10
        entry = self._entry(attempt) or draft.entry
        if entry.csv_sha256 != draft.entry.csv_sha256:  # another run's file stays; report and gates are not about it
            with kill_point("submit.discard_report"):
                (attempt.slot_folder / "report.json").unlink(missing_ok=True)
            return self._receipt(attempt, "confirmed")
        _log_fallback(entry)
        self._report(draft, entry, attempt)
        return self._receipt(attempt, "confirmed", draft.findings)

    def _is_confirmed(self, attempt: "_Attempt") -> bool:
        """Return whether the slot has a confirmed submission that is not to be replaced."""
        entry = self._entry(attempt)
        return entry is not None and entry.state == "confirmed" and not attempt.force

    def _resume(self, attempt: "_Attempt") -> bool:
        """
        Deliver the very bytes that an earlier run intended, since its upload may still be on the way.

        Returns:
            Whether the round is confirmed now. If not, the bytes are gone and the submission is made anew.
        """
        entry = self._entry(attempt)
        if entry is None or entry.state != "intended" or attempt.force:
            return False
        structlog.contextvars.bind_contextvars(artifact=entry.artifact)
        path = attempt.slot_folder / "predictions.csv"
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != entry.csv_sha256:
            with attempt.stages.stage("deliver"):
                return self._delivery.reconcile(entry, attempt.slot, force=False)
        self._deliver(attempt, entry, content, force=False)
        _log_fallback(entry)
        return True

    def _draft(self, attempt: "_Attempt") -> "_Draft":
        """
        Return the submission of the first fallback that can score the round and passes the gates.

        Raises:
            BotError: No fallback does; the error of the best one that was tried.
        """
        available = self.fallbacks.find(attempt.slot, attempt.round.number)
        champion_first = bool(available.fallbacks) and available.fallbacks[0].name == "champion"
        problems, refused = () if champion_first else available.problems, list[BotError]()
        files = LiveFiles(
            delivery=self._delivery,
            round_=attempt.round,
            folder=attempt.folder,
            versions=[one.data_version for one in available.fallbacks],
        )
        self.ledger.count_deaths(attempt.round.number, at=self.client.server_now())
        deaths = self.ledger.deaths(attempt.round.number)
        turns = Turns.of(available.fallbacks, deaths, left_s=self._left_s(attempt))
        died, longest = dict(turns.passed_over), FALLBACK_S
        for turn, fallback in enumerate(turns.order):
            # No further fallback is tried without time for it; the first one costs nothing.
            if turn and not self._has_time(attempt, fallback, longest):
                break
            if fallback.name != "last round":
                died.pop(fallback.artifact, None)
            if reasons := (*map(str, died.values()), *map(passed_over, problems), *map(str, refused)):
                log.info("ladder.trying", rung=fallback.name, artifact=fallback.artifact, reason=reasons[-1])
            began = attempt.stages.total
            with attempt.stages.stage("fetch"):
                live = files.get(fallback.data_version)  # steps 2 and 3
            if isinstance(live, Absent):
                refused.append(RetryLater(live.reason))
                continue
            watch = ScoringWatch(
                ledger=self.ledger,
                round_number=attempt.round.number,
                slot=attempt.slot.name,
                clock=self.client.server_now,
                left_s=share_s(self._left_s(attempt), len(turns.order) - turn),
                deaths=deaths,
            )
            try:
                return self._draft_with(fallback, live, attempt, watch, reasons)
            except RefuseToSubmit as error:
                refused.append(error)
            longest = max(longest, attempt.stages.total - began)
        # What died may score in the next attempt; what was refused is refused again.
        raise refusal(died.values(), refused, problems)

    def _left_s(self, attempt: "_Attempt") -> float:
        """Return the seconds before the guard."""
        return attempt.round.seconds_left(self.client.server_now()) - attempt.round.guard.total_seconds()

    def _has_time(self, attempt: "_Attempt", fallback: Fallback, needed_s: float) -> bool:
        """Return whether *fallback* can be tried before the guard; log it where it cannot."""
        left_s = self._left_s(attempt)
        if left_s < needed_s:
            log.error("ladder.late", rung=fallback.name, seconds_left=round(left_s), seconds_needed=round(needed_s))
        return left_s >= needed_s

    def _draft_with(
        self,
        fallback: Fallback,
        live: ProvenLiveFile,
        attempt: "_Attempt",
        watch: ScoringWatch,
        refused: tuple[str, ...],
    ) -> "_Draft":
        """
        Score the live file with one fallback, write the submission and check it.

        Raises:
            RefuseToSubmit: The fallback cannot score, or a gate refuses its predictions; no file is replaced.
        """
        stages = attempt.stages
        with structlog.contextvars.bound_contextvars(artifact=fallback.artifact):
            with stages.stage("score"):
                # Steps 4 to 6.
                predicted = self.fallbacks.predict(fallback, live.rows, attempt.slot, attempt.round, watch)
            with stages.stage("gates"):
                content = render(live.rows.ids, predicted.predictions)
                csv = attempt.slot_folder / "draft.csv"
                publish(csv, content)
                findings = self._check(csv, live, predicted)  # step 7
            draft = _Draft(
                entry=self._new_entry(attempt, fallback, live, content, refused),
                version=live.record.version,
                content=content,
                predicted=predicted,
                findings=findings,
                refused=refused,
            )
            failed = [finding for finding in findings if not finding.ok]
            # The report of a confirmed submission stays where a forced replacement is refused.
            if not failed or not self._has_confirmed(attempt):
                self._report(draft, draft.entry, attempt)
            if failed:
                raise GateFailed("; ".join(one.message for one in failed), gates=failed)
            rename(csv, csv.with_name("predictions.csv"))
            return draft

    def _check(self, csv: Path, live: ProvenLiveFile, predicted: LivePredictions) -> tuple[Finding, ...]:
        """Check *csv* as it lies on disk, by the bot's gates and by Numerai's own validation."""
        official = OfficialValidation(live.path, csv)  # a process of its own, which runs beside the other gates
        rows = read_submission(csv)
        findings = check_submission(
            rows.ids,
            rows.predictions,
            live_ids=live.rows.ids,
            features=predicted.neutralizers,
            drift=predicted.drift,
            limits=self.limits,
        )
        if predicted.columns is not None:  # while the official validation runs
            differing = differing_columns(live.path, predicted.columns)
            findings = (*findings, columns_as_filed(differing, len(predicted.columns.names)))
        verdict = official.verdict()
        if predicted.members:
            findings = (*findings, feature_drift(predicted.feature_drift, self.limits))
        if predicted.not_neutralized is not None:
            findings = (*findings, not_neutralized(predicted.not_neutralized.reason))
        return (*findings, official_validation(verdict))

    def _new_entry(
        self, attempt: "_Attempt", fallback: Fallback, live: ProvenLiveFile, content: bytes, refused: tuple[str, ...]
    ) -> Entry:
        sha256 = hashlib.sha256(content).hexdigest()
        return Entry(
            round=attempt.round.number,
            slot=attempt.slot.name,
            state="intended",
            token=token(attempt.round.number, attempt.slot.name, sha256),
            csv_sha256=sha256,
            data_sha256=live.record.sha256,
            artifact=fallback.artifact,
            submission_id=None,
            filename=None,
            intended_at=self.client.server_now().isoformat(),
            confirmed_at=None,
            filled_by=fallback.name,
            passed_over="; ".join(refused),
        )

    def _intend(self, draft: "_Draft") -> None:
        """Record in the ledger what is about to be uploaded."""
        self.ledger.intend(draft.entry)
        structlog.contextvars.bind_contextvars(artifact=draft.entry.artifact)

    def _deliver(self, attempt: "_Attempt", entry: Entry, content: bytes, *, force: bool) -> None:
        """Upload and confirm; forget the live files where the server shows that their rows were another round's."""
        with attempt.stages.stage("deliver"):
            try:
                self._delivery.deliver(attempt.round, attempt.slot, entry, content, force=force)
            except DatasetIncomplete:
                self.ledger.forget(attempt.round.number)
                raise

    def _report(self, draft: "_Draft", entry: Entry, attempt: "_Attempt") -> None:
        """Write the round's report beside its predictions; once confirmed, log the round's one summary."""
        drift = draft.predicted.feature_drift
        report = RoundReport.of(
            round=entry.round,
            slot=entry.slot,
            artifact=entry.artifact,
            data_version=draft.version,
            data_sha256=entry.data_sha256,
            submission_id=entry.submission_id,
            filled_by=entry.filled_by,
            refused=draft.refused,
            predictions=draft.predicted.predictions,
            members=draft.predicted.members,
            features=draft.predicted.neutralizers,
            validation=draft.predicted.validation,
            drift=draft.predicted.drift,
            feature_drift=None if drift is None else drift.share,
            findings=draft.findings,
            seconds=attempt.stages.seconds,
        )
        publish(attempt.slot_folder / "report.json", redact(report.to_json()).encode())
        if entry.state == "confirmed":
            log.info("round.finished", **report.summary())

    def _receipt(self, attempt: "_Attempt", outcome: Outcome, findings: tuple[Finding, ...] = ()) -> Receipt:
        entry, round_ = self._entry(attempt), attempt.round
        if entry is None:
            raise RefuseToSubmit(f"the ledger lost round {round_.number} of slot {attempt.slot.name}; check the disk")
        return Receipt(
            round=round_,
            slot=attempt.slot.name,
            outcome=outcome,
            artifact=entry.artifact,
            filled_by=entry.filled_by,
            passed_over=entry.passed_over,
            data_version=self.fallbacks.artifacts.data_version(entry.artifact) or "unknown",
            data_sha256=entry.data_sha256,
            csv_sha256=entry.csv_sha256,
            submission_id=entry.submission_id,
            findings=findings,
            seconds_used=attempt.stages.total,
            seconds_left=round_.seconds_left(self.client.server_now()),
        )

    @property
    def _delivery(self) -> Delivery:
        return Delivery(client=self.client, ledger=self.ledger)

    def _entry(self, attempt: "_Attempt") -> Entry | None:
        return self.ledger.entry(attempt.round.number, attempt.slot.name)

    def _has_confirmed(self, attempt: "_Attempt") -> bool:
        entry = self._entry(attempt)
        return entry is not None and entry.state == "confirmed"


def tell(failure: Failure) -> None:
    """Log why a slot has no submission: the first gate that refused with value, limit, remedy and setting, or the reason."""
    report = log.warning if failure.kind in ("later", TRAINING) else log.error
    gate = failure.gates[0] if failure.gates else None
    about = (
        {} if gate is None else {"gate": gate.gate, "value": gate.value, "limit": gate.limit, "setting": gate.setting}
    )
    report("submission.failed", kind=failure.kind, reason=failure.message, remedy=failure.remedy, **about)


def _log_fallback(entry: Entry) -> None:
    """Log that a fallback filled the slot, and why no better one did."""
    if entry.passed_over:
        # On the first day nothing is wrong: the starter fills in until the slot's recipe is trained.
        report = log.warning if entry.filled_by == "starter" else log.error
        report("ladder.rung", rung=entry.filled_by, artifact=entry.artifact, reason=entry.passed_over)


class _Stages:
    """Seconds of each stage of one submission."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the enclosed code as stage *name*."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)

    @property
    def total(self) -> float:
        """Return the seconds since the submission began."""
        return round(time.perf_counter() - self._began, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """
    One call of :meth:`Submitter.submit`.

    Attributes:
        round: The open round.
        slot: The slot to fill.
        force: Whether to replace a confirmed or foreign submission.
        folder: Folder of the round.
        stages: Seconds spent so far.
    """

    round: Round
    slot: Slot
    force: bool
    folder: Path
    stages: _Stages

    @property
    def slot_folder(self) -> Path:
        """Return the folder that keeps the slot's predictions and report of the round."""
        return self.folder / file_name(self.slot.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """
    A submission that is made and checked, but not sent.

    Attributes:
        entry: Ledger entry that intends it.
        version: Data version of the live file.
        content: Bytes of the submission file.
        predicted: Predictions and what was measured with them.
        findings: Results of the gates.
        refused: Why the better fallbacks could not fill the slot.
    """

    entry: Entry
    version: str
    content: bytes
    predicted: LivePredictions
    findings: tuple[Finding, ...]
    refused: tuple[str, ...]
