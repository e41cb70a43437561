"""
Train a challenger, prove that it serves what it learned, and make it the champion.

The story: sync -> read -> split with an embargo -> fit network and trees -> score them on held-out eras -> fit again on
all resolved eras -> export -> write the artifact -> replay its golden batch -> promote.
"""

import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bot import __version__
from bot.artifacts import Artifact, ArtifactStore
from bot.feature_sets import FeatureMetadata
from bot.history import SCALE, HistoryState, minimum_lag
from bot.judge import Score, judge
from bot.network_fit import FittedNetwork, NetworkFitter, Watcher
from bot.numerai import NumeraiClient
from bot.preprocess import Preprocess, prepare
from bot.recipes import Recipe, history_needs
from bot.refresh import Refreshed, refresh
from bot.scorer import GOLDEN, HISTORY, NETWORK, PREPROCESS, Members, Scorer, golden_batch
from bot.splits import Split, holdout, resolved
from bot.training_plan import Device
from bot.training_set import TrainingSet
from bot.tree_fit import fit_trees
from models.export import export

GOLDEN_ROWS = 128
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What a retrain produced."""

    artifact: Artifact
    scores: Mapping[str, Score]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrainer:
    """Everything a retrain needs, wired once; values mirror the settings of the same names."""

    client: NumeraiClient
    artifacts: ArtifactStore
    state_dir: Path
    data_version: str
    feature_set: str
    target: str
    device: Device = "auto"
    watch: Watcher = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False

    def retrain(self, recipe: Recipe) -> Retrained:
        """
        Run the whole story for one recipe and promote the result.

        Raises:
            SchemaMismatch: The data lack what the recipe names.
            RetryLater: The data could not be synced.
            ArtifactInvalid: The artifact does not replay its own golden batch; the champion stays.
            TrainingStopped: *should_stop* said so; the next retrain goes on from there while the data are the same.
        """
        began = time.perf_counter()
        targets, lookback = history_needs()
        fresh = refresh(
            self.client,
            self.state_dir,
            self.data_version,
            history_targets=targets,
            lookback=lookback,
            pinned=self.artifacts.pinned("store"),
            watch=self.watch,
        )
        data = self._read(fresh, recipe)
        split = holdout(
            data.store.eras,
            labelled=data.store.labelled(self.target),
            targets=data.targets,
            validation_eras=recipe.validation_eras,
            every=recipe.every,
        )
        refitted = resolved(data.store.labelled(self.target), every=recipe.every)
        with tempfile.TemporaryDirectory(prefix="retrain-", dir=self.state_dir) as scratch:
            judged, served = Path(scratch) / "judged", Path(scratch) / "served"
            for folder in (judged, served):
                self._prepare(data, recipe, folder, stale_after=fresh.history.stale_after)
            network = self._fit_network(data, split, refitted, recipe)
            for folder, average in ((judged, network.judged), (served, network.served)):
                self.watch("export", 0.0, "ONNX, with the parity gate")
                report = export(average, folder / NETWORK)
                log.info("network.exported", max_abs=report.max_abs)
            self._fit_trees(data, split.train, recipe, judged)
            if recipe.refit:
                self._fit_trees(data, refitted, recipe, served)
            else:
                for name in recipe.trees(self.target):
                    shutil.copyfile(judged / f"{name}.txt", served / f"{name}.txt")
            scores = self._judge(data, split, recipe, judged)
            self._seal(data, recipe, served)
            artifact = self.artifacts.write(
                files={path.name: path for path in served.iterdir()},
                manifest=self._manifest(data, split, recipe, scores, network),
                at=datetime.now(UTC),
            )
        shutil.rmtree(self._kept(recipe), ignore_errors=True)
        Scorer(artifact)
        self.artifacts.promote(recipe.name, artifact.id)
        log.info("artifact.promoted", artifact=artifact.id, recipe=recipe.name)
        return Retrained(artifact=artifact, scores=scores, seconds=time.perf_counter() - began)

    def _read(self, fresh: Refreshed, recipe: Recipe) -> TrainingSet:
        """Verify the store and select what the recipe trains on."""
        metadata = self._metadata()
        features = metadata.members(self.feature_set)
        targets = tuple(dict.fromkeys((self.target, *recipe.targets)))
        learned = (*targets, *recipe.trees(self.target).values())
        history_targets = recipe.network.history_targets if recipe.network.lookback else ()
        fresh.store.verify(
            lambda done, total: self.watch("verify", done / total, f"{done / 1e9:.2f} of {total / 1e9:.2f} GB")
        )
        columns = fresh.store.select(features, tuple(dict.fromkeys((*learned, *history_targets))))
        manifest = Preprocess(
            features=features,
            groups=metadata.groups(features),
            missing=recipe.missing,
            normalize=recipe.normalize,
            engineered=recipe.engineered,
        )
        position = {name: index for index, name in enumerate(fresh.store.manifest.features)}
        returns = fresh.returns.select([position[name] for name in features], history_targets)
        return TrainingSet.build(
            columns,
            manifest,
            targets=targets,
            history_targets=history_targets,
            lookback=recipe.network.lookback,
            returns=returns if history_targets else None,
        )

    def _metadata(self) -> FeatureMetadata:
        return FeatureMetadata.read(self.state_dir / "data" / self.data_version / "features.json")

    def _prepare(self, data: TrainingSet, recipe: Recipe, folder: Path, *, stale_after: datetime | None) -> None:
        """Write what every member of *folder* is served with."""
        folder.mkdir()
        (folder / PREPROCESS).write_text(data.manifest.to_json(), encoding="utf-8")
        live = data.live_window()
        if live is not None:
            values, newest = live
            state = HistoryState(
                features=data.manifest.features,
                targets=recipe.network.history_targets,
                window=values,
                newest_era=newest,
                built_from_era=data.store.eras[-1],
                stale_after=stale_after,
            )
            (folder / HISTORY).write_bytes(state.to_bytes())

    def _fit_network(self, data: TrainingSet, split: Split, resolved: Sequence[int], recipe: Recipe) -> FittedNetwork:
        """Fit the network, and write down where it is when it is asked to stop."""
        fitter = NetworkFitter(
            data=data,
            recipe=recipe,
            target=self.target,
            device=self.device,
            checkpoints=self._kept(recipe),
            watch=self.watch,
            should_stop=self.should_stop,
        )
        return fitter.fit(split, resolved)

    def _fit_trees(self, data: TrainingSet, positions: Sequence[int], recipe: Recipe, folder: Path) -> None:
        """Train the tree members on the eras at *positions*."""
        for name, target in recipe.trees(self.target).items():
            text = fit_trees(
                data, positions, recipe, target, self.watch, kept=self._kept(recipe), should_stop=self.should_stop
            )
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")

    def _kept(self, recipe: Recipe) -> Path:
        """Return the folder for what an interrupted retrain goes on from."""
        return self.state_dir / "training" / recipe.name

    def _judge(self, data: TrainingSet, split: Split, recipe: Recipe, folder: Path) -> dict[str, Score]:
        """Score the members that have not seen the held-out eras on them."""
        self.watch("judge", 0.0, f"{len(split.validation)} held-out eras")
        return judge(
            data,
            Members(folder, tuple(name for name, _ in recipe.weights), target=self.target),
            split.validation,
            target=self.target,
            weights=dict(recipe.weights),
            neutralizers=self._neutralizers(data, recipe),
            proportion=recipe.neutralize,
        )

    def _seal(self, data: TrainingSet, recipe: Recipe, folder: Path) -> None:
        """Leave rows in *folder* with the scores that its members must give them wherever they are served."""
        members = Members(folder, tuple(name for name, _ in recipe.weights), target=self.target)
        newest = np.ascontiguousarray(data.store.features(len(data.store.eras) - 1)[:GOLDEN_ROWS])
        replayed = members.score(prepare(data.manifest, data.manifest.features, newest))
        (folder / GOLDEN).write_bytes(golden_batch(newest, replayed))

    def _neutralizers(self, data: TrainingSet, recipe: Recipe) -> tuple[str, ...]:
        """Return the recipe's neutralizers among the pinned features, in the manifest's order."""
        wanted = set(self._metadata().members(recipe.neutralizers))
        return tuple(name for name in data.manifest.features if name in wanted)

    def _manifest(
        self, data: TrainingSet, split: Split, recipe: Recipe, scores: Mapping[str, Score], network: FittedNetwork
    ) -> dict[str, Any]:
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
                "newest": eras[-1],
            },
            "network": {"best_steps": list(network.best_steps), "best_corr": list(network.best_corr)},
            "scores": {name: asdict(score) for name, score in scores.items()},
            "packages": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "lightgbm", "numpy")},
            "machine": platform.machine(),
        }
