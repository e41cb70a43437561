"""
Judge an artifact that another machine trained on the data of this one, and promote it by this machine's gate.

The story of an arrival, in the order of :meth:`Receiver.receive`:

1. refuse an artifact of another recipe, target or data version, and replay its golden batch
2. sync data, store and history, and verify the store
3. open a champion of another data version, which has to be compared with
4. score its judged members and the champion on the hold-out of this machine's data
5. decide, by the floors of this machine's recipe and the looks that these eras have had here
6. write the artifact under an id of this machine, with the scores and the decision made here
7. record the look, then promote the artifact or keep the champion

Scores and the decision of the other machine are kept under ``origin`` in the manifest; nothing is decided by them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.reference_predictions import ReferencePredictions
from bot.errors import ArtifactInvalid, BotError, CannotSplit, SchemaMismatch
from bot.findings import Absent
from bot.history.synced import Synced
from bot.judging._champion_comparison import (
    UNUSABLE,
    Challenger,
    Champions,
    Holdout,
    HoldoutJudgement,
    compare_with_champion,
    open_champion_of_other_version,
)
from bot.judging._shared_steps import check_serving, pay_of, record_look, take_effect
from bot.judging.evaluation_file import CorrSummary, evaluation_json, summarize_corr
from bot.judging.judge import Ensemble, JudgedEras, judge, judged_ensemble, unseen_positions
from bot.judging.leakage import eras_used_by_artifact
from bot.judging.looks import read_looks
from bot.judging.promotion import Decision, decide
from bot.packing.pack_file import Unpacked
from bot.packing.public_keys import to_text
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import EVALUATION, GOLDEN
from bot.serving.scorer import Members, Scorer, members_of
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.training.recipe_sync import sync_for_recipes
from bot.training.recipes import ResolvedRecipe
from bot.training.splits import UsedEras, resolved

LEAST_SHARE = 0.5
"""Least share of the recipe's hold-out that the artifact must not have seen. With fewer eras, noise decides."""

METHOD = ("recipe", "feature_set", "target", "eras")
"""Entries of its manifest that tell a renewal of the champion from another recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """
    Result of an arrival.

    Attributes:
        artifact: The artifact, under an id of this machine.
        scores: CORR on the hold-out by member.
        decision: Whether it became champion, and why.
    """

    artifact: Artifact
    scores: Mapping[str, CorrSummary]
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    """
    An artifact on this machine's data.

    Attributes:
        plan: This machine's recipe of the same name.
        incoming: The artifact, verified.
        synced: Store and history of its data version.
        judged: Members that have not seen its hold-out.
        used: Eras that shaped these members.
        holdout: Positions of the eras of the judgement.
    """

    plan: ResolvedRecipe
    incoming: Artifact
    synced: Synced
    judged: Ensemble
    used: tuple[UsedEras, ...]
    holdout: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """
    Dependencies of an arrival.

    Attributes:
        client: Tournament API.
        artifacts: Artifacts and champions of this machine.
        state_dir: State directory.
        needed: Data versions that recipes use; a sync keeps them.
        ledger_path: Ledger that records the looks at the hold-out.
        report_progress: Receives progress.
    """

    client: NumeraiClient
    artifacts: ArtifactStore
    state_dir: Path
    needed: Sequence[str]
    ledger_path: Path
    report_progress: ProgressCallback = lambda _stage, _share, _note: None

    def receive(self, unpacked: Unpacked, plan: ResolvedRecipe) -> Received:
        """
        Run the whole story; before the artifact is written, the only change is that of a sync.

        Args:
            unpacked: Artifact of a trusted pack, outside of the store.
            plan: This machine's recipe of the same name: its target, hold-out, floors and payout factors count.

        Raises:
            SchemaMismatch: The artifact has another target or data version than the plan, or the data lack a column of it.
            CannotSplit: The data have too few eras that can judge it; the message says what is missing.
            ArtifactInvalid: It does not replay its golden batch.
            RetryLater: The data could not be synced.
        """
        incoming = unpacked.artifact
        refuse_mismatch(incoming, plan)
        Scorer(incoming)
        synced = self._sync(plan)
        synced.store.verify(
            lambda done, total: self.report_progress(
                "verify", done / total, f"{done / 1e9:.2f} of {total / 1e9:.2f} GB"
            )
        )
        try:
            arrival = _on_these_data(incoming, plan, synced)
            judgement = self._judge(arrival)
        except UNUSABLE as error:
            if isinstance(error, BotError | OSError):
                raise
            raise ArtifactInvalid(f"artifact {incoming.id} cannot be judged: {type(error).__name__}: {error}") from None
        is_same = partial(self._is_again, incoming)
        looks = read_looks(self.ledger_path, judgement.evidence.comparison, is_same=is_same)
        decision = decide(judgement.evidence, plan.recipe.floors, target=plan.target, pay=pay_of(plan), looks=looks)
        artifact = self._write(arrival, unpacked.key, judgement, decision)
        record_look(self.ledger_path, plan, artifact, judgement, decision, looks)
        take_effect(self.artifacts, plan, artifact, decision)
        return Received(artifact=artifact, scores=summarize_corr(judgement.challenger), decision=decision)

    def _sync(self, plan: ResolvedRecipe) -> Synced:
        return sync_for_recipes(
            self.client,
            self.artifacts,
            self.state_dir,
            plan.data_version,
            needed=self.needed,
            report_progress=self.report_progress,
        )

    def _judge(self, arrival: _Arrival) -> HoldoutJudgement:
        """Check the models that would serve, then score challenger and champion on the hold-out."""
        plan, incoming, synced = arrival.plan, arrival.incoming, arrival.synced
        serving = replace(arrival.judged, members=Members(incoming.folder, members_of(incoming.manifest)))
        columns = synced.store.select(serving.members.features, ())
        newest = np.ascontiguousarray(columns.features(len(columns.eras) - 1))
        method = {key: incoming.manifest[key] for key in METHOD}
        return compare_with_champion(
            Challenger(
                ensemble=arrival.judged,
                used=arrival.used,
                suspicious_corr=plan.recipe.floors.suspicious_corr,
                serving=check_serving(serving, newest, incoming.path(GOLDEN).read_bytes()),
                method={**method, "targets_left_out": incoming.manifest.get("targets_left_out", [])},
            ),
            Holdout(positions=arrival.holdout, target=plan.target, reference=self._reference(arrival, arrival.holdout)),
            Champions(
                artifacts=self.artifacts,
                recipe=plan.recipe.name,
                synced=synced,
                other_version=open_champion_of_other_version(self.artifacts, plan.recipe.name, synced, self.state_dir),
            ),
            report_progress=self.report_progress,
        )

    def _is_again(self, incoming: Artifact, artifact_id: str) -> bool:
        """Return whether an artifact has the files and the method of the incoming one; its evaluation is this machine's."""
        try:
            about = self.artifacts.open(artifact_id).manifest
        except (ArtifactInvalid, OSError):
            return False
        mine, theirs = ({**one["files"], EVALUATION: None} for one in (about, incoming.manifest))
        return mine == theirs and all(about.get(key) == incoming.manifest.get(key) for key in (*METHOD, "weights"))

    def _write(self, arrival: _Arrival, key: bytes, judgement: HoldoutJudgement, decision: Decision) -> Artifact:
        """Write the artifact with the scores and the decision of this machine."""
        incoming, about = arrival.incoming, arrival.incoming.manifest
        evaluation = evaluation_json(judgement, self._validate(arrival), target=arrival.plan.target).encode()
        files: dict[str, bytes | Path] = {name: incoming.path(name) for name in about["files"]}
        origin = {
            "id": incoming.id,
            "signed_by": to_text(key),
            "scores": about["scores"],
            "decision": about["decision"],
        }
        manifest: dict[str, Any] = {
            **about,
            "store": arrival.synced.store.folder.name,
            "scores": {name: asdict(score) for name, score in summarize_corr(judgement.challenger).items()},
            "decision": {"champion": judgement.champion_id, **asdict(decision)},
            "origin": origin,
        }
        return self.artifacts.write(files={**files, EVALUATION: evaluation}, manifest=manifest, at=datetime.now(UTC))

    def _validate(self, arrival: _Arrival) -> JudgedEras:
        """Score the artifact on the eras that its members were stopped and weighted on."""
        positions = arrival.used[-1].positions
        return judge(
            arrival.judged,
            positions,
            target=arrival.plan.target,
            reference=self._reference(arrival, positions),
            report_progress=self.report_progress,
        )

    def _reference(self, arrival: _Arrival, positions: Sequence[int]) -> ReferencePredictions:
        """Return the benchmark's and the meta model's predictions of the eras at *positions*."""
        folder = self.state_dir / "data" / arrival.plan.data_version
        return ReferencePredictions.read(folder, arrival.synced.store, positions, target=arrival.plan.target)


def refuse_mismatch(incoming: Artifact, plan: ResolvedRecipe) -> None:
    """
    Refuse an artifact whose scores could not be compared with those of this machine's recipe.

    Raises:
        SchemaMismatch: Its data version or its target is another one.
    """
    version, target = incoming.required("data_version"), incoming.required("target")
    if version != plan.data_version:
        raise SchemaMismatch(
            f"artifact {incoming.id} was trained on data {version}, and recipe {plan.recipe.name} uses {plan.data_version}"
            " here; set BOT_DATA_VERSION to the newer one on both machines"
        )
    if target != plan.target:
        raise SchemaMismatch(
            f"artifact {incoming.id} was trained for {target}, and recipe {plan.recipe.name} has the target {plan.target}"
            " here; set BOT_TARGET, or the recipe's target, alike on both machines"
        )


def _on_these_data(incoming: Artifact, plan: ResolvedRecipe, synced: Synced) -> _Arrival:
    """
    Put the judged members of an artifact on this machine's data, and choose the eras that judge them.

    Raises:
        SchemaMismatch: The data lack a feature or the target.
        CannotSplit: They have too few eras.
    """
    store = synced.store
    if plan.target not in store.manifest.targets:
        raise SchemaMismatch(f"artifact {incoming.id}: the data here lack its target {plan.target}; run `bot sync`")
    judged = judged_ensemble(incoming, store, synced.returns, (plan.target,))
    newest = resolved(judged.data.store.labelled(plan.target))[-plan.recipe.holdout_eras :]
    unseen = unseen_positions(incoming, newest, store.eras)
    found = () if isinstance(unseen, Absent) else tuple(unseen)
    needed = max(round(plan.recipe.holdout_eras * LEAST_SHARE), 2)
    if len(found) < needed:
        last = store.eras[newest[-1]] if newest else "none"
        raise CannotSplit(
            f"artifact {incoming.id}: {len(found)} labelled eras here are new to it, and its judgement needs {needed}: its"
            f" hold-out begins with era {incoming.manifest['eras']['holdout'][0]}, the newest labelled era here is {last};"
            " run `bot sync`, and unpack it again"
        )
    used = eras_used_by_artifact(incoming.manifest, store.eras)
    if not all(len(one.positions) for one in used):
        raise CannotSplit(
            f"artifact {incoming.id}: the history here lacks the eras that it was trained or validated on, so its"
            " judgement cannot be checked for leaks; run `bot sync`, and unpack it again"
        )
    return _Arrival(plan=plan, incoming=incoming, synced=synced, judged=judged, used=used, holdout=found)
