"""
E1, the ablation experiment: the gain by each input of the network, on the same folds and with the same seeds.

Every variant is trained walk-forward as a retrain trains it, with early stopping inside the fold's training eras, and
scored on the chunk that follows. Variants are compared era by era, because an era is easy or difficult for all of them.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.data.reference_predictions import ReferencePredictions
from bot.errors import CannotSplit, OperatorNeeded
from bot.members.network.fit import NetworkFitter, expected_scores
from bot.members.network.options import NetworkOptions
from bot.members.network.validation_score import ValidationScore
from bot.members.tree_fit import fit_trees
from bot.research.experiment import Experiment, ExperimentResults
from bot.scoring.bootstrap import TooFewEras
from bot.scoring.metrics import bmc, corr
from bot.scoring.paired_comparison import Difference, ModelSummary, paired_differences
from bot.system.progress import ProgressCallback
from bot.tournament.columns import HISTORY_LAG, horizon
from bot.training.splits import Split
from bot.training.training_set import TrainingSet
from models.inference.ensemble import gaussianize
from models.training.training import TrainingDiverged
from models.trees.trees import TreeModel

TREES = "LightGBM"
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "MLP": {"mixing": "none", "heads": False, "z": False, "x": False},
    "s": {"mixing": "row", "heads": False, "z": False, "x": False},
    "s + heads": {"mixing": "row", "heads": True, "z": False, "x": False},
    "s + heads + z": {"mixing": "row", "heads": True, "z": True, "x": False},
    "s + heads + z + x": {"mixing": "row", "heads": True, "z": True, "x": True},
    "by era": {"mixing": "era", "heads": True, "z": True, "x": True},
}
"""Variants of the network: their body, and whether they have heads for all targets, predictions z and history x."""

STEPS = (
    ("s", "MLP"),
    ("s + heads", "s"),
    ("s + heads + z", "s + heads"),
    ("s + heads + z + x", "s + heads + z"),
    ("by era", "s + heads + z + x"),
    ("MLP", TREES),
    ("s + heads + z", TREES),
    ("s + heads + z + x", TREES),
    ("by era", TREES),
)
"""Comparisons: a variant, and the one it is compared with."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class E1:
    """
    Result of the ablation experiment; the folder of ``path`` has the scores of every era.

    Attributes:
        target: Target of CORR.
        feature_set: Feature set.
        recipe: Name of the recipe.
        seeds: Number of seeds of a network.
        folds: Number of scored folds.
        rungs: Scores of LightGBM and of every variant.
        differences: Comparisons of :data:`STEPS`.
        seconds: Wall time.
        path: Path of this result as JSON.
    """

    target: str
    feature_set: str
    recipe: str
    seeds: int
    folds: int
    rungs: tuple[ModelSummary, ...]
    differences: tuple[Difference, ...]
    seconds: float
    path: Path


def e1(experiment: Experiment, *, benchmark: Mapping[int, Floats] | None = None) -> E1:
    """
    Train and compare all variants; parts that an earlier run finished are read, and interrupted fits continue.

    The first fold trains trees alone. Their predictions of its chunk are the z of the following folds.

    Args:
        experiment: Data, recipe and folds.
        benchmark: Predictions for BMC by position of the era, NaN for rows without one; by default those of the synced
            benchmark models.

    Raises:
        OperatorNeeded: Nothing was synced, there are too few eras, the recipe has no history, or a network's loss is
            not finite.
        SchemaMismatch: The data lack columns that the recipe or the settings name.
    """
    began = time.perf_counter()
    store = experiment.store()
    data = experiment.read(store)
    recipe, target = experiment.recipe, experiment.target
    network = experiment.network
    if network is None or data.returns is None:
        raise OperatorNeeded(f"recipe {recipe.name!r} has no history to try; choose one with a lookback")
    folds = experiment.folds(data, least=2)
    if benchmark is None:
        validated = [position for fold in folds[1:] for position in fold.validation]
        folder = experiment.state_dir / "data" / experiment.data_version
        benchmark = ReferencePredictions.read(folder, store, validated, target=target).by_era.get("bmc", {})
    results = experiment.results("e1", store, benchmark=sorted(benchmark))
    variants = _Variants(
        experiment=experiment, data=data, folds=folds, results=results, benchmark=benchmark, network=network
    )
    scores = {name: variants.scores(name) for name in (TREES, *NETWORKS)}
    try:
        result = E1(
            target=target,
            feature_set=experiment.feature_set,
            recipe=recipe.name,
            seeds=network.seeds,
            folds=len(folds) - 1,
            rungs=tuple(ModelSummary.of(name, series) for name, series in scores.items()),
            differences=paired_differences(scores, STEPS, lag=HISTORY_LAG[horizon(target)]),
            seconds=time.perf_counter() - began,
            path=results.path,
        )
    except TooFewEras as error:
        raise OperatorNeeded(f"{error}; sync more history, or choose a smaller --chunk or more --eras") from None
    results.write(result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variants:
    """
    Fits and scores of LightGBM and of the network's variants.

    Attributes:
        experiment: The experiment.
        data: The recipe's training set.
        folds: Walk-forward folds.
        results: Finished parts.
        benchmark: Predictions for BMC, by position of the era.
        network: Options of the recipe's network.
        stacked: Known stacked predictions, by position of the era.
    """

    experiment: Experiment
    data: TrainingSet
    folds: Sequence[Split]
    results: ExperimentResults
    benchmark: Mapping[int, Floats]
    network: NetworkOptions
    stacked: dict[int, npt.NDArray[np.float32] | None] = field(default_factory=dict)

    def scores(self, name: str) -> dict[str, Floats]:
        """Return CORR and BMC of a variant in all validated eras; unfinished folds are fitted first."""
        parts = [
            self.results.part(f"{name.replace(' ', '')}-{number}", partial(self._fold_scores, name, number))
            for number in range(1, len(self.folds))
        ]
        return {
            score: np.array([value for part in parts for value in part[score]], dtype=np.float64)
            for score in ("CORR", "BMC")
        }

    def _fold_scores(self, name: str, number: int) -> dict[str, list[float]]:
        """Fit a variant on one fold and score its chunk."""
        fold, target = self.folds[number], self.experiment.target
        if name == TREES:
            trees = self._trees(number, target)
            predictions = {position: self._predict(trees, position) for position in fold.validation}
        else:
            predictions = self._network_predictions(name, number)
        scores: dict[str, list[float]] = {"CORR": [], "BMC": []}
        for position, values in predictions.items():
            targets = self.data.target(position, target).astype(np.float64)
            scores["CORR"].append(corr(values, targets))
            benchmark = self.benchmark.get(position, np.full(len(values), np.nan))
            both = np.isfinite(benchmark) & np.isfinite(targets)
            scores["BMC"].append(bmc(values[both], benchmark[both], targets[both]))
        return scores

    def _trees(self, number: int, target: str) -> TreeModel:
        """Return the trees of one fold and target."""
        experiment, positions = self.experiment, self.experiment.thinned(self.folds[number].train)
        report_progress = self._fold_progress(TREES, number)
        path = self.results.text_part(
            f"trees-{number}-{target}.txt",
            lambda: fit_trees(self.data, positions, experiment.trees, target, report_progress),
        )
        return TreeModel(path)

    def _predict(self, trees: TreeModel, position: int) -> Floats:
        rows = self.data.prepared(position)
        return trees.predict(rows.features, rows.engineered)

    def _stacked(self, position: int) -> npt.NDArray[np.float32] | None:
        """
        Return z of an era: predictions by the trees of the fold that validates on it, which were not trained on it.

        Returns:
            One column for each target, ``None`` for an era that no fold validates on. Shape ``(rows, T)``.
        """
        if position not in self.stacked:
            number = next((n for n, fold in enumerate(self.folds) if position in fold.validation), None)
            if number is None:
                return None
            models = [self._trees(number, target) for target in self.data.targets]
            for one in self.folds[number].validation:
                columns = [gaussianize(self._predict(trees, one)) for trees in models]
                self.stacked[one] = np.column_stack(columns).astype(np.float32)
        return self.stacked.get(position)

    def _network_predictions(self, name: str, number: int) -> dict[int, Floats]:
        """Fit a network variant as a retrain does, and predict the fold's chunk, by position of the era."""
        experiment, fold, variant = self.experiment, self.folds[number], NETWORKS[name]
        data = replace(
            self.data,
            targets=self.data.targets if variant["heads"] else (experiment.target,),
            returns=self.data.returns if variant["x"] else None,
            lookback=self.data.lookback if variant["x"] else 0,
            predictions=self._stacked if variant["z"] else None,
        )
        # The variants differ in their inputs alone: all learn the targets.
        network = replace(self.network, mixing=variant["mixing"], benchmark_penalty=0.0, stop_on="corr")
        checkpoints = self.results.folder / f"fit-{name.replace(' ', '')}-{number}"
        fitter = NetworkFitter(
            data=data,
            options=network,
            target=experiment.target,
            score=ValidationScore(name="corr"),
            device=experiment.device,
            checkpoints=checkpoints,
            report_progress=self._fold_progress(name, number),
        )
        try:
            split = experiment.stopping_split(data.store.eras, fold, self.data.targets)
        except CannotSplit as error:
            raise CannotSplit(f"fold {number + 1}: {error}; choose a larger --chunk or more --eras") from None
        try:
            resolved = experiment.thinned(fold.train) if experiment.recipe.refit else ()
            fitted = fitter.fit(split.train, split.validation, resolved)
        except TrainingDiverged as error:
            raise OperatorNeeded(f"{name}, fold {number + 1}: {error}; choose a recipe that learns slower") from None
        column = data.targets.index(experiment.target)
        predictions = {
            position: expected_scores(fitted.served, data, position)[:, column] for position in fold.validation
        }
        shutil.rmtree(checkpoints, ignore_errors=True)
        return predictions

    def _fold_progress(self, name: str, number: int) -> ProgressCallback:
        """Return a callback that reports the progress of one fit as a share of the whole experiment."""

        def report_progress(stage: str, share: float, note: str) -> None:
            names, folds = (TREES, *NETWORKS), len(self.folds) - 1
            done = names.index(name) * folds + number - 1 + share
            self.experiment.report_progress(
                stage, max(done, 0.0) / len(names) / folds, f"{name}, fold {number + 1}: {note}"
            )

        return report_progress
