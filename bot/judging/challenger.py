"""
Train a challenger, prove that it serves what it learned, and let it replace the champion where it has earned that.

The story: room and overlap of the data version -> sync -> read -> split into training, validation and hold-out, an embargo between each -> fit network and
trees -> score them and the champion on the hold-out -> fit again on all resolved eras -> export -> replay the golden
batch -> decide -> write the artifact, its scores and the decision -> promote.
"""

import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bot import __version__
from bot.data.next_version import prepare as prepare_version
from bot.data.reference_predictions import ReferencePredictions
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import prepare
from bot.history.factor_history import SCALE, minimum_lag
from bot.history.sync import sync_history
from bot.judging._champion_comparison import JUDGED, compare_with_champion, open_other_version
from bot.judging.evaluation_file import EVALUATION, CorrSummary, summarize_corr, to_json
from bot.judging.judge import Ensemble, find_weights, judge
from bot.judging.promotion import Decision, decide
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.scorer import DISTRIBUTIONS, GOLDEN, NETWORK, STACKED, Members, Scorer, golden_batch, replay
from bot.serving.version_pin import Pin
from bot.system.progress import ProgressCallback, RecordMetrics
from bot.tournament.client import NumeraiClient
from bot.training.benchmark_labels import benchmark_column, with_benchmark
from bot.training.distributed import FitRequest, NetworkTeam, kept
from bot.training.network_fit import FittedNetwork
from bot.training.network_options import Device
from bot.training.recipe_file import history_needs
from bot.training.recipes import Recipe
from bot.training.splits import Split
from bot.training.training_data import feature_distributions, part, read, used, write_inputs
from bot.training.training_set import TrainingSet
from bot.training.tree_fit import fit_trees
from models.inference.export import export

GOLDEN_ROWS = 128
LIVE_ROWS = 7_200
"""Of the largest live era so far (6,700 to 7,200 in 2026)."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What a retrain produced: an artifact, its scores on the hold-out, and whether it became champion."""

    artifact: Artifact
    scores: Mapping[str, CorrSummary]
    decision: Decision
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrainer:
    """
    Everything a retrain needs, wired once; values mirror the settings of the same names.

    ``data_version`` is what is trained on, see :mod:`bot.serving.version_pin`; ``needed`` are those that others are on.
    """

    client: NumeraiClient
    artifacts: ArtifactStore
    state_dir: Path
    data_version: str
    feature_set: str
    target: str
    device: Device = "auto"
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False
    record_metrics: RecordMetrics = lambda _run, _step, _measured: None
    needed: Sequence[str] = ()

    def retrain(self, recipe: Recipe) -> Retrained:
        """
        Run the whole story for one recipe; the champion changes only where the decision says so.

        Raises:
            SchemaMismatch: The data lack what the recipe names.
            CannotSplit: The data have too few eras for the recipe's blocks.
            RetryLater: The data could not be synced.
            OperatorNeeded: The data version is not offered, or there is no room for it.
            ArtifactInvalid: The artifact does not replay its own golden batch; the champion stays.
            TrainingStopped: *should_stop* said so; the next retrain goes on from there while the data are the same.
        """
        pinned = replace(self, feature_set=recipe.feature_set or self.feature_set, target=recipe.target or self.target)
        if pinned != self:
            return pinned.retrain(recipe)
        began = time.perf_counter()
        needs = history_needs()
        champion = Pin.of(self.artifacts, recipe.name, self.data_version).champion
        for finding in prepare_version(self.client, self.state_dir, self.data_version, champion=champion):
            log.info("retrain.data_version", recipe=recipe.name, finding=finding)
        fresh = sync_history(
            self.client,
            self.state_dir,
            self.data_version,
            history_targets=needs.targets,
            lookback=needs.lookback,
            pinned={*self.needed, *self.artifacts.pinned("store"), *self.artifacts.pinned("data_version")},
            report_progress=self.report_progress,
        )
        other_version = open_other_version(self.artifacts, recipe.name, fresh, self.state_dir)
        metadata = FeatureMetadata.read(self._data_folder / "features.json")
        data = read(
            fresh,
            recipe,
            metadata,
            feature_set=self.feature_set,
            target=self.target,
            report_progress=self.report_progress,
        )
        split, resolved = part(data, recipe, self.target)
        self._neutralizers(data, recipe)  # an unknown set is refused before hours of training, not after
        column = (
            benchmark_column(self._data_folder, fresh.store, split.holdout, self.target)
            if recipe.to_benchmark
            else None
        )
        for left in self.state_dir.glob("retrain-*/"):  # by a retrain that was killed; only one runs at a time
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix="retrain-", dir=self.state_dir) as scratch:
            judged, served = Path(scratch) / "judged", Path(scratch) / "served"
            for folder in (judged, served):
                write_inputs(data, recipe, folder, stale_after=fresh.history.stale_after)
            (served / DISTRIBUTIONS).write_bytes(feature_distributions(data).to_bytes())
            network = self._fit_network(data, split, resolved, recipe, (judged, served))
            for folder, average in ((judged, network.judged), (served, network.served)):
                self.report_progress("export", 0.0, "ONNX, with the parity gate")
                report = export(average, folder / NETWORK)
                log.info("network.exported", max_abs=report.max_abs)
            self._fit_trees(data, split.train, recipe, judged)
            if recipe.refit:
                self._fit_trees(data, resolved, recipe, served)
            else:
                for name in recipe.trees(self.target):
                    shutil.copyfile(judged / f"{name}.txt", served / f"{name}.txt")
            reference = ReferencePredictions.read(self._data_folder, fresh.store, split.validation, target=self.target)
            weights = find_weights(data, judged, split.validation, recipe, target=self.target, reference=reference)
            challenger = self._candidate(data, recipe, judged, weights)
            validation = judge(
                challenger,
                split.validation,
                target=self.target,
                reference=reference,
                report_progress=self.report_progress,
            )
            judgement = compare_with_champion(
                challenger,
                split.holdout,
                target=self.target,
                fresh=fresh,
                data_folder=self._data_folder,
                artifacts=self.artifacts,
                recipe=recipe.name,
                used=used(data, split, recipe, self.target),
                suspicious=recipe.floors.suspicious_corr,
                served=self._seal(data, recipe, served, weights),
                report_progress=self.report_progress,
                other_version=other_version,
            )
            decision = decide(judgement.evidence, recipe.floors, target=self.target)
            scores = summarize_corr(judgement.challenger)
            evaluation = to_json(judgement, validation, target=self.target).encode()
            files: dict[str, bytes | Path] = {EVALUATION: evaluation, **{one.name: one for one in served.iterdir()}}
            if recipe.refit:
                models = [NETWORK, *(f"{name}.txt" for name in recipe.trees(self.target))]
                models += [path.name for path in judged.glob(f"{STACKED}*")]
                files.update({f"{JUDGED}{name}": judged / name for name in models})
            about = self._manifest(data, split, recipe, network) | {
                "weights": weights,
                "benchmark": column,
                "judged_prefix": JUDGED if recipe.refit else "",
                "scores": {name: asdict(score) for name, score in scores.items()},
                "decision": {"champion": judgement.champion_id, **asdict(decision)},
            }
            artifact = self.artifacts.write(files=files, manifest=about, at=datetime.now(UTC))
        shutil.rmtree(kept(self.state_dir, recipe), ignore_errors=True)
        Scorer(artifact)
        if decision.promote:
            self.artifacts.promote(recipe.name, artifact.id, by="gate")
        else:
            self.artifacts.prune()
        log.info(
            "artifact.promoted" if decision.promote else "artifact.kept_back",
            artifact=artifact.id,
            recipe=recipe.name,
            data_version=self.data_version,
            reason=decision.reason,
        )
        return Retrained(artifact=artifact, scores=scores, decision=decision, seconds=time.perf_counter() - began)

    @property
    def _data_folder(self) -> Path:
        return self.state_dir / "data" / self.data_version

    def _fit_network(
        self, data: TrainingSet, split: Split, resolved: tuple[int, ...], recipe: Recipe, folders: tuple[Path, Path]
    ) -> FittedNetwork:
        """Fit the network with all processes there are; its trees go to the folders, judged and served."""
        if recipe.network.labels == "benchmark_residual":
            data = with_benchmark(data, data.store.store, self._data_folder, target=self.target)
        request = FitRequest(data=data, split=split, resolved=resolved, recipe=recipe, target=self.target)
        team = NetworkTeam(
            state_dir=self.state_dir,
            device=self.device,
            report_progress=self.report_progress,
            should_stop=self.should_stop,
            record_metrics=self.record_metrics,
        )
        return team.fit(request, *folders)

    def _fit_trees(self, data: TrainingSet, positions: Sequence[int], recipe: Recipe, folder: Path) -> None:
        """Train the tree members on the eras at *positions*."""
        for name, target in recipe.trees(self.target).items():
            text = fit_trees(
                data,
                positions,
                recipe,
                target,
                self.report_progress,
                kept=kept(self.state_dir, recipe),
                should_stop=self.should_stop,
            )
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")

    def _candidate(self, data: TrainingSet, recipe: Recipe, folder: Path, weights: Mapping[str, float]) -> Ensemble:
        """Return the members of *folder* with what makes one prediction of theirs."""
        return Ensemble(
            data=data,
            members=Members(folder, tuple(weights), target=self.target),
            weights=weights,
            neutralizers=self._neutralizers(data, recipe),
            proportion=recipe.neutralize,
            to_benchmark=recipe.to_benchmark,
        )

    def _seal(self, data: TrainingSet, recipe: Recipe, folder: Path, weights: Mapping[str, float]) -> dict[str, float]:
        """
        Leave rows in *folder* with the scores that its members must give them wherever they are served.

        Returns:
            ``golden``, how far the files loaded afresh are off; ``latency_s``, in which they score a live era.
        """
        newest = np.ascontiguousarray(data.store.features(len(data.store.eras) - 1))
        rows = newest[:GOLDEN_ROWS]
        sealed = Members(folder, tuple(weights), target=self.target).score(
            prepare(data.manifest, data.manifest.features, rows)
        )
        (folder / GOLDEN).write_bytes(golden_batch(rows, sealed))
        loaded = self._candidate(data, recipe, folder, weights)
        live = np.resize(newest, (LIVE_ROWS, newest.shape[1]))
        began = time.perf_counter()
        loaded.score_rows(prepare(data.manifest, data.manifest.features, live), "stored", None)
        latency_s = time.perf_counter() - began
        off = replay(loaded.members, (folder / GOLDEN).read_bytes())
        return {"golden": max(off.values()), "latency_s": latency_s}

    def _neutralizers(self, data: TrainingSet, recipe: Recipe) -> tuple[str, ...]:
        """Return the recipe's neutralizers among the pinned features, in the manifest's order."""
        wanted = set(FeatureMetadata.read(self._data_folder / "features.json").members(recipe.exposed))
        return tuple(name for name in data.manifest.features if name in wanted)

    def _manifest(self, data: TrainingSet, split: Split, recipe: Recipe, network: FittedNetwork) -> dict[str, Any]:
        eras = data.store.eras
        return {
            "bot": __version__,
            "recipe": asdict(recipe),
            "recipe_sha256": recipe.digest,
            "data_version": self.data_version,
            "feature_set": self.feature_set,
            "store": data.store.store.folder.name,
            "features": len(data.manifest.features),
            "preprocess_sha256": data.manifest.digest,
            "target": self.target,
            "targets": list(data.targets),
            "neutralizers": list(self._neutralizers(data, recipe)),
            "history": {
                "targets": list(recipe.network.history_targets),
                "lookback": recipe.network.lookback,
                "lags": {name: minimum_lag(name) for name in recipe.network.history_targets},
                "scale": SCALE,
            },
            "eras": {
                "train": [eras[split.train[0]], eras[split.train[-1]]],
                "validation": [eras[split.validation[0]], eras[split.validation[-1]]],
                "holdout": [eras[split.holdout[0]], eras[split.holdout[-1]]],
                "newest": eras[-1],
            },
            "network": {"best_steps": list(network.best_steps), "best_corr": list(network.best_corr)},
            "packages": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "lightgbm", "numpy")},
            "machine": platform.machine(),
        }
