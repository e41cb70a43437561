"""
Compare Numerai's diagnostics of an artifact with our own scores (`bot diagnose`).

The story: return a result that is recorded already -> score the validation eras that the judged members have not seen
-> record the intent -> look for the upload on the server -> upload -> poll -> compare -> record the result and alert.

Both sides score the same predictions with the same formulas, so a difference is an error: in our scoring, in the rows
or targets on our disk, or in the eras that are compared. Nothing is staked on diagnostics. They are uploaded in live
mode only all the same, because a dry run changes nothing on the server.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog

from bot.data.reference_predictions import ReferencePredictions
from bot.errors import RefuseToSubmit, RetryLater
from bot.findings import Absent
from bot.judging.judge import contributions, learned_elsewhere, open_judged, ranked_reference, unseen_positions
from bot.record.diagnostics import ArtifactDiagnostics, DiagnosticsRecord, Scores, update_alert
from bot.record.outbox import Outbox
from bot.scoring.coverage import COVERAGE
from bot.scoring.metrics import corrs
from bot.scoring.ranked_columns import RankedColumns
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import ENSEMBLE
from bot.submission.submission_file import render
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import ALIAS
from bot.tournament.responses import Diagnostics
from bot.tournament.slots import Slot

TOLERANCE = 0.001
"""Largest difference between equal scores of an era.

The same formula on the same rows differs by 1e-8 where one side keeps targets as float32. Another target, another era or
rows of another day move a score by its standard deviation, .012 for the 7,000 rows of a real era and more for fewer."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
"""Seconds between two polls of the diagnostics: doubled from the first to the longest."""

PATIENCE_S = 600.0
"""Seconds after which polling is left to a later call; that call does not repeat the upload."""

FAILED = ("failed", "error")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    Result of a comparison.

    Attributes:
        agrees: Whether Numerai's scores equal ours.
        reason: Number of eras and size of the differences, in words.
    """

    agrees: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _LocalScores:
    """
    Our scores of an artifact's validation eras, and the predictions that they belong to.

    Attributes:
        scores: Scores of the ensemble by kind and era.
        file: CSV for Numerai with every row of these eras.
    """

    scores: Scores
    file: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnoser:
    """
    Dependencies of a diagnosis.

    Attributes:
        client: Tournament API.
        record: Results of earlier diagnostics.
        outbox: Queue of alerts.
        artifacts: Artifacts that can be diagnosed.
        state_dir: State directory.
        wait: Sleeps for a number of seconds.
        report_progress: Called with the progress.
    """

    client: NumeraiClient
    record: DiagnosticsRecord
    outbox: Outbox
    artifacts: ArtifactStore
    state_dir: Path
    wait: Callable[[float], None] = time.sleep
    report_progress: ProgressCallback = lambda _stage, _share, _note: None

    def diagnose(self, identity: str, slot: Slot, *, force: bool = False) -> ArtifactDiagnostics:
        """
        Return the result of an artifact's diagnostics, and send an alert if the scores differ.

        Args:
            identity: Id of the artifact.
            slot: Model that the diagnostics are uploaded for; any model of the account will do.
            force: Repeat the diagnostics although there is a result.

        Raises:
            ArtifactInvalid: The artifact does not verify.
            DatasetIncomplete: The store that it was trained on is missing.
            RetryLater: Numerai has not finished; the next call continues and uploads nothing again.
        """
        known = self.record.get(identity)
        if known is None or force or not known.is_concluded:
            artifact = self.artifacts.open(identity)
            known = self._conclude(artifact, slot, None if force else known)
            log.info("diagnostics.concluded", artifact=identity, outcome=known.state, reason=known.verdict)
        update_alert(self.outbox, known, now=datetime.now(UTC))
        return known

    def _conclude(self, artifact: Artifact, slot: Slot, known: ArtifactDiagnostics | None) -> ArtifactDiagnostics:
        try:
            sent = known if known is not None and known.state == "sent" else self._send(artifact, slot, known)
        except RefuseToSubmit as error:
            known = self.record.get(artifact.id) or _intended(artifact, slot, token="", ours={})
            return self._keep(known, state="refused", verdict=str(error))
        diagnosis = self._poll(sent)
        if diagnosis.status != "done":
            reason = diagnosis.message or f"Numerai's diagnostics {diagnosis.status}"
            return self._keep(sent, state="refused", verdict=reason)
        verdict = compare_scores(sent.ours, diagnosis.scores)
        state = "agrees" if verdict.agrees else "differs"
        return self._keep(sent, state=state, theirs=diagnosis.scores, verdict=verdict.reason)

    def _send(self, artifact: Artifact, slot: Slot, before: ArtifactDiagnostics | None) -> ArtifactDiagnostics:
        """Upload the predictions and return the record; an upload that the server already has is not repeated."""
        if before is not None and (held := self._held(before)):
            return held
        local: _LocalScores | Absent
        try:
            local = self._score(artifact)
        except (ValueError, KeyError) as error:  # an artifact of an older version may lack anything
            local = Absent(str(error))
        if isinstance(local, Absent):
            raise RefuseToSubmit(f"it cannot be diagnosed: {local.reason}; the next retrain's can")
        token = f"d-{artifact.id}-{hashlib.sha256(local.file).hexdigest()[:8]}"
        intended = _intended(artifact, slot, token=token, ours=local.scores)
        known = self.record.get(artifact.id)
        self.record.keep(intended)
        # Without a record, the ledger may have been lost after an upload. A forced repetition uploads again.
        if known is None and (held := self._held(intended)):
            return held
        sent = self.client.diagnose(model_id=slot.model_id, filename=f"{intended.token}.csv", content=local.file)
        log.info("diagnostics.uploaded", artifact=artifact.id, eras=len(local.scores["corr"]), bytes=len(local.file))
        return self._keep(intended, state="sent", diagnostics_id=sent)

    def _held(self, record: ArtifactDiagnostics) -> ArtifactDiagnostics | None:
        """Return the record of an upload that the server has without our having recorded it, else ``None``."""
        for filename, identity in self.client.diagnostics_ids(record.model_id).items():
            if filename.startswith(record.token):
                return self._keep(record, state="sent", diagnostics_id=identity)
        return None

    def _poll(self, record: ArtifactDiagnostics) -> Diagnostics:
        waited, pause = 0.0, FIRST_PAUSE_S
        while True:
            diagnosis = self.client.diagnostics(record.model_id, str(record.diagnostics_id))
            if diagnosis.status == "done" or diagnosis.status in FAILED or diagnosis.message:
                return diagnosis
            if waited >= PATIENCE_S:
                raise RetryLater(
                    f"Numerai's diagnostics of {record.artifact} are {diagnosis.status} after {waited:.0f} s; try again later"
                )
            self.wait(pause)
            waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE_S)

    def _score(self, artifact: Artifact) -> _LocalScores | Absent:
        """
        Score the validation eras that the judged members have not seen.

        Numerai scores on the column `target`, whichever target that is. Whole eras are uploaded, and not all of them
        have to be: the server lists the eras that it did not receive.
        """
        if isinstance(elsewhere := learned_elsewhere(artifact), Absent):
            return elsewhere
        ensemble = open_judged(artifact, self.state_dir)
        store, target = ensemble.data.store.store, str(artifact.manifest["target"])
        paid = ALIAS if ALIAS in store.manifest.targets else target
        targets = store.select((), (paid, target) if paid != target else (target,))
        unseen = unseen_positions(artifact, np.flatnonzero(targets.labelled(paid)).tolist(), store.eras)
        if isinstance(unseen, Absent):
            return unseen
        positions = [position for position in unseen if store.kinds[position] == "validation"]
        if not positions:
            return Absent("its judged members have seen every validation era")
        home = self.state_dir / "data" / str(artifact.manifest["data_version"])
        reference = ReferencePredictions.read(home, store, positions, target=target)
        scores: dict[str, dict[str, float]] = defaultdict(dict)
        ids: list[str] = []
        predictions: list[np.ndarray] = []
        for done, position in enumerate(positions):
            self.report_progress("diagnose", done / len(positions), f"{len(positions)} eras")
            of_era = {kind: by_era.get(position) for kind, by_era in reference.by_era.items()}
            values = ensemble.score(position, of_era.get("bmc")).scores[ENSEMBLE]
            paid_target, own_target = targets.target(position, paid), targets.target(position, target)
            ranked = RankedColumns(values)
            found = {"corr": float(corrs(ranked, paid_target)[0])}
            for kind, other in of_era.items():
                # The benchmark is of the artifact's own target; Numerai's is of the one that is paid.
                if kind == "mmc" or np.array_equal(paid_target, own_target, equal_nan=True):
                    found[kind] = float(contributions(ranked, ranked_reference(other), paid_target)[0])
            for kind, value in found.items():
                if np.isfinite(value):
                    scores[kind][store.eras[position]] = value
            ids += [one.decode() for one in store.ids(position).tolist()]
            predictions.append(values)
        return _LocalScores(scores=scores, file=render(ids, np.concatenate(predictions)))

    def _keep(
        self,
        record: ArtifactDiagnostics,
        *,
        state: str,
        diagnostics_id: str | None = None,
        theirs: Scores | None = None,
        verdict: str | None = None,
    ) -> ArtifactDiagnostics:
        kept = replace(
            record,
            state=state,
            diagnostics_id=diagnostics_id or record.diagnostics_id,
            theirs=theirs or {},
            verdict=verdict,
            at=datetime.now(UTC).isoformat(),
        )
        self.record.keep(kept)
        return kept


def _intended(artifact: Artifact, slot: Slot, *, token: str, ours: Scores) -> ArtifactDiagnostics:
    return ArtifactDiagnostics(
        artifact=artifact.id,
        recipe=str(artifact.manifest["recipe"]["name"]),
        model_id=slot.model_id,
        token=token,
        state="intended",
        diagnostics_id=None,
        ours=ours,
        theirs={},
        verdict=None,
        at=datetime.now(UTC).isoformat(),
    )


def compare_scores(ours: Scores, theirs: Scores) -> Verdict:
    """Compare our scores with Numerai's in every era that both have, by :data:`TOLERANCE`."""
    wanted = ours["corr"]
    scored = [era for era in wanted if era in theirs.get("corr", {})]
    if len(scored) < COVERAGE * len(wanted):
        reason = f"Numerai scored {len(scored)} of {len(wanted)} eras; is the data version still its own?"
        return Verdict(agrees=False, reason=reason)
    unlike, most = [], {}
    for score, values in ours.items():
        gaps = {era: abs(value - theirs[score][era]) for era, value in values.items() if era in theirs.get(score, {})}
        if not gaps:
            continue
        era = max(gaps, key=lambda one: gaps[one])
        most[score.upper()] = f"{gaps[era]:.1g}"
        over = sum(gap > TOLERANCE for gap in gaps.values())
        if over:
            unlike.append(
                f"{score.upper()} differs in {over} of {len(gaps)} eras by up to {gaps[era]:.4f}"
                f" (era {era}: {values[era]:.4f} here, {theirs[score][era]:.4f} there; limit {TOLERANCE:g})"
            )
    if unlike:
        return Verdict(agrees=False, reason="; ".join(unlike))
    largest = ", ".join(f"{gap} ({score})" for score, gap in most.items())
    return Verdict(agrees=True, reason=f"{len(scored)} eras, largest difference {largest}")
