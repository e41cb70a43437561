"""Fit the models of a recipe on a walk-forward fold, as a retrain fits them; equal fits are used again."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from bot.data.era_store import EraStore
from bot.judging.judge import Ensemble
from bot.members import registry
from bot.members.fitting import FitJob
from bot.members.member import Unit
from bot.research.experiment import Experiment
from bot.serving.scorer import Members, preprocess_file
from bot.system.progress import ProgressCallback
from bot.training.benchmark_labels import with_benchmarks
from bot.training.fits import fit_key, fit_model
from bot.training.recipes import Recipe
from bot.training.splits import Split
from bot.training.training_data import TrainingData, neutralizing_features, select_training_data


@dataclass(kw_only=True)
class FoldFitter:
    """
    Fits recipes on folds of the same history.

    Attributes:
        experiment: Data and training eras of the folds.
        store: Era store.
        kept: Folder of finished fits, which several processes may share.
        report_progress: Called with the progress of a fit.
        should_stop: Called after every step of training; training stops when it returns true.
    """

    experiment: Experiment
    store: EraStore
    kept: Path
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False
    _data: dict[str, TrainingData] = field(default_factory=dict)

    def data(self, recipe: Recipe) -> TrainingData:
        """Return the data of a recipe; recipes whose models read the same columns and history share them."""
        plan = self.experiment.resolve(recipe)
        models = [
            [one.owner.name, one.owner.feature_set, one.owner.label, one.owner.residual, plan.learned(one)]
            for one in plan.units
        ]
        needs = [registry.find(one.owner.kind).needs(one.owner) for one in plan.units]
        history = [[one.history, one.lookback, one.benchmark] for one in needs]
        prepared = [recipe.missing, recipe.normalize, recipe.engineered]
        key = json.dumps([plan.feature_set, plan.target, models, history, prepared])
        if key not in self._data:
            with self._lock("read"):
                targets = tuple(dict.fromkeys(name for one in needs for name in one.history))
                returns = self.experiment.returns(self.store, self.store.manifest.features, targets)
                data = select_training_data(self.store, returns, plan, self.experiment.metadata())
                self._data[key] = with_benchmarks(data, plan, self.experiment.data_folder)
        return self._data[key]

    def fit(self, recipe: Recipe, fold: Split, scratch: Path) -> Ensemble:
        """
        Return the ensemble of a recipe, fitted on a fold.

        Args:
            recipe: The recipe.
            fold: The fold.
            scratch: New folder for the models; the caller removes it.

        Raises:
            TrainingStopped: *should_stop* returned true; finished work is kept.
            TrainingDiverged: The loss of a network is not finite.
        """
        data, plan = self.data(recipe), self.experiment.resolve(recipe)
        folder = scratch / "judged"
        folder.mkdir(parents=True)
        for name, manifest in data.preprocesses.items():
            (folder / preprocess_file(name)).write_text(manifest.to_json(), encoding="utf-8")
        for unit in plan.units:
            job = self._job(data, recipe, unit, fold, scratch)
            with self._lock(fit_key(job)):
                fit_model(job, self.kept)
        return Ensemble(
            data=data.main,
            members=Members(folder, plan.members),
            models=data.models,
            weights={one.name: one.weight for one in recipe.members if one.weight},
            neutralizers=neutralizing_features(data, plan, self.experiment.metadata(), fold.train),
            proportion=recipe.neutralize,
            to_benchmark=recipe.to_benchmark,
        )

    def _job(self, data: TrainingData, recipe: Recipe, unit: Unit, fold: Split, scratch: Path) -> FitJob:
        """Return the fit of a model; one with early stopping stops inside the fold's training eras."""
        experiment = self.experiment
        train, validation = experiment.thinned(fold.train), fold.validation[:0]
        if registry.find(unit.owner.kind).needs(unit.owner).stops:
            split = experiment.stopping_split(data.main.store.eras, fold, data.main.targets)
            train, validation = split.train, split.validation
        return FitJob(
            unit=unit,
            data=data.models[unit.owner.name],
            train=train,
            validation=validation,
            resolved=(),
            every=recipe.every,
            half_life=recipe.half_life,
            judged=scratch / "judged",
            served=scratch / "judged",  # nothing is refitted
            checkpoints=self.kept.parent / "checkpoints",
            folds=self.kept.parent / "folds",
            corr_multiplier=recipe.corr_multiplier,
            mmc_multiplier=recipe.mmc_multiplier,
            device=experiment.device,
            report_progress=self.report_progress,
            should_stop=self.should_stop,
        )

    def _lock(self, name: str) -> FileLock:
        """Return a lock between the workers of this machine; the kernel frees the lock of a killed worker."""
        folder = self.kept.parent / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")
