"""
The story of a round: fetch, score, gates, intent, reconcile, guard, upload, read back, confirmed.

It can be killed anywhere and started again. The ledger knows what was intended, the server knows what arrived, and
every step asks both before it acts. A dry run is the same code without the last steps.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from bot.artifacts import ArtifactStore
from bot.datasets import LiveFile, fetch, prove_fresh, read_live
from bot.delivery import Delivery, Slot, token
from bot.diagnostics import RoundReport
from bot.errors import ArtifactInvalid, GateFailed, RefuseToSubmit, StateUnwritable
from bot.files import publish
from bot.gates import Finding, Limits, check_submission
from bot.history import Window
from bot.history_file import choose, history_path
from bot.ledger import Entry, Ledger, LiveRecord
from bot.numerai import NumeraiClient
from bot.receipt import Outcome, Receipt, Stages
from bot.rounds import Round
from bot.scorer import Scored, Scorer
from bot.submission_file import OfficialValidation, render, reread
from models.ranks import rank_correlation

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Submitter:
    """
    Everything a submission needs, wired once.

    Attributes:
        client: The tournament API.
        ledger: What is owed and proven.
        artifacts: Where champions come from.
        state_dir: Holds ``rounds/<number>/``.
        data_version: Folder of the live file on the server.
        live: ``False`` stops before the first effect on the server.
        limits: Of the gates.
        threads: For scoring.
        scorers: Opened artifacts by id; a long-running process opens each once.
    """

    client: NumeraiClient
    ledger: Ledger
    artifacts: ArtifactStore
    state_dir: Path
    data_version: str
    live: bool
    limits: Limits = field(default_factory=Limits)
    threads: int = 1
    scorers: dict[str, Scorer] = field(default_factory=dict)

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
            raise StateUnwritable(f"{self.state_dir} cannot be used now: {error}; is the disk full?") from None

    def _submit(self, round_: Round, slot: Slot, *, force: bool) -> Receipt:
        with structlog.contextvars.bound_contextvars(round=round_.number, slot=slot.name):
            stages = Stages()
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
            refused = [finding for finding in draft.findings if not finding.ok]
            if refused:
                raise GateFailed("; ".join(finding.message for finding in refused))
            if not self.live:
                self.ledger.intend(replace(draft.entry, state="rehearsed"))
                return self._receipt(round_, slot, "dry run", stages, draft.findings)
            self.ledger.intend(draft.entry)
            with stages.stage("deliver"):
                self._delivery.deliver(round_, slot, draft.entry, draft.content, force=force)
            self._report(draft, stages)
            return self._receipt(round_, slot, "confirmed", stages, draft.findings)

    def _resume(self, round_: Round, slot: Slot, entry: Entry, stages: Stages) -> bool:
        """
        Finish what an earlier run intended, with its very bytes: its upload may still be on the way.

        Returns:
            Whether the round is confirmed now; if not, its bytes are gone and are made anew.
        """
        with stages.stage("deliver"):
            path = self._folder(round_, slot) / "predictions.csv"
            content = path.read_bytes() if path.is_file() else b""
            if hashlib.sha256(content).hexdigest() != entry.csv_sha256:
                return self._delivery.reconcile(entry, slot, force=False)
            self._delivery.deliver(round_, slot, entry, content, force=False)
            return True

    def _draft(self, round_: Round, slot: Slot, stages: Stages) -> "_Draft":
        """Fetch, score and judge; everything up to the first effect on the server."""
        with stages.stage("fetch"):
            record, live = self._fetch(round_)
        with stages.stage("score"):
            scorer, scored = self._score(live, slot)
        with stages.stage("gates"):
            content = render(live.ids, scored.predictions)
            csv = self._folder(round_, slot) / "predictions.csv"
            publish(csv, content)
            drift = self._drift(live, scored, scorer, slot, round_)
            findings = self._gate(live, scored, csv, drift)
        sha256 = hashlib.sha256(content).hexdigest()
        entry = Entry(
            round=round_.number,
            slot=slot.name,
            state="intended",
            token=token(round_.number, slot.name, sha256),
            csv_sha256=sha256,
            data_sha256=record.sha256,
            artifact=scorer.artifact.id,
            submission_id=None,
            filename=None,
            intended_at=self.client.server_now().isoformat(),
            confirmed_at=None,
        )
        draft = _Draft(
            entry=entry,
            content=content,
            scored=scored,
            scores=scorer.artifact.manifest["scores"],
            drift=drift,
            findings=findings,
        )
        self._report(draft, stages)
        return draft

    def _folder(self, round_: Round, slot: Slot) -> Path:
        return self.state_dir / "rounds" / str(round_.number) / slot.name

    def _fetch(self, round_: Round) -> tuple[LiveRecord, LiveFile]:
        """Download the live file, or take the one already proven for this round, and prove whose it is."""
        path = self.state_dir / "rounds" / str(round_.number) / "live.parquet"
        known = self.ledger.live(round_.number)
        if known is not None and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256:
            return known, read_live(path)
        fetched = fetch(self.client, f"{self.data_version}/live.parquet", path)
        live = read_live(path)
        earlier = self.ledger.earlier_live(round_.number)
        prove_fresh(
            live,
            previous_ids_sha256=frozenset(record.ids_sha256 for record in earlier),
            previous_rows=earlier[0].rows if earlier else None,
        )
        now = self._delivery.same_round(round_)
        record = LiveRecord(
            round=round_.number,
            sha256=fetched.sha256,
            ids_sha256=live.ids_sha256,
            rows=len(live.ids),
            fetched_at=now.isoformat(),
        )
        self.ledger.record_live(record)
        log.info("dataset.fetched", rows=record.rows, bytes=fetched.size, sha256=fetched.sha256[:12])
        return record, live

    def _score(self, live: LiveFile, slot: Slot) -> tuple[Scorer, Scored]:
        """Score with the champion; where it is damaged, with the champion before it."""
        champions = self.artifacts.champions(slot.recipe)
        damaged: ArtifactInvalid | None = None
        for identity in champions:
            try:
                scorer = self._scorer(identity)
            except ArtifactInvalid as error:
                log.error("artifact.refused", artifact=identity, reason=str(error))  # noqa: TRY400 - one line, no trace
                damaged = damaged or error
                continue
            return scorer, scorer.score(live.names, live.values, window=self._window(scorer))
        raise damaged or ArtifactInvalid(f"recipe {slot.recipe!r} has no artifact")

    def _window(self, scorer: Scorer) -> Window:
        return choose(scorer.history, history_path(self.state_dir, self.data_version), now=self.client.server_now())

    def _scorer(self, identity: str) -> Scorer:
        """Open an artifact, verifying its files every time even when the models are loaded already."""
        artifact = self.artifacts.open(identity)
        if identity not in self.scorers:
            self.scorers[identity] = Scorer(artifact, threads=self.threads)
        return self.scorers[identity]

    def _gate(self, live: LiveFile, scored: Scored, csv: Path, drift: float | None) -> tuple[Finding, ...]:
        """Judge the file as it lies on disk, by our gates and by Numerai's own function."""
        official = OfficialValidation(csv.parent.parent / "live.parquet", csv)
        ids, predictions = reread(csv)
        findings = check_submission(
            ids, predictions, live_ids=live.ids, features=scored.neutralizers, drift=drift, limits=self.limits
        )
        verdict = official.verdict()
        accepted = Finding(
            gate="official_validation",
            ok=verdict is None,
            value="accepted" if verdict is None else "refused",
            limit="accepted",
            message=f"official validation: {verdict or 'accepted'}",
        )
        return (*findings, accepted)

    def _drift(self, live: LiveFile, scored: Scored, scorer: Scorer, slot: Slot, round_: Round) -> float | None:
        """Correlate with what the last confirmed submission's artifact says about the same rows."""
        last = self.ledger.last_confirmed(slot.name, before=round_.number)
        if last is None or last.artifact == scorer.artifact.id:
            return None
        try:
            earlier = self._scorer(last.artifact)
            before = earlier.score(live.names, live.values, window=self._window(earlier))
        except RefuseToSubmit as error:
            log.warning("drift.unknown", artifact=last.artifact, reason=str(error))
            return None
        return rank_correlation(scored.predictions, before.predictions)

    def _report(self, draft: "_Draft", stages: Stages) -> None:
        """Write the round's report beside its predictions; once confirmed, log it as the round's one summary."""
        entry = self.ledger.entry(draft.entry.round, draft.entry.slot) or draft.entry
        report = RoundReport.of(
            round=entry.round,
            slot=entry.slot,
            artifact=entry.artifact,
            data_sha256=entry.data_sha256,
            submission_id=entry.submission_id,
            predictions=draft.scored.predictions,
            members=draft.scored.members,
            features=draft.scored.neutralizers,
            validation=draft.scores,
            drift=draft.drift,
            findings=draft.findings,
            seconds=stages.seconds,
        )
        path = self.state_dir / "rounds" / str(entry.round) / entry.slot / "report.json"
        publish(path, report.to_json().encode())
        if entry.state == "confirmed":
            log.info("round.finished", **report.summary())

    def _receipt(
        self, round_: Round, slot: Slot, outcome: Outcome, stages: Stages, findings: tuple[Finding, ...] = ()
    ) -> Receipt:
        entry = self.ledger.entry(round_.number, slot.name)
        if entry is None:
            raise RefuseToSubmit(f"the ledger lost round {round_.number} of slot {slot.name}; check the disk")
        return Receipt(
            round=round_,
            slot=slot.name,
            outcome=outcome,
            artifact=entry.artifact,
            data_version=self.data_version,
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
    content: bytes
    scored: Scored
    scores: Mapping[str, Any]
    drift: float | None
    findings: tuple[Finding, ...]
