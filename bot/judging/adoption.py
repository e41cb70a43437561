"""
Put models into use that were trained elsewhere: show what they predict, and make them champion without a judgement.

The story of an adoption, in the order of :meth:`Adopter.adopt`:

1. sync data and store, and read the recipe's columns
2. copy the members' files
3. let the members predict a past era and the newest live file that is kept
4. write the artifact and make it champion

A hold-out proves nothing here: the models may have learned from every era that has resolved.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bot.data.live_file import read_live
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import BadConfig, GateFailed
from bot.features.feature_sets import FeatureMetadata
from bot.findings import Absent
from bot.history.synced import Synced
from bot.judging._past_live import write_past_benchmark, write_past_live
from bot.judging._shared_steps import common_entries, write_golden
from bot.members import registry
from bot.members.fitting import Facts, FitJob
from bot.members.member import Unit
from bot.members.rows import LiveFiles, RawRows
from bot.scoring.metrics import corr
from bot.scoring.neutralize import exposures
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import DISTRIBUTIONS, ELSEWHERE, ENSEMBLE
from bot.serving.scorer import Scorer
from bot.submission.live_benchmark import FILE, benchmark_of
from bot.submission.live_fetch import live_path
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.training.benchmark_labels import live_benchmark
from bot.training.recipe_sync import sync_for_recipes
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.training_data import (
    TrainingData,
    feature_distributions,
    neutralizing_features,
    select_training_data,
    write_inputs,
)

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
            write_golden(served, plan.members, data.main.store.store)
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
        return sync_for_recipes(
            self.client,
            self.artifacts,
            self.state_dir,
            plan.data_version,
            needed=self.needed,
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
        columns = data.main.store
        labelled = [int(one) for one in np.flatnonzero(columns.labelled(plan.target))]
        metadata = FeatureMetadata.read(self._data(plan) / "features.json")
        return {
            **common_entries(
                plan,
                data,
                facts,
                neutralizers=neutralizing_features(data, plan, metadata, labelled),
                benchmark=live_benchmark(plan, self._data(plan), columns.store, labelled[-1:]),
            ),
            "eras": {"newest": columns.eras[-1]},
            "weights": plan.weights,
            "judged_prefix": "",
            "scores": {},
            ELSEWHERE: [unit.owner.name for unit in plan.units],
            "decision": {"champion": None, "promote": True, "findings": [], "reason": "adopted by hand, not judged"},
        }

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
