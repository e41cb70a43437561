"""
Search for a better recipe: every trial is fitted walk-forward and scored on the chunks that follow.

Nothing is chosen on the eras of the promotion gate: hold-out and embargo are removed before the first fold. The value of
a trial is the mean payout of its ensemble over the folds less a penalty for their deviation, because a recipe that is
good in one period only will not be good in the next.
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
from bot.training.splits import Split, before_holdout, walk_forward
from bot.training.stacking import Stacker
from bot.training.training_set import TrainingSet
from bot.training.tree_fit import fit_trees, tree_key
from models.network.seeds import SeedAverage
from models.stopping import TrainingStopped
from models.training.training import TrainingDiverged
from models.trees.trees import TreeModel

REASON = "reason"
"""User attribute of a trial that was pruned for another reason than a low value."""

Floats = npt.NDArray[np.float64]
SearchedLoss = Literal["cross_entropy", "mse", "pearson"]
SEARCHED_LOSSES: tuple[SearchedLoss, ...] = get_args(SearchedLoss)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """
    Recipes that trials choose from.

    Attributes:
        base: Recipe at the centre of the ranges; options that are not searched keep its values.
        feature_sets: Feature sets of ``features.json`` to choose from.
        presets: Presets of trees to choose from.
    """

    base: Recipe
    feature_sets: tuple[str, ...]
    presets: tuple[str, ...]

    def recipe(self, trial: BaseTrial) -> Recipe:
        """
        Return the recipe that *trial* chooses; the parameters of a finished trial choose the same recipe again.

        Lags and embargo are not searched, because they follow from the horizons.
        """
        network = self.base.network
        # The history published for live rounds has no more eras than the base's lookback. 0 switches history off.
        lookbacks = sorted({0, network.lookback // 4, network.lookback // 2, network.lookback})
        lookback = int(trial.suggest_categorical("lookback", lookbacks)) if network.lookback else 0
        history = {"all": network.history_targets} | {
            f"{days}D": chosen
            for days in HORIZONS
            if 0
            < len(chosen := tuple(name for name in network.history_targets if horizon(name) == days))
            < len(network.history_targets)
        }
        searched = replace(
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
            loss=cast("SearchedLoss", trial.suggest_categorical("loss", SEARCHED_LOSSES)),
        )
        return replace(
            self.base,
            network=searched,
            gbm=str(trial.suggest_categorical("gbm", self.presets)),
            feature_set=str(trial.suggest_categorical("feature_set", self.feature_sets)),
            weights=self._weights(trial),
            weighting="fixed",
        )

    def _weights(self, trial: BaseTrial) -> tuple[tuple[str, float], ...]:
        """Return the weights of all members, rounded so that the recipe file is easy to read."""
        names = [name for name, _ in self.base.weights]
        if len(names) == 1:
            return self.base.weights
        raw = [trial.suggest_float(f"weight_{name}", 0.0, 1.0) for name in names]
        total = sum(raw)
        return tuple((name, round(one / total, 4) if total else 1.0) for name, one in zip(names, raw, strict=True))


@dataclass(kw_only=True)
class Tuning:
    """
    Objective and folds of a study.

    Attributes:
        experiment: Data, recipe and folds.
        space: Recipes to choose from.
        penalty: Number of standard deviations between folds that are subtracted from the mean.
        should_stop: Called after every step of training; training stops when it returns true.
    """

    experiment: Experiment
    space: SearchSpace
    penalty: float = 0.5
    should_stop: Callable[[], bool] = lambda: False
    _data: dict[tuple[object, ...], TrainingSet] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """Return the name of the study, which is the same for the same history, options and search space."""
        experiment = self.experiment
        content = {
            "eras": self.store.eras,
            "rows": self.store.offsets.tolist(),
            "version": experiment.data_version,
            "target": experiment.target,
            "bounds": [experiment.eras, experiment.every, experiment.chunk],
            "space": asdict(self.space),
            "penalty": self.penalty,
            "benchmark": bool(self.benchmark),
        }
        return f"tune-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]}"

    @cached_property
    def store(self) -> EraStore:
        """Return the newest era store; it stays open."""
        return self.experiment.store()

    @property
    def folder(self) -> Path:
        """Return the folder of unfinished networks and finished trees; trials share trees, so each is fitted once."""
        return self.experiment.state_dir / "tuning" / self.name

    def folds(self, data: TrainingSet) -> tuple[Split, ...]:
        """
        Return the walk-forward folds, which end an embargo before the hold-out.

        Raises:
            CannotSplit: There are too few eras.
        """
        experiment = self.experiment
        labelled = before_holdout(
            data.store.eras,
            labelled=data.store.labelled(experiment.target),
            targets=data.targets,
            holdout_eras=self.space.base.holdout_eras,
        )
        labelled[np.flatnonzero(labelled)[: -experiment.eras if experiment.eras else 0]] = False
        return walk_forward(data.store.eras, labelled=labelled, targets=data.targets, chunk=experiment.chunk)

    @cached_property
    def benchmark(self) -> Mapping[int, Floats]:
        """
        Return the benchmark model's predictions of every validated era, by position.

        Returns:
            Empty if an era lacks them: then every payout is that of CORR alone, so that trials and folds compare.
        """
        folds = self.folds(self.data(self.space.base))
        positions = [position for fold in folds for position in fold.validation]
        reference = ReferencePredictions.read(self._data_folder, self.store, positions, target=self.experiment.target)
        found = reference.by_era.get("bmc", {})
        return found if all(position in found for position in positions) else {}

    def data(self, recipe: Recipe) -> TrainingSet:
        """Return the training set of a recipe; recipes with the same features and history share one."""
        plan = self.experiment.resolve(recipe)
        key = (plan.feature_set, recipe.network.lookback, recipe.network.history_targets)
        if key not in self._data:
            chosen = replace(self.experiment, recipe=recipe, feature_set=plan.feature_set)
            with self._lock("read"):
                self._data[key] = chosen.read(self.store)
        return self._data[key]

    def objective(self, trial: optuna.Trial) -> float:
        """
        Fit and score the recipe of a trial, and return its value.

        Raises:
            TrialPruned: The value is low after some folds, or the recipe cannot be trained.
            Interrupted: *should_stop* returned true.
        """
        recipe = self.space.recipe(trial)
        data = self.data(recipe)
        folds = self.folds(data)
        payouts: list[float] = []
        for step, fold in enumerate(folds):
            self.experiment.report_progress(
                "tune", step / len(folds), f"trial {trial.number}, fold {step + 1} of {len(folds)}"
            )
            scratch = self.folder / f"trial-{trial.number}-{step}"
            try:
                series = self.payouts(data, recipe, fold, scratch)
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
            payouts.append(float(series.mean()))
            trial.report(self._value(payouts), step)
            if step + 1 < len(folds) and trial.should_prune():
                raise optuna.TrialPruned
        return self._value(payouts)

    def payouts(self, data: TrainingSet, recipe: Recipe, fold: Split, scratch: Path) -> Floats:
        """
        Fit the recipe's members on a fold, and return the payout of their ensemble in each validation era.

        Args:
            data: The recipe's training set.
            recipe: The recipe.
            fold: The fold.
            scratch: Folder for unfinished fits.

        Returns:
            NaN for an era in which a member is constant or the ensemble cannot be scored. Shape ``(eras,)``.
        """
        exposed = set(FeatureMetadata.read(self._data_folder / "features.json").members(recipe.exposed))
        neutralizers = [index for index, name in enumerate(data.manifest.features) if name in exposed]
        members = self._fit(data, recipe, fold, scratch)
        series = []
        for position in fold.validation:
            rows = data.prepared(position)
            try:
                predictions = ensemble(
                    members.predict(position),
                    dict(recipe.weights),
                    if_covered(self.benchmark.get(position)) if recipe.to_benchmark else rows.features[:, neutralizers],
                    proportion=recipe.neutralize,
                )
            except ValueError:
                series.append(math.nan)
                continue
            targets = data.target(position, self.experiment.target)
            pay = recipe.corr_multiplier * corr_table(predictions, targets)[0, 0]
            if self.benchmark:
                pay += recipe.mmc_multiplier * mmc_table(predictions, self.benchmark[position], targets)[0, 0]
            series.append(pay)
        return np.array(series)

    def winner(self, study: optuna.Study, name: str) -> Recipe:
        """
        Return the recipe of the best trial with a new *name*.

        Raises:
            OperatorNeeded: No trial is complete.
        """
        if not study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
            raise OperatorNeeded(f"no trial of {study.study_name} was completed; run `bot tune` again")
        chosen = self.experiment.resolve(self.space.recipe(optuna.trial.FixedTrial(study.best_params)))
        return replace(chosen.recipe, name=name, target=chosen.target, feature_set=chosen.feature_set)

    def _fit(self, data: TrainingSet, recipe: Recipe, fold: Split, scratch: Path) -> "_FittedMembers":
        """Fit every member of a recipe that has a weight."""
        main = self.experiment.target
        names = [name for name, weight in recipe.weights if weight]
        columns = {name: data.targets.index(member_target(name, main)) for name in names if is_network(name)}
        return _FittedMembers(
            data=data,
            network=self._network(data, recipe, fold, scratch) if columns else None,
            network_columns=columns,
            trees={
                name: self._trees(data, recipe, fold, target)
                for name, target in self.experiment.resolve(recipe).trees.items()
                if name in names
            },
        )

    def _network(self, data: TrainingSet, recipe: Recipe, fold: Split, scratch: Path) -> "_FittedNetwork":
        """Fit the network as a retrain does, with early stopping inside the fold's training eras."""
        experiment = self.experiment
        split = experiment.stopping_split(data.store.eras, fold, data.targets)
        scratch.mkdir(parents=True, exist_ok=True)
        if recipe.network.needs_benchmark:
            data = with_benchmark(data, self.store, self._data_folder, target=experiment.target)
        if recipe.network.stacked:
            stacker = Stacker(recipe=recipe, folds=scratch / "folds", checkpoints=scratch, should_stop=self.should_stop)
            data = stacker.stack(data, split.train, scratch)
        fitter = NetworkFitter(
            data=data,
            recipe=replace(recipe, refit=False),
            target=experiment.target,
            device=experiment.device,
            checkpoints=scratch / "checkpoints",
            should_stop=self.should_stop,
        )
        return _FittedNetwork(network=fitter.fit(split, ()).judged, data=data)

    def _trees(self, data: TrainingSet, recipe: Recipe, fold: Split, target: str) -> TreeModel:
        """Fit trees, or read those that another trial fitted on the same eras and features."""
        checkpoints, positions = self.folder / "trees", self.experiment.thinned(fold.train)
        with self._lock("trees"):
            fit_trees(
                data,
                positions,
                recipe,
                target,
                lambda _stage, _share, _note: None,
                checkpoints=checkpoints,
                should_stop=self.should_stop,
            )
        return TreeModel(checkpoints / "models" / f"{tree_key(data, positions, recipe, target)}.txt")

    def _lock(self, name: str) -> FileLock:
        """Return a lock between the workers of this machine; the kernel frees the lock of a killed worker."""
        folder = self.experiment.state_dir / "tuning"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    @property
    def _data_folder(self) -> Path:
        return self.experiment.state_dir / "data" / self.experiment.data_version

    def _value(self, payouts: Sequence[float]) -> float:
        """Return the value of a trial from the mean payouts of its folds."""
        return float(np.mean(payouts) - self.penalty * np.std(payouts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _FittedNetwork:
    """
    A fitted network.

    Attributes:
        network: The network.
        data: Rows with the inputs that it was fitted on, such as stacked predictions.
    """

    network: SeedAverage
    data: TrainingSet

    def predict(self, position: int) -> Floats:
        """Return the expected score of each target in an era. Shape ``(rows, T)``."""
        return expected_scores(self.network, self.data, position)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FittedMembers:
    """
    The fitted members of a recipe.

    Attributes:
        data: The recipe's training set.
        network: The network, if a member needs it.
        network_columns: Column of the network's predictions for each of its members.
        trees: Model of each tree member.
    """

    data: TrainingSet
    network: _FittedNetwork | None
    network_columns: Mapping[str, int]
    trees: Mapping[str, TreeModel]

    def predict(self, position: int) -> dict[str, Floats]:
        """Return the predictions of every member for an era. Shape ``(rows,)`` each."""
        rows = self.data.prepared(position)
        columns = () if self.network is None else self.network.predict(position).T
        return {name: columns[column] for name, column in self.network_columns.items()} | {
            name: model.predict(rows.features, rows.engineered) for name, model in self.trees.items()
        }


def _around(size: int) -> list[int]:
    """Return half the size, the size and twice the size."""
    return sorted({max(size // 2, 1), size, 2 * size})
