"""
E1, the ladder: what does each input of the network add, on the same folds, with the same seeds?

Every rung is trained walk-forward as a retrain would train it, early stopping inside its own training eras, and scored
on the chunk that follows. Rungs are compared era by era, because the eras of a chunk are hard or easy for all of them.
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
from bot.research.experiment import Experiment, ExperimentResults
from bot.scoring.bootstrap import TooFewEras
from bot.scoring.metrics import bmc, corr
from bot.scoring.paired_comparison import Difference, ModelSummary, paired_differences
from bot.system.progress import ProgressCallback
from bot.tournament.columns import HISTORY_LAG, horizon
from bot.training.network_fit import NetworkFitter, expected_scores
from bot.training.recipes import NetworkRecipe
from bot.training.splits import Split, holdout, stopping_eras
from bot.training.training_set import TrainingSet
from bot.training.tree_fit import fit_trees
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
"""What each rung is: its body, and whether it has heads for all targets, predictions z, and history x."""

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
"""Which rung is compared with which."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class E1:
    """What the ladder found; the series behind it lie beside its ``path``."""

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
    Climb the ladder; a rung of a fold that is finished is kept, one that was interrupted goes on from its checkpoint.

    The first fold trains trees alone: their predictions of its chunk are the z of the folds that follow.

    Args:
        experiment: Data, recipe and bounds.
        benchmark: Predictions to which BMC is measured, by position of the era, NaN where a row has none; by default
            those of the synced benchmark models.

    Raises:
        OperatorNeeded: Nothing was synced, there are too few eras, the recipe has no history, or a
            network's loss is not finite.
        SchemaMismatch: The data lack what the recipe or the settings name.
    """
    began = time.perf_counter()
    lab, store = experiment, experiment.store()
    data = lab.read(store)
    if data.returns is None:
        raise OperatorNeeded(f"recipe {lab.recipe.name!r} has no history to try; choose one with a lookback")
    folds = lab.folds(data, least=2)
    if benchmark is None:
        validated = [position for fold in folds[1:] for position in fold.validation]
        home = lab.state_dir / "data" / lab.data_version
        benchmark = ReferencePredictions.read(home, store, validated, target=lab.target).by_era.get("bmc", {})
    results = lab.results("e1", store, benchmark=sorted(benchmark))
    climb = _Climb(lab=lab, data=data, folds=folds, results=results, benchmark=benchmark)
    found = {name: climb.series(name) for name in (TREES, *NETWORKS)}
    try:
        result = E1(
            target=lab.target,
            feature_set=lab.feature_set,
            recipe=lab.recipe.name,
            seeds=lab.recipe.network.seeds,
            folds=len(folds) - 1,
            rungs=tuple(ModelSummary.of(name, scores) for name, scores in found.items()),
            differences=paired_differences(found, STEPS, lag=HISTORY_LAG[horizon(lab.target)]),
            seconds=time.perf_counter() - began,
            path=results.result,
        )
    except TooFewEras as error:
        raise OperatorNeeded(f"{error}; sync more history, or choose a smaller --chunk or more --eras") from None
    results.conclude(result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Climb:
    lab: Experiment
    data: TrainingSet
    folds: Sequence[Split]
    results: ExperimentResults
    benchmark: Mapping[int, Floats]
    predicted: dict[int, npt.NDArray[np.float32] | None] = field(default_factory=dict)

    def series(self, name: str) -> dict[str, Floats]:
        """Return a rung's scores of all validated eras, fitting what is not finished."""
        pieces = [
            self.results.piece(f"{name.replace(' ', '')}-{number}", partial(self._scored, name, number))
            for number in range(1, len(self.folds))
        ]
        return {
            score: np.array([value for piece in pieces for value in piece[score]], dtype=np.float64)
            for score in ("CORR", "BMC")
        }

    def _scored(self, name: str, number: int) -> dict[str, list[float]]:
        """Fit one rung on one fold and score its chunk."""
        fold = self.folds[number]
        if name == TREES:
            trees = self._trees(number, self.lab.target)
            scores = {position: self._predict(trees, position) for position in fold.validation}
        else:
            scores = self._network(name, number)
        found: dict[str, list[float]] = {"CORR": [], "BMC": []}
        for position, said in scores.items():
            truth = self.data.target(position, self.lab.target).astype(np.float64)
            found["CORR"].append(corr(said, truth))
            benchmark = self.benchmark.get(position, np.full(len(said), np.nan))
            both = np.isfinite(benchmark) & np.isfinite(truth)
            found["BMC"].append(bmc(said[both], benchmark[both], truth[both]))
        return found

    def _trees(self, number: int, target: str) -> TreeModel:
        """Return the trees of one fold and target."""
        report_progress = self._fold_progress(TREES, number)
        path = self.results.text(
            f"trees-{number}-{target}.txt",
            lambda: fit_trees(
                self.data, self.lab.thinned(self.folds[number].train), self.lab.recipe, target, report_progress
            ),
        )
        return TreeModel(path)

    def _predict(self, trees: TreeModel, position: int) -> Floats:
        rows = self.data.prepared(position)
        return trees.predict(rows.features, rows.engineered)

    def _stacked(self, position: int) -> npt.NDArray[np.float32] | None:
        """Return z: what the trees of the fold whose chunk an era lies in predict of it, for they have not seen it."""
        if position not in self.predicted:
            number = next((n for n, fold in enumerate(self.folds) if position in fold.validation), None)
            if number is None:
                return None
            models = [self._trees(number, target) for target in self.data.targets]
            for one in self.folds[number].validation:
                columns = [gaussianize(self._predict(trees, one)) for trees in models]
                self.predicted[one] = np.column_stack(columns).astype(np.float32)
        return self.predicted.get(position)

    def _network(self, name: str, number: int) -> dict[int, Floats]:
        """Fit a network rung as a retrain would, and return its scores of the fold's chunk, era by era."""
        lab, fold, about = self.lab, self.folds[number], NETWORKS[name]
        data = replace(
            self.data,
            targets=self.data.targets if about["heads"] else (lab.target,),
            returns=self.data.returns if about["x"] else None,
            lookback=self.data.lookback if about["x"] else 0,
            predictions=self._stacked if about["z"] else None,
        )
        network: NetworkRecipe = replace(lab.recipe.network, mixing=about["mixing"])
        checkpoints = self.results.folder / f"fit-{name.replace(' ', '')}-{number}"
        fitter = NetworkFitter(
            data=data,
            recipe=replace(lab.recipe, network=network),
            target=lab.target,
            device=lab.device,
            checkpoints=checkpoints,
            report_progress=self._fold_progress(name, number),
        )
        labelled = np.zeros(len(data.store.eras), dtype=bool)
        labelled[list(fold.train)] = True
        try:
            inner = holdout(
                data.store.eras,
                labelled=labelled,
                targets=self.data.targets,
                validation_eras=stopping_eras(len(fold.train)),
                every=lab.every,
            )
        except CannotSplit as error:
            raise CannotSplit(f"fold {number + 1}: {error}; choose a larger --chunk or more --eras") from None
        try:
            fitted = fitter.fit(inner, lab.thinned(fold.train))
        except TrainingDiverged as error:
            raise OperatorNeeded(f"{name}, fold {number + 1}: {error}; choose a recipe that learns slower") from None
        scores = {
            position: expected_scores(fitted.served, data, position)[:, data.targets.index(lab.target)]
            for position in fold.validation
        }
        shutil.rmtree(checkpoints, ignore_errors=True)
        return scores

    def _fold_progress(self, name: str, number: int) -> ProgressCallback:
        def report_progress(stage: str, share: float, note: str) -> None:
            rungs = (TREES, *NETWORKS)
            done = rungs.index(name) * (len(self.folds) - 1) + number - 1 + share
            self.lab.report_progress(
                stage, max(done, 0.0) / len(rungs) / (len(self.folds) - 1), f"{name}, fold {number + 1}: {note}"
            )

        return report_progress
