"""
Train a challenger and promote it where it is better than chance and no worse than the champion.

The story of a retrain, in the order of :meth:`Retrainer.retrain`:

1. check that the data version is offered and fits on the disk
2. sync data, store and history
3. open a champion of another data version, which has to be compared with
4. read the training data and split them: training, validation, hold-out, an embargo between each
5. fit every model, once for the judgement and once on all resolved eras
6. find the members' weights on the validation eras, and score the ensemble there
7. write the golden batch and replay it with the files that would serve
8. score challenger and champion on the hold-out
9. decide, by the looks that these eras have had
10. write the artifact, its scores and the decision
11. record the look, then promote the artifact or keep the champion
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bot.data.next_version import check_trainable
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import ArtifactInvalid
from bot.features.feature_sets import FeatureMetadata
from bot.history.synced import Synced
from bot.judging._champion_comparison import (
    Challenger,
    Champions,
    Holdout,
    HoldoutJudgement,
    OpenedChampion,
    ServingCheck,
    compare_with_champion,
    open_champion_of_other_version,
)
from bot.judging._shared_steps import (
    check_serving,
    common_entries,
    pay_of,
    predicts_the_same,
    record_look,
    take_effect,
    write_golden,
)
from bot.judging.evaluation_file import CorrSummary, evaluation_json, summarize_corr
from bot.judging.judge import Ensemble, JudgedEras, find_weights, judge, kept_scores, trained_here
from bot.judging.looks import read_looks
from bot.judging.promotion import Decision, decide, unchanged
from bot.members import registry
from bot.members.fitting import Device, Facts
from bot.members.kept_scores import KeptScores
from bot.members.member import Member, Unit
from bot.members.registry import Needs
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import DISTRIBUTIONS, EVALUATION, GOLDEN, HISTORY, JUDGED
from bot.serving.scorer import Members, preprocess_file
from bot.serving.version_pin import Pin
from bot.system.progress import ProgressCallback, RecordMetrics, part
from bot.tournament.client import NumeraiClient
from bot.training.benchmark_labels import live_benchmark, with_benchmarks
from bot.training.fits import checkpoint_folder, fit_key, fit_model
from bot.training.planning.retrain_forecast import Forecast, fit_jobs, kept_fits, with_champion
from bot.training.planning.retrain_plan import counted_size
from bot.training.recipe_sync import sync_for_recipes
from bot.training.recipes import ResolvedRecipe
from bot.training.splits import Split
from bot.training.training_data import (
    TrainingData,
    feature_distributions,
    left_out_targets,
    neutralizing_features,
    read_training_data,
    resolved_eras,
    split_eras,
    used_eras,
    without_targets,
    write_inputs,
)
from bot.training.training_memory import refuse_too_little

VERIFIED = 0.6
"""Share of reading the rows that the verification of the store takes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """
    Result of a retrain.

    Attributes:
        artifact: The artifact that was written.
        scores: CORR on the hold-out by member.
        decision: Whether it became champion, and why.
        seconds: Duration of the retrain.
        forecast: Its plan, and the times of its stages; ``None`` where there was no plan.
    """

    artifact: Artifact
    scores: Mapping[str, CorrSummary]
    decision: Decision
    seconds: float
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """
    Data of one retrain.

    Attributes:
        plan: Recipe to train.
        synced: Store and history of its data version.
        data: History as the members read it.
        scores: Scores of judged models from before.
        split: Training, validation and hold-out eras.
        resolved: Eras that a refit learns from.
        neutralizers: Features that exposure is measured to, in the order of the preprocessing.
        benchmark: Column of the benchmark models that a round needs; ``None`` where it needs none.
        keys: Key of each fit by the name of its owner.
        left_out: Auxiliary targets of the recipe that the data lack; the plan is without them.
    """

    plan: ResolvedRecipe
    synced: Synced
    data: TrainingData
    scores: KeptScores
    split: Split
    resolved: tuple[int, ...]
    neutralizers: tuple[str, ...]
    benchmark: str | None
    keys: Mapping[str, str]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folders:
    """
    Temporary folders of a retrain.

    Attributes:
        judged: Models that have not seen the hold-out.
        served: Models that an artifact serves.
    """

    judged: Path
    served: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Validated:
    """
    Challenger on the validation eras.

    Attributes:
        ensemble: Judged models with the weights found there.
        scores: Scores there.
    """

    ensemble: Ensemble
    scores: JudgedEras


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrainer:
    """
    Dependencies of a retrain; values mirror the settings of the same names.

    Attributes:
        client: Tournament API.
        artifacts: Artifacts and champions.
        state_dir: State directory.
        device: Device that networks train on.
        report_progress: Receives progress.
        should_stop: Checked after every step of training.
        record_metrics: Receives the measurements of every evaluation.
        needed: Data versions that other recipes use; a sync keeps them.
        ledger_path: Ledger that records the looks at the hold-out; ``None`` records none.
        sync_data: Syncs the data of a recipe to *state_dir*; ``None`` syncs the whole data version, if the disk has room.
        forecast: Plan of the retrain; it is made anew when the data are read. ``None``: there is none.
    """

    client: NumeraiClient
    artifacts: ArtifactStore
    state_dir: Path
    device: Device = "auto"
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False
    record_metrics: RecordMetrics = lambda _run, _step, _measured: None
    needed: Sequence[str] = ()
    ledger_path: Path | None = None
    sync_data: Callable[[ResolvedRecipe], Synced] | None = None
    forecast: Forecast | None = None

    def retrain(self, plan: ResolvedRecipe) -> Retrained:
        """
        Run the whole story for one recipe; the champion changes only where the decision is to promote.

        Raises:
            SchemaMismatch: The data lack a feature or target of the recipe.
            CannotSplit: The data have too few eras for the recipe's blocks.
            RetryLater: The data could not be synced.
            OperatorNeeded: A member's library is not installed, the data version is not offered, or the disk has no room.
            ArtifactInvalid: The artifact does not replay its own golden batch; the champion stays.
            TrainingStopped: *should_stop* returned true; the next retrain continues from there on the same data.
        """
        began = time.perf_counter()
        registry.refuse_missing_packages(plan.members)
        self.report_progress("sync", 0.0, "data version")
        self._check_data_version(plan)
        synced = self._sync(plan)
        other = open_champion_of_other_version(self.artifacts, plan.recipe.name, synced, self.state_dir)
        job = self._read(plan, synced)
        with self._temporary_folders() as folders:
            self._write_inputs(job, folders)
            facts = self._fit(job, folders)
            validated = self._weigh(job, folders)
            judgement = self._judge(job, folders, validated.ensemble, other)
            is_same = partial(self._is_again, job, folders, validated)
            looks = read_looks(self.ledger_path, judgement.evidence.comparison, is_same=is_same)
            decision = decide(judgement.evidence, plan.recipe.floors, target=plan.target, pay=pay_of(plan), looks=looks)
            is_champion = judgement.champion_id is not None and is_same(judgement.champion_id)
            if is_champion:
                decision = unchanged(decision, str(judgement.champion_id))
            job.scores.save()
            self.report_progress("write", 0.0, "files and decision")
            artifact = self._write(job, folders, facts, validated, judgement, decision)
        shutil.rmtree(checkpoint_folder(self.state_dir, plan.recipe.name), ignore_errors=True)
        if not is_champion:
            record_look(self.ledger_path, plan, artifact, judgement, decision, looks)
        take_effect(self.artifacts, plan, artifact, decision)
        if self.forecast is not None:
            self.forecast.estimate.end(time.monotonic())
        return Retrained(
            artifact=artifact,
            scores=summarize_corr(judgement.challenger),
            decision=decision,
            seconds=time.perf_counter() - began,
            forecast=self.forecast,
        )

    def _check_data_version(self, plan: ResolvedRecipe) -> None:
        """Refuse a data version that cannot be trained on, before anything large is downloaded."""
        if self.sync_data is not None:
            return
        champion = Pin.of(self.artifacts, plan.recipe.name, plan.data_version).champion
        for finding in check_trainable(self.client, self.state_dir, plan.data_version, champion=champion):
            log.info("retrain.data_version", recipe=plan.recipe.name, finding=finding)

    def _sync(self, plan: ResolvedRecipe) -> Synced:
        if self.sync_data is not None:
            return self.sync_data(plan)
        return sync_for_recipes(
            self.client,
            self.artifacts,
            self.state_dir,
            plan.data_version,
            needed=self.needed,
            report_progress=self.report_progress,
        )

    def _read(self, plan: ResolvedRecipe, synced: Synced) -> _Job:
        """Read the training set and split it; data that lack something are refused here, not after hours of training."""
        metadata = FeatureMetadata.read(self._data_folder(plan) / "features.json")
        left_out = left_out_targets(plan, synced.store.manifest.targets)
        plan = without_targets(plan, left_out)
        verified = part(self.report_progress, "rows", 0.0, VERIFIED)
        data = read_training_data(synced, plan, metadata, report_progress=verified)
        self.report_progress("rows", VERIFIED, "eras and labels")
        split = split_eras(data, plan)
        benchmark = live_benchmark(plan, self._data_folder(plan), synced.store, split.holdout)
        resolved = resolved_eras(data, plan)
        refuse_too_little(plan, data, resolved)
        data = with_benchmarks(data, plan, self._data_folder(plan))
        keys = {}
        for done, fitting in enumerate(fit_jobs(plan, data, split, resolved, self.state_dir)):
            name = fitting.unit.owner.name
            self.report_progress("rows", VERIFIED + 0.2 * done / len(plan.units), f"digest of the rows of {name}")
            keys[name] = fit_key(fitting)
        if self.forecast is not None:
            size = counted_size(plan, synced.store, data.preprocesses, split, resolved, device=self.device)
            size = with_champion(size, plan, self.artifacts, split, np.diff(synced.store.offsets).tolist())
            self.forecast.count(replace(size, kept=kept_fits(keys, self.state_dir / "fits")))
        return _Job(
            plan=plan,
            synced=synced,
            data=data,
            scores=kept_scores(self.state_dir),
            split=split,
            resolved=resolved,
            neutralizers=neutralizing_features(data, plan, metadata, split.train),
            benchmark=benchmark,
            keys=keys,
            left_out=left_out,
        )

    @contextmanager
    def _temporary_folders(self) -> Iterator[_Folders]:
        """Yield folders for the models, on the disk of the state directory; remove them in the end."""
        for left in self.state_dir.glob("retrain-*/"):  # by a retrain that was killed; only one runs at a time
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix="retrain-", dir=self.state_dir) as scratch:
            yield _Folders(judged=Path(scratch) / "judged", served=Path(scratch) / "served")

    def _write_inputs(self, job: _Job, folders: _Folders) -> None:
        """Write everything that serving needs beside the models: preprocessing, history, feature distributions."""
        self.report_progress("rows", 0.9, "inputs of the models")
        for folder in (folders.judged, folders.served):
            write_inputs(job.data, job.synced, folder)
        (folders.served / DISTRIBUTIONS).write_bytes(feature_distributions(job.data.main).to_bytes())

    def _fit(self, job: _Job, folders: _Folders) -> dict[str, Facts]:
        """Fit every model; return its facts by the name of its owner."""
        facts = {}
        for planned in fit_jobs(job.plan, job.data, job.split, job.resolved, self.state_dir):
            name = planned.unit.owner.name
            fitting = replace(
                planned,
                judged=folders.judged,
                served=folders.served,
                device=self.device,
                report_progress=self._fit_progress(name),
                should_stop=self.should_stop,
                record_metrics=self.record_metrics,
            )
            self.report_progress(f"fit {name}", 0.0, "begins")
            facts[name] = fit_model(fitting, self.state_dir / "fits", key=job.keys[name])
        return facts

    def _fit_progress(self, owner: str) -> ProgressCallback:
        """Return the callback of a model's fits: the judged one, the refit and the export are stages of their own."""

        def report(stage: str, share: float, note: str) -> None:
            kind = next((one for one in ("refit", "export") if stage.startswith(one)), "fit")
            what = stage.removeprefix(kind).strip()
            self.report_progress(f"{kind} {owner}", share, f"{what}, {note}" if what else note)

        return report

    def _weigh(self, job: _Job, folders: _Folders) -> _Validated:
        """Find the members' weights by the recipe's rule, and score the ensemble, on the validation eras."""
        positions, target = job.split.validation, job.plan.target
        reference = self._reference(job, positions)
        judged = _ensemble(job, folders.judged, job.plan.weights, trained_here(job.plan.members), kept=job.scores)
        share = self._validated_share(job)
        # Rules that search weights score the same eras first.
        scored = 0.0 if job.plan.recipe.weighting == "fixed" else share / 2
        self.report_progress("judge", 0.0, "weights of the members")
        progress = part(self.report_progress, "judge", 0.0, scored)
        weights = find_weights(
            judged, positions, job.plan.recipe, target=target, reference=reference, report_progress=progress
        )
        ensemble = replace(judged, weights=weights)
        progress = part(self.report_progress, "judge", scored, share)
        scores = judge(ensemble, positions, target=target, reference=reference, report_progress=progress)
        return _Validated(ensemble=ensemble, scores=scores)

    def _validated_share(self, job: _Job) -> float:
        """Return the share of the eras to score that are validation eras."""
        eras = len(job.split.validation), len(job.split.holdout)
        return eras[0] / sum(eras)

    def _judge(
        self, job: _Job, folders: _Folders, ensemble: Ensemble, other: OpenedChampion | None
    ) -> HoldoutJudgement:
        """Check the models that would serve, then score challenger and champion on the hold-out."""
        plan, positions, share = job.plan, job.split.holdout, self._validated_share(job)
        self.report_progress("judge", share, "golden batch, and the time of a live era")
        return compare_with_champion(
            Challenger(
                ensemble=ensemble,
                used=used_eras(job.split, plan),
                suspicious_corr=plan.recipe.floors.suspicious_corr,
                serving=_check_serving(job, folders.served, ensemble.weights),
                method=_method(job),
            ),
            Holdout(positions=positions, target=plan.target, reference=self._reference(job, positions)),
            Champions(
                artifacts=self.artifacts,
                recipe=plan.recipe.name,
                synced=job.synced,
                other_version=other,
                scores=job.scores,
            ),
            report_progress=part(self.report_progress, "judge", share, 1.0),
        )

    def _is_again(self, job: _Job, folders: _Folders, validated: _Validated, artifact_id: str) -> bool:
        """Return whether the same data and recipe gave an artifact's own files again."""
        method = {key: value for key, value in _method(job).items() if key != "eras"}
        try:
            artifact = self.artifacts.open(artifact_id)
        except (ArtifactInvalid, OSError):  # a champion that cannot be read has to be replaced
            return False
        return predicts_the_same(artifact, method, validated.ensemble.weights, folders.served)

    def _write(
        self,
        job: _Job,
        folders: _Folders,
        facts: Mapping[str, Facts],
        validated: _Validated,
        judgement: HoldoutJudgement,
        decision: Decision,
    ) -> Artifact:
        """Write the artifact: models that serve, models that were judged, scores and decision."""
        recipe = job.plan.recipe
        evaluation = evaluation_json(judgement, validated.scores, target=job.plan.target).encode()
        files: dict[str, bytes | Path] = {EVALUATION: evaluation, **{one.name: one for one in folders.served.iterdir()}}
        if recipe.refit:
            inputs = {HISTORY, *(preprocess_file(name) for name in job.data.preprocesses)}
            files.update({f"{JUDGED}{one.name}": one for one in folders.judged.iterdir() if one.name not in inputs})
        scores = summarize_corr(judgement.challenger)
        manifest = _manifest(job, facts) | {
            "weights": validated.ensemble.weights,
            "judged_prefix": JUDGED if recipe.refit else "",
            "retrain": {} if self.forecast is None else self.forecast.record(),
            "scores": {name: asdict(score) for name, score in scores.items()},
            "decision": {"champion": judgement.champion_id, **asdict(decision)},
        }
        return self.artifacts.write(files=files, manifest=manifest, at=datetime.now(UTC))

    def _reference(self, job: _Job, positions: Sequence[int]) -> ReferencePredictions:
        """Return the benchmark's and the meta model's predictions of the eras at *positions*."""
        folder = self._data_folder(job.plan)
        return ReferencePredictions.read(folder, job.synced.store, positions, target=job.plan.target)

    def _data_folder(self, plan: ResolvedRecipe) -> Path:
        return self.state_dir / "data" / plan.data_version


def _needs(unit: Unit) -> Needs:
    return registry.find(unit.owner.kind).needs(unit.owner)


def _ensemble(
    job: _Job,
    folder: Path,
    weights: Mapping[str, float],
    members: Sequence[Member],
    *,
    kept: KeptScores | None = None,
) -> Ensemble:
    """Return the members of *folder* as the ensemble that the recipe makes of them, with scores from before."""
    return Ensemble(
        data=job.data.main,
        members=Members(folder, members, kept=kept),
        models=job.data.models,
        weights=weights,
        neutralizers=job.neutralizers,
        proportion=job.plan.recipe.neutralize,
        to_benchmark=job.plan.recipe.to_benchmark,
    )


def _method(job: _Job) -> dict[str, Any]:
    """Return the entries of the manifest that tell a renewal of the champion from another recipe."""
    plan = job.plan
    return {
        "recipe": asdict(plan.recipe),
        "feature_set": plan.feature_set,
        "target": plan.target,
        "targets_left_out": list(job.left_out),
        "eras": {"newest": job.data.main.store.eras[-1]},
    }


def _check_serving(job: _Job, folder: Path, weights: Mapping[str, float]) -> ServingCheck:
    """Write the golden batch to *folder*; replay it with the files loaded afresh and time a live era."""
    newest = write_golden(folder, job.plan.members, job.data.main.store.store)
    loaded = _ensemble(job, folder, weights, job.plan.members)
    return check_serving(loaded, newest, (folder / GOLDEN).read_bytes())


def _manifest(job: _Job, facts: Mapping[str, Facts]) -> dict[str, Any]:
    """Return the entries of the manifest that are known before the judgement."""
    plan, data, split = job.plan, job.data.main, job.split
    eras = data.store.eras
    used = [name for unit in plan.units for name in _needs(unit).packages]
    return {
        **common_entries(plan, job.data, facts, neutralizers=job.neutralizers, benchmark=job.benchmark, packages=used),
        "store": data.store.store.folder.name,
        "targets_left_out": list(job.left_out),
        "eras": {
            "train": [eras[split.train[0]], eras[split.train[-1]]],
            "validation": [eras[split.validation[0]], eras[split.validation[-1]]],
            "holdout": [eras[split.holdout[0]], eras[split.holdout[-1]]],
            "newest": eras[-1],
        },
    }
