"""Fit the models of a recipe on a walk-forward fold, as a retrain fits them; equal fits are used again."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from filelock import FileLock

from bot.data.era_store import EraStore
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import OperatorNeeded
from bot.judging.judge import Ensemble, find_weights
from bot.members import registry
from bot.members.fitting import FitJob
from bot.members.member import Unit
from bot.research.experiment import Experiment
from bot.serving.scorer import Members, preprocess_file
from bot.system.progress import ProgressCallback
from bot.training.benchmark_labels import with_benchmarks
from bot.training.fits import fit_key, fit_model
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.splits import Split
from bot.training.training_data import (
    TooFewChosen,
    TrainingData,
    chosen_eras,
    left_out_targets,
    neutralizing_features,
    select_training_data,
    without_targets,
)

log = structlog.get_logger()

KEPT_S = 14 * 86400.0
"""Seconds for which the state of a fit is kept, so that an interrupted study goes on."""

KEPT_BYTES = 2 << 30
"""Bytes that states of fits may take, without the few Datasets of the trees."""


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
    _plans: dict[str, ResolvedRecipe] = field(default_factory=dict)
    _left_out: int = 0

    def plan(self, recipe: Recipe) -> ResolvedRecipe:
        """
        Return a recipe as a retrain takes it: with the pins of the experiment, without auxiliary targets that the data lack.

        Raises:
            SchemaMismatch: The data lack the main target, or the target of every member.
        """
        if recipe.digest not in self._plans:
            plan = self.experiment.resolve(recipe)
            absent = left_out_targets(plan, self.store.manifest.targets)
            self._plans[recipe.digest] = without_targets(plan, absent)
        return self._plans[recipe.digest]

    def data(self, recipe: Recipe) -> TrainingData:
        """Return the data of a recipe; recipes whose models read the same columns and history share them."""
        plan = self.plan(recipe)
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
        Return the ensemble of a recipe, fitted on a fold; see :meth:`can_fit`.

        Args:
            recipe: The recipe.
            fold: The fold.
            scratch: New folder for the models; the caller removes it.

        Raises:
            TrainingStopped: *should_stop* returned true; finished work is kept.
            TrainingDiverged: The loss of a network is not finite.
        """
        data, plan = self.data(recipe), self.plan(recipe)
        recipe, folder = plan.recipe, scratch / "judged"
        folder.mkdir(parents=True)
        for name, manifest in data.preprocesses.items():
            (folder / preprocess_file(name)).write_text(manifest.to_json(), encoding="utf-8")
        for unit in plan.units:
            job = self._job(data, recipe, unit, fold, scratch)
            key = fit_key(job)
            with self._lock(key):
                fit_model(job, self.kept, key=key)
        self._remove_unused()
        model = Ensemble(
            data=data.main,
            members=Members(folder, plan.members),
            models=data.models,
            weights={one.name: one.weight for one in recipe.members if one.weight},
            neutralizers=neutralizing_features(data, plan, self.experiment.metadata(), fold.train),
            proportion=recipe.neutralize,
            to_benchmark=recipe.to_benchmark,
        )
        return model if recipe.weighting == "fixed" else replace(model, weights=self._weights(model, recipe, fold))

    def usable(self, recipes: Sequence[Recipe], folds: Sequence[Split]) -> tuple[Split, ...]:
        """
        Return the folds in which each of some recipes can be fitted, so that all are scored in the same eras.

        Raises:
            OperatorNeeded: There is none.
        """
        found = tuple(fold for fold in folds if all(self.can_fit(one, fold) for one in recipes))
        if not found:
            names = ", ".join(one.name for one in recipes)
            raise OperatorNeeded(
                f"none of {len(folds)} folds has training eras of all of {names}: each ends before a first_era or before the"
                " benchmark model; take more --eras, or a smaller --chunk"
            )
        left_out = len(folds) - len(found)
        if left_out > self._left_out:  # each trial of a study asks again
            log.warning("experiment.folds_left_out", count=left_out, reason="a recipe has no training eras in them")
        self._left_out = left_out
        return found

    def can_fit(self, recipe: Recipe, fold: Split) -> bool:
        """
        Return whether each model of a recipe has eras to learn from and to stop on in a fold.

        Early folds may end before the recipe's first era, or before the benchmark model that its members need.

        Raises:
            CannotSplit: The fold is too short for early stopping, whatever the recipe.
        """
        data, plan = self.data(recipe), self.plan(recipe)
        for unit in plan.units:
            try:
                train, validation = self._eras(data, plan.recipe, unit, fold)
            except TooFewChosen:
                return False
            covered = data.models[unit.owner.name].benchmark
            if covered is not None and not all(
                any(one in covered for one in block) for block in (train, validation) if block
            ):
                return False
        return True

    def _weights(self, model: Ensemble, recipe: Recipe, fold: Split) -> dict[str, float]:
        """Return the weights that the recipe's rule finds on eras that no model was trained on, as a retrain does."""
        experiment = self.experiment
        positions = experiment.stopping_split(self.store.eras, fold, model.data.targets).validation
        reference = ReferencePredictions.read(experiment.data_folder, self.store, positions, target=experiment.target)
        return find_weights(model, positions, recipe, target=experiment.target, reference=reference)

    def _job(self, data: TrainingData, recipe: Recipe, unit: Unit, fold: Split, scratch: Path) -> FitJob:
        """Return the fit of a model."""
        experiment = self.experiment
        train, validation = self._eras(data, recipe, unit, fold)
        return FitJob(
            unit=unit,
            data=data.models[unit.owner.name],
            train=train,
            validation=validation,
            resolved=(),
            every=experiment.every,
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

    def _eras(
        self, data: TrainingData, recipe: Recipe, unit: Unit, fold: Split
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """
        Return the eras that a model of a fold is trained on, and those that it stops on.

        The newest of the fold's training eras are left out for early stopping, and to find the weights of the members.

        Raises:
            CannotSplit: They are too few.
        """
        experiment, eras = self.experiment, data.main.store.eras
        train, validation = experiment.thinned(fold.train), fold.validation[:0]
        stops = registry.find(unit.owner.kind).needs(unit.owner).stops
        if stops or recipe.weighting != "fixed":
            split = experiment.stopping_split(eras, fold, data.main.targets)
            train, validation = split.train, split.validation if stops else validation
        # The recipe counts its newest eras at its own distance, and the experiment takes others of the same time.
        own = [position for position in fold.train if position <= train[-1]][:: -recipe.every][::-1]
        oldest = chosen_eras(own, eras, recipe)[0]
        return tuple(position for position in train if position >= oldest), validation

    def _remove_unused(self) -> None:
        """Remove states of networks and finished trees that are old, and the oldest ones beyond the bytes they may take."""
        folder, total = self.kept.parent / "checkpoints", 0
        found = []
        for pattern in ("*.pt", "models/*", "snapshots/*/*"):
            for path in folder.glob(pattern):
                with suppress(FileNotFoundError):  # another worker has removed it
                    found.append((path.stat().st_mtime, path.stat().st_size, path))
        for written, size, path in sorted(found, reverse=True):
            total += size
            if total > KEPT_BYTES or written < time.time() - KEPT_S:
                path.unlink(missing_ok=True)

    def _lock(self, name: str) -> FileLock:
        """Return a lock between the workers of this machine; the kernel frees the lock of a killed worker."""
        folder = self.kept.parent / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")
