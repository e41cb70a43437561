"""
Put models into use that were trained elsewhere: show what they predict, and make them champion without a judgement.

The story of an adoption, in the order of :meth:`Adopter.adopt`:

1. sync data and store, and read the recipe's columns
2. copy the members' files
3. let the members predict a past era and the newest live file that is kept
4. write the artifact and make it champion

A hold-out proves nothing here: the models may have learned from every era that has resolved.
"""

import platform
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bot import __version__
from bot.data.live_file import read_live
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import BadConfig, GateFailed
from bot.features.feature_sets import FeatureMetadata
from bot.findings import Absent
from bot.history.sync import Synced, sync_history
from bot.judging._past_live import write_past_benchmark, write_past_live
from bot.members import registry
from bot.members.fitting import Facts, FitJob
from bot.members.member import Unit
from bot.members.registry import Needs
from bot.members.rows import LiveFiles, RawRows
from bot.members.stored import to_json
from bot.scoring.metrics import corr
from bot.scoring.neutralize import exposures
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import DISTRIBUTIONS, ELSEWHERE, ENSEMBLE, GOLDEN
from bot.serving.scorer import Members, Scorer, golden_batch
from bot.submission.live_benchmark import FILE, benchmark_of
from bot.submission.live_fetch import live_path
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.training.benchmark_labels import neutralizer_column
from bot.training.recipe_file import history_needs
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.training_data import TrainingData, feature_distributions, select_training_data, write_inputs

GOLDEN_ROWS = 128
"""Rows of the newest era in the golden batch."""

LONGEST_S = 600.0
"""Most seconds of all members together, the longest scoring of a round (:mod:`bot.submission._turns`)."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """
    Predictions of one era.

    Attributes:
        name: Era or round.
        rows: Number of rows.
        seconds: Seconds of all members together.
        members: Names of the members that predicted.
        corr: CORR of members and ensemble; empty where the target is not known.
        exposure: Largest absolute correlation of the ensemble with a neutralizer.
    """

    name: str
    rows: int
    seconds: float
    members: tuple[str, ...]
    corr: Mapping[str, float]
    exposure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """
    Result of an adoption.

    Attributes:
        artifact: The artifact, champion of its recipe.
        trials: What the members predicted.
        facts: Facts of each member's files.
    """

    artifact: Artifact
    trials: tuple[Trial, ...]
    facts: Mapping[str, Facts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopter:
    """
    Dependencies of an adoption.

    Attributes:
        client: Tournament API.
        artifacts: Artifacts and champions.
        state_dir: State directory.
        needed: Data versions that other recipes use; a sync keeps them.
        report_progress: Receives progress.
    """

    client: NumeraiClient
    artifacts: ArtifactStore
    state_dir: Path
    needed: Sequence[str] = ()
    report_progress: ProgressCallback = lambda _stage, _share, _note: None

    def adopt(self, plan: ResolvedRecipe) -> Adopted:
        """
        Run the whole story for one recipe.

        Raises:
            BadConfig: A member must be trained, or its files cannot be used.
            RetryLater: The data could not be synced.
            RefuseToSubmit: A member cannot predict, or takes too long; the champion stays.
        """
        refuse_trained(plan.recipe)
        synced = self._sync(plan)
        data = select_training_data(
            synced.store, synced.returns, plan, FeatureMetadata.read(self._data(plan) / "features.json")
        )
        for left in self.state_dir.glob("adopt-*/"):  # by an adoption that was killed; only one runs at a time
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix="adopt-", dir=self.state_dir) as scratch:
            served = Path(scratch) / "served"
            write_inputs(data, synced, served)
            (served / DISTRIBUTIONS).write_bytes(feature_distributions(data.main).to_bytes())
            facts = {unit.owner.name: self._take_files(unit, data, served) for unit in plan.units}
            _write_golden(plan, data, served)
            manifest = self._manifest(plan, data, facts)
            scorer = Scorer(Artifact(id=f"of recipe {plan.recipe.name}", folder=served, manifest=manifest))
            trials = self._trials(plan, data, scorer, Path(scratch))
            refuse_slow(plan.recipe, trials)
            files: dict[str, bytes | Path] = {path.name: path for path in served.iterdir()}
            artifact = self.artifacts.write(files=files, manifest=manifest, at=datetime.now(UTC))
        Scorer(artifact)  # raises where the written artifact does not load
        self.artifacts.promote(plan.recipe.name, artifact.id, by="operator")
        log.info("artifact.adopted", artifact=artifact.id, recipe=plan.recipe.name)
        return Adopted(artifact=artifact, trials=trials, facts=facts)

    def _sync(self, plan: ResolvedRecipe) -> Synced:
        needs = history_needs()
        return sync_history(
            self.client,
            self.state_dir,
            plan.data_version,
            history_targets=needs.targets,
            lookback=needs.lookback,
            pinned={*self.needed, *self.artifacts.pinned("store"), *self.artifacts.pinned("data_version")},
            report_progress=self.report_progress,
        )

    def _take_files(self, unit: Unit, data: TrainingData, served: Path) -> Facts:
        """Copy the files of a model into the artifact."""
        job = FitJob(
            unit=unit,
            data=data.models[unit.owner.name],
            train=(),
            validation=(),
            resolved=(),
            every=1,
            judged=served,
            served=served,
            checkpoints=served.parent / "checkpoints",
            folds=served.parent / "folds",
            report_progress=self.report_progress,
        )
        return registry.find(unit.owner.kind).fit(job)

    def _manifest(self, plan: ResolvedRecipe, data: TrainingData, facts: Mapping[str, Facts]) -> dict[str, Any]:
        """Return the artifact's manifest; it has no scores, because no era is known to be out of sample."""
        store, neutral = data.main.store, self._neutralizers(plan, data)
        newest = [int(np.flatnonzero(store.labelled(plan.target))[-1])]
        wants_benchmark = plan.recipe.to_benchmark or any(_needs(unit).live_benchmark for unit in plan.units)
        column = neutralizer_column(self._data(plan), store.store, newest, plan.target) if wants_benchmark else None
        return {
            "bot": __version__,
            "recipe": asdict(plan.recipe),
            "recipe_sha256": plan.recipe.digest,
            "data_version": plan.data_version,
            "feature_set": plan.feature_set,
            "features": len(data.main.manifest.features),
            "preprocess_sha256": data.main.manifest.digest,
            "target": plan.target,
            "targets": list(plan.targets),
            "members": to_json(plan.members),
            "fits": {name: dict(one) for name, one in facts.items()},
            "neutralizers": list(neutral),
            "benchmark": column,
            "eras": {"newest": store.eras[-1]},
            "weights": plan.weights,
            "judged_prefix": "",
            "scores": {},
            ELSEWHERE: [unit.owner.name for unit in plan.units],
            "decision": {"champion": None, "promote": True, "findings": [], "reason": "adopted by hand, not judged"},
            "packages": {name: version(name) for name in ("onnxruntime", "numpy")},
            "machine": platform.machine(),
        }

    def _neutralizers(self, plan: ResolvedRecipe, data: TrainingData) -> tuple[str, ...]:
        wanted = set(FeatureMetadata.read(self._data(plan) / "features.json").members(plan.recipe.exposed))
        return tuple(name for name in data.main.manifest.features if name in wanted)

    def _trials(self, plan: ResolvedRecipe, data: TrainingData, scorer: Scorer, scratch: Path) -> tuple[Trial, ...]:
        """Let the members predict the newest era whose target is known, and the newest live file that is kept."""
        live = self._newest_live(plan.data_version)
        past = self._past_trial(plan, data, scorer, scratch)
        return (past,) if live is None else (past, self._live_trial(plan, scorer, live))

    def _past_trial(self, plan: ResolvedRecipe, data: TrainingData, scorer: Scorer, scratch: Path) -> Trial:
        columns = data.main.store
        store, position = columns.store, int(np.flatnonzero(columns.labelled(plan.target))[-1])
        ids = write_past_live(store, position, scratch / "live.parquet")
        has_benchmark = write_past_benchmark(self._data(plan), store.eras[position], scratch / FILE)
        reference = ReferencePredictions.read(self._data(plan), store, [position], target=plan.target)
        rows = RawRows(
            names=store.manifest.features,
            values=store.select(store.manifest.features, ()).features(position),
            benchmark=reference.by_era.get("bmc", {}).get(position),
            files=self._files(scratch / "live.parquet", scratch / FILE if has_benchmark else None, ids),
        )
        return _trial(f"era {store.eras[position]}", scorer, rows, columns.target(position, plan.target))

    def _live_trial(self, plan: ResolvedRecipe, scorer: Scorer, path: Path) -> Trial:
        live, benchmark = read_live(path), path.with_name(FILE)
        column = scorer.benchmark
        known = benchmark_of(benchmark, live.ids, column) if column and benchmark.is_file() else None
        rows = RawRows(
            names=live.names,
            values=live.values,
            benchmark=None if isinstance(known, Absent) else known,
            files=self._files(path, benchmark if benchmark.is_file() else None, live.ids),
        )
        return _trial(f"round {path.parent.parent.name} ({plan.data_version})", scorer, rows, None)

    def _files(self, live: Path, benchmark: Path | None, ids: Sequence[str]) -> LiveFiles:
        deadline = time.monotonic() + LONGEST_S
        return LiveFiles(live=live, benchmark=benchmark, ids=ids, deadline=deadline, state_dir=self.state_dir)

    def _newest_live(self, data_version: str) -> Path | None:
        """Return the newest live file of the data version in the folders of all modes."""
        kept = [live_path(one, data_version) for one in self.state_dir.glob("rounds*/[0-9]*")]
        found = [path for path in kept if path.is_file()]
        return max(found, key=lambda path: int(path.parent.parent.name), default=None)

    def _data(self, plan: ResolvedRecipe) -> Path:
        return self.state_dir / "data" / plan.data_version


def is_adopted(recipe: Recipe) -> bool:
    """Return whether a recipe has nothing to train, so that it is adopted."""
    return not any(registry.find(one.kind).needs(one).training for one in recipe.members)


def refuse_trained(recipe: Recipe) -> None:
    """
    Refuse a recipe with a member that has to be trained.

    Raises:
        BadConfig: There is one.
    """
    for one in recipe.members:
        if registry.find(one.kind).needs(one).training:
            raise BadConfig(
                f"recipe {recipe.name}: member {one.name} of kind {one.kind} has to be trained; run"
                f" `bot retrain --recipe {recipe.name}`, which takes the other members too"
            )


def refuse_elsewhere(recipe: Recipe) -> None:
    """
    Refuse to score a recipe on walk-forward folds where a member was trained elsewhere.

    Raises:
        BadConfig: There is one; it may have learned from the eras of the folds.
    """
    for one in recipe.members:
        if registry.find(one.kind).needs(one).elsewhere:
            raise BadConfig(
                f"recipe {recipe.name}: member {one.name} of kind {one.kind} was trained elsewhere and may have learned"
                " from the eras of the folds; take a recipe without it"
            )


def refuse_slow(recipe: Recipe, trials: Sequence[Trial]) -> None:
    """
    Refuse members that take longer for an era than the recipe allows.

    Raises:
        GateFailed: They do.
    """
    slowest = max(trials, key=lambda one: one.seconds)
    if slowest.seconds > recipe.floors.max_latency_s:
        raise GateFailed(
            f"recipe {recipe.name}: {slowest.name} took {slowest.seconds:.0f} s (floors.max_latency_s ="
            f" {recipe.floors.max_latency_s:g}); make the members faster, or raise the floor"
        )


def _trial(name: str, scorer: Scorer, rows: RawRows, truth: np.ndarray | None) -> Trial:
    """Score the rows once."""
    began = time.perf_counter()
    scored = scorer.score(rows)
    seconds = time.perf_counter() - began
    scores = {**scored.members, ENSEMBLE: scored.predictions}
    return Trial(
        name=name,
        rows=rows.count,
        seconds=seconds,
        members=tuple(scored.members),
        corr={} if truth is None else {member: corr(values, truth) for member, values in scores.items()},
        exposure=float(np.abs(exposures(scored.predictions, scored.neutralizers)).max(initial=0.0)),
    )


def _write_golden(plan: ResolvedRecipe, data: TrainingData, served: Path) -> None:
    """Write rows of the newest era and the scores of the members that are files of the artifact."""
    members, store = Members(served, plan.members), data.main.store.store
    columns = store.select(members.features, ())
    rows = np.ascontiguousarray(columns.features(len(columns.eras) - 1))[:GOLDEN_ROWS]
    scores = members.score(RawRows(names=members.features, values=rows, history=members.history))
    (served / GOLDEN).write_bytes(golden_batch(members.features, rows, scores))


def _needs(unit: Unit) -> Needs:
    return registry.find(unit.owner.kind).needs(unit.owner)
