"""
Look for a better recipe: many trials, each fitted walk-forward and judged on the chunks that follow.

Nothing is chosen on the eras of the promotion gate: hold-out and embargo are cut off before the first fold is made. A
trial is worth what its ensemble is paid per era, mean over the folds less a penalty for how much they differ, since
what is good in one period only will not be good in the next.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import optuna
from filelock import FileLock
from optuna.trial import BaseTrial

from bot.data.era_store import EraStore
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import OperatorNeeded
from bot.features.feature_sets import FeatureMetadata
from bot.research.experiment import Experiment
from bot.research.trial_worker import Interrupted
from bot.scoring.coverage import if_covered
from bot.scoring.metrics import corr_table, mmc_table
from bot.serving.names import is_network, member_target
from bot.serving.scorer import ensemble
from bot.tournament.columns import HORIZONS, horizon
from bot.training.benchmark_labels import with_benchmark
from bot.training.network_fit import NetworkFitter, expected_scores
from bot.training.recipes import Recipe
from bot.training.splits import Split, before_holdout, holdout, stopping_eras, walk_forward
from bot.training.stacking import Stacker
from bot.training.training_set import TrainingSet
from bot.training.tree_fit import fit_trees, tree_key
from models.network.seeds import SeedAverage
from models.stopping import TrainingStopped
from models.training.training import TrainingDiverged
from models.trees.trees import TreeModel

REASON = "reason"
"""Why a trial was pruned, where it was not for being worse than others."""

Floats = npt.NDArray[np.float64]
Loss = Literal["cross_entropy", "mse", "pearson"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """
    Where to look.

    Attributes:
        base: The recipe in the middle; what is not named here stays as it is there.
        feature_sets: Of ``features.json``, to choose from.
        presets: Of trees, to choose from.
    """

    base: Recipe
    feature_sets: tuple[str, ...]
    presets: tuple[str, ...]

    def recipe(self, trial: BaseTrial) -> Recipe:
        """
        Return the recipe that *trial* chooses; a finished one's parameters choose the same again.

        The lookback goes no further than the base's, since what is published for live rounds does not either; 0 is an
        honest answer, too. Lags and embargo are no choice: they follow from the horizons.
        """
        network = self.base.network
        lookbacks = sorted({0, network.lookback // 4, network.lookback // 2, network.lookback})
        lookback = int(trial.suggest_categorical("lookback", lookbacks)) if network.lookback else 0
        history = {"all": network.history_targets} | {
            f"{days}D": chosen
            for days in HORIZONS
            if 0
            < len(chosen := tuple(name for name in network.history_targets if horizon(name) == days))
            < len(network.history_targets)
        }
        tried = replace(
            network,
            lookback=lookback,
            history_targets=history[str(trial.suggest_categorical("history_targets", list(history)))],
            hidden=int(trial.suggest_categorical("hidden", _around(network.hidden))),
            feed_forward=int(trial.suggest_categorical("feed_forward", _around(network.feed_forward))),
            blocks=trial.suggest_int("blocks", 1, 2 * network.blocks),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            learning_rate=trial.suggest_float(
                "learning_rate", network.learning_rate / 10, network.learning_rate * 10, log=True
            ),
            weight_decay=trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
            loss=cast("Loss", trial.suggest_categorical("loss", LOSSES)),
        )
        return replace(
            self.base,
            network=tried,
            gbm=str(trial.suggest_categorical("gbm", self.presets)),
            feature_set=str(trial.suggest_categorical("feature_set", self.feature_sets)),
            weights=self._weights(trial),
            weighting="fixed",
        )

    def _weights(self, trial: BaseTrial) -> tuple[tuple[str, float], ...]:
        """Return a share of every member; rounded, so that the recipe's file can be read."""
        names = [name for name, _ in self.base.weights]
        if len(names) == 1:
            return self.base.weights
        raw = [trial.suggest_float(f"weight_{name}", 0.0, 1.0) for name in names]
        total = sum(raw)
        return tuple((name, round(one / total, 4) if total else 1.0) for name, one in zip(names, raw, strict=True))


@dataclass(kw_only=True)
class Tuning:
    """
    The question that all trials of a study answer.

    Attributes:
        experiment: Data, recipe and bounds.
        space: What may be changed.
        penalty: Deviations between folds that are taken off the mean.
        should_stop: Asked after every step of training.
    """

    experiment: Experiment
    space: SearchSpace
    penalty: float = 0.5
    should_stop: Callable[[], bool] = lambda: False
    _data: dict[tuple[object, ...], TrainingSet] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """Return what the study is called: the same on every machine that asks the same of the same history."""
        lab = self.experiment
        asked = {
            "eras": self.store.eras,
            "rows": self.store.offsets.tolist(),
            "version": lab.data_version,
            "target": lab.target,
            "bounds": [lab.eras, lab.every, lab.chunk],
            "space": asdict(self.space),
            "penalty": self.penalty,
            "benchmark": bool(self.benchmark),
        }
        return f"tune-{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]}"

    @cached_property
    def store(self) -> EraStore:
        """Return the era store, opened once."""
        return self.experiment.store()

    @property
    def folder(self) -> Path:
        """Return where unfinished networks and finished trees are kept; trees that trials share are fitted once."""
        return self.experiment.state_dir / "tuning" / self.name

    def folds(self, data: TrainingSet) -> tuple[Split, ...]:
        """
        Return the walk-forward folds, none of which touches the hold-out.

        Raises:
            CannotSplit: There are too few eras.
        """
        lab = self.experiment
        labelled = before_holdout(
            data.store.eras,
            labelled=data.store.labelled(lab.target),
            targets=data.targets,
            holdout_eras=self.space.base.holdout_eras,
        )
        labelled[np.flatnonzero(labelled)[: -lab.eras if lab.eras else 0]] = False
        return walk_forward(data.store.eras, labelled=labelled, targets=data.targets, chunk=lab.chunk)

    @cached_property
    def benchmark(self) -> Mapping[int, Floats]:
        """
        Return the benchmark model's predictions of every validated era, by position.

        Empty where one era lacks them: then CORR alone is paid in all of them, so that trials and folds compare.
        """
        lab = self.experiment
        folds = self.folds(self.data(self.space.base))
        positions = [position for fold in folds for position in fold.validation]
        reference = ReferencePredictions.read(self._data_folder, self.store, positions, target=lab.target)
        found = reference.by_era.get("bmc", {})
        return found if all(position in found for position in positions) else {}

    def data(self, recipe: Recipe) -> TrainingSet:
        """Return the training set of a recipe; trials that differ in sizes only share one."""
        plan = self.experiment.resolve(recipe)
        key = (plan.feature_set, recipe.network.lookback, recipe.network.history_targets)
        if key not in self._data:
            chosen = replace(self.experiment, recipe=recipe, feature_set=plan.feature_set)
            with self._alone("read"):
                self._data[key] = chosen.read(self.store)
        return self._data[key]

    def objective(self, trial: optuna.Trial) -> float:
        """
        Return what a trial is worth.

        Raises:
            TrialPruned: It is worse than others after some folds, or cannot be trained.
            Interrupted: *should_stop* said so.
        """
        recipe = self.space.recipe(trial)
        data = self.data(recipe)
        folds = self.folds(data)
        paid: list[float] = []
        for step, fold in enumerate(folds):
            self.experiment.report_progress(
                "tune", step / len(folds), f"trial {trial.number}, fold {step + 1} of {len(folds)}"
            )
            scratch = self.folder / f"trial-{trial.number}-{step}"
            try:
                series = self.pay(data, recipe, fold, scratch)
            except TrainingStopped:
                raise Interrupted from None
            except TrainingDiverged as error:
                trial.set_user_attr(REASON, str(error))
                raise optuna.TrialPruned from None
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            if not np.isfinite(series).all():
                trial.set_user_attr(REASON, "predictions of an era are constant")
                raise optuna.TrialPruned
            paid.append(float(series.mean()))
            trial.report(self._worth(paid), step)
            if step + 1 < len(folds) and trial.should_prune():
                raise optuna.TrialPruned
        return self._worth(paid)

    def pay(self, data: TrainingSet, recipe: Recipe, fold: Split, scratch: Path) -> Floats:
        """
        Fit the recipe's members on a fold and return what their ensemble is paid in each era of its validation.

        An era that cannot be blended, because a member is constant, or that cannot be scored is NaN.
        """
        chosen = set(FeatureMetadata.read(self._data_folder / "features.json").members(recipe.exposed))
        neutralizers = [index for index, name in enumerate(data.manifest.features) if name in chosen]
        predict = self._members(data, recipe, fold, scratch)
        series = []
        for position in fold.validation:
            rows = data.prepared(position)
            try:
                said = ensemble(
                    predict(position),
                    dict(recipe.weights),
                    if_covered(self.benchmark.get(position)) if recipe.to_benchmark else rows.features[:, neutralizers],
                    proportion=recipe.neutralize,
                )
            except ValueError:
                series.append(math.nan)
                continue
            truth = data.target(position, self.experiment.target)
            pay = recipe.corr_multiplier * corr_table(said, truth)[0, 0]
            if self.benchmark:
                pay += recipe.mmc_multiplier * mmc_table(said, self.benchmark[position], truth)[0, 0]
            series.append(pay)
        return np.array(series)

    def winner(self, study: optuna.Study, name: str) -> Recipe:
        """
        Return the recipe of the best trial, under a name of its own.

        Raises:
            OperatorNeeded: No trial was completed.
        """
        if not study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
            raise OperatorNeeded(f"no trial of {study.study_name} was completed; run `bot tune` again")
        chosen = self.experiment.resolve(self.space.recipe(optuna.trial.FixedTrial(study.best_params)))
        return replace(chosen.recipe, name=name, target=chosen.target, feature_set=chosen.feature_set)

    def _members(
        self, data: TrainingSet, recipe: Recipe, fold: Split, scratch: Path
    ) -> Callable[[int], dict[str, Floats]]:
        """Fit every member and return what predicts an era with them."""
        lab = self.experiment
        names = [name for name, weight in recipe.weights if weight]
        networks = {name: data.targets.index(member_target(name, lab.target)) for name in names if is_network(name)}
        fitted, seen = self._network(data, recipe, fold, scratch) if networks else (None, data)
        trees = {
            name: self._trees(data, recipe, fold, target)
            for name, target in self.experiment.resolve(recipe).trees.items()
            if name in names
        }

        def predict(position: int) -> dict[str, Floats]:
            rows = data.prepared(position)
            answers = {} if fitted is None else dict(enumerate(expected_scores(fitted, seen, position).T))
            return {name: answers[column] for name, column in networks.items()} | {
                name: model.predict(rows.features, rows.engineered) for name, model in trees.items()
            }

        return predict

    def _network(
        self, data: TrainingSet, recipe: Recipe, fold: Split, scratch: Path
    ) -> tuple[SeedAverage, TrainingSet]:
        """Fit the network as a retrain would, early stopping inside the fold's own training eras."""
        lab = self.experiment
        labelled = np.zeros(len(data.store.eras), dtype=bool)
        labelled[list(fold.train)] = True
        inner = holdout(
            data.store.eras,
            labelled=labelled,
            targets=data.targets,
            validation_eras=stopping_eras(len(fold.train)),
            every=lab.every,
        )
        scratch.mkdir(parents=True, exist_ok=True)
        if recipe.network.labels == "benchmark_residual":
            data = with_benchmark(data, self.store, self._data_folder, target=lab.target)
        if recipe.network.stacked:
            stacker = Stacker(recipe=recipe, folds=scratch / "folds", checkpoints=scratch, should_stop=self.should_stop)
            data = stacker.stack(data, inner.train, scratch)
        fitter = NetworkFitter(
            data=data,
            recipe=replace(recipe, refit=False),
            target=lab.target,
            device=lab.device,
            checkpoints=scratch / "checkpoints",
            should_stop=self.should_stop,
        )
        return fitter.fit(inner, ()).judged, data

    def _trees(self, data: TrainingSet, recipe: Recipe, fold: Split, target: str) -> TreeModel:
        """Fit trees, or read those that another trial fitted on the same eras and features."""
        kept, positions = self.folder / "trees", self.experiment.thinned(fold.train)
        with self._alone("trees"):
            fit_trees(
                data,
                positions,
                recipe,
                target,
                lambda _stage, _share, _note: None,
                checkpoints=kept,
                should_stop=self.should_stop,
            )
        return TreeModel(kept / "models" / f"{tree_key(data, positions, recipe, target)}.txt")

    def _alone(self, what: str) -> FileLock:
        """Return a lock among the workers of this machine; the kernel frees that of a killed one."""
        folder = self.experiment.state_dir / "tuning"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{what}.lock")

    @property
    def _data_folder(self) -> Path:
        return self.experiment.state_dir / "data" / self.experiment.data_version

    def _worth(self, paid: Sequence[float]) -> float:
        return float(np.mean(paid) - self.penalty * np.std(paid))


def _around(size: int) -> list[int]:
    return sorted({max(size // 2, 1), size, 2 * size})
