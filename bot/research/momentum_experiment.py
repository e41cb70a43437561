"""
E0, the momentum experiment: test whether past feature returns predict future ones.

It needs no network and takes minutes of CPU. Its verdict decides whether the network's historical inputs are worth
their cost; :mod:`bot.research.factor_momentum` has the measurements and the limits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bot.errors import OperatorNeeded
from bot.features.preprocess import Prepared
from bot.history.factor_history import FeatureReturns
from bot.members.tree_fit import fit_trees
from bot.research.experiment import Experiment, ExperimentResults
from bot.research.factor_momentum import (
    HALF_LIVES,
    WEIGHTS,
    FoldScores,
    Gain,
    MomentumScore,
    Persistence,
    gains,
    judge_history,
    loadings,
    persistence,
)
from bot.scoring.bootstrap import TooFewEras
from bot.scoring.metrics import corr
from bot.system.progress import ProgressCallback
from bot.tournament.columns import horizon
from bot.training.splits import Split, embargo
from bot.training.training_set import TrainingSet
from models.bins import MIDDLE_BIN, MISSING_CATEGORY
from models.inference.ensemble import gaussianize
from models.trees.trees import TreeModel


@dataclass(frozen=True, slots=True, kw_only=True)
class E0:
    """
    Result of the momentum experiment.

    Attributes:
        target: Target of CORR.
        feature_set: Feature set.
        recipe: Recipe of the LightGBM.
        persistence: Lagged cosines by target and lag; lag 0 is the mean of all judged lags.
        baseline: Mean CORR of LightGBM alone, in the eras of the gains.
        gains: Gains of momentum scores beside LightGBM; the last two are the best on past folds, and its timing.
        go: Whether the network's history is worth its cost.
        sentence: The verdict with its numbers.
        seconds: Wall time of this call.
        path: Path of this result as JSON.
    """

    target: str
    feature_set: str
    recipe: str
    persistence: tuple[Persistence, ...]
    baseline: float
    gains: tuple[Gain, ...]
    go: bool
    sentence: str
    seconds: float
    path: Path


def e0(experiment: Experiment) -> E0:
    """
    Measure persistence, and the gain of factor momentum beside LightGBM, walk-forward; finished folds are kept.

    Raises:
        OperatorNeeded: Nothing was synced, or there are too few eras.
        SchemaMismatch: The data lack columns that the recipe or the settings name.
    """
    began = time.perf_counter()
    store = experiment.store()
    sources = _sources(experiment.target, store.manifest.targets)
    data = experiment.read(store)
    table = experiment.returns(store, data.manifest.features, sources)
    scores = tuple(MomentumScore(target=name, half_life=life) for name in sources for life in HALF_LIVES)
    folds = experiment.folds(data, least=2)
    results = experiment.results("e0", store)
    walk = _WalkForward(experiment=experiment, results=results, data=data, table=table, scores=scores, folds=folds)
    fold_scores = [walk.fold_scores(number) for number in range(len(folds))]
    newest = folds[-1].validation[-1] + 1
    oldest = max(0, newest - experiment.eras) if experiment.eras else 0
    try:
        found = tuple(
            one
            for index, name in enumerate(sources)
            for one in persistence(table.values[oldest:newest, :, index], name)
        )
        measured = gains(fold_scores, scores, target=experiment.target, embargo=embargo([experiment.target]))
    except TooFewEras as error:
        raise OperatorNeeded(f"{error}; sync more history, or choose a smaller --chunk or more --eras") from None
    verdict = judge_history(found, measured)
    result = E0(
        target=experiment.target,
        feature_set=experiment.feature_set,
        recipe=experiment.recipe.name,
        persistence=found,
        baseline=measured[-2].beside - measured[-2].gain,
        gains=measured,
        go=verdict.go,
        sentence=verdict.sentence,
        seconds=time.perf_counter() - began,
        path=results.path,
    )
    results.write(result)
    return result


def _sources(target: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the targets whose returns are averaged: the main one, and its 20-day version, which resolves sooner."""
    sooner = target.removesuffix(f"_{horizon(target)}") + "_20"
    return tuple(name for name in dict.fromkeys((target, sooner)) if name in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WalkForward:
    """
    Scores of LightGBM and momentum on walk-forward folds.

    Attributes:
        experiment: The experiment.
        results: Finished parts.
        data: The recipe's training set.
        table: Feature returns of the momentum scores' targets.
        scores: The momentum scores.
        folds: The folds.
    """

    experiment: Experiment
    results: ExperimentResults
    data: TrainingSet
    table: FeatureReturns
    scores: Sequence[MomentumScore]
    folds: Sequence[Split]

    def fold_scores(self, number: int) -> FoldScores:
        """Fit the trees of one fold and score its validation eras, or read the finished part."""
        experiment, fold = self.experiment, self.folds[number]
        positions, report_progress = experiment.thinned(fold.train), self._fold_progress(number)
        trees = self.results.text_part(
            f"trees-{number}.txt",
            lambda: fit_trees(self.data, positions, experiment.trees, experiment.target, report_progress),
        )
        part = self.results.part(
            f"fold-{number}", lambda: self._era_scores(fold.validation, TreeModel(trees), report_progress)
        )
        return FoldScores(
            positions=np.array(fold.validation),
            alone=np.array(part["alone"], dtype=np.float64),
            mixed=np.array(part["mixed"], dtype=np.float64),
        )

    def _era_scores(
        self, positions: Sequence[int], trees: TreeModel, report_progress: ProgressCallback
    ) -> dict[str, list[object]]:
        """Return CORR of each momentum score alone and beside the trees, era by era."""
        alone, mixed = [], []
        for done, position in enumerate(positions):
            rows = self.data.prepared(position)
            targets = self.data.target(position, self.experiment.target).astype(np.float64)
            base = gaussianize(trees.predict(rows.features, rows.engineered))
            momentum = _centred(rows) @ loadings(self.table, position, self.scores).T
            alone.append([corr(score, targets) for score in momentum.T])
            without = corr(base, targets)
            mixed.append(
                [
                    [corr(base + weight * gaussianize(score), targets) if weight else without for weight in WEIGHTS]
                    for score in momentum.T
                ]
            )
            report_progress("momentum", done / len(positions), self.data.store.eras[position])
        return {"alone": list(alone), "mixed": list(mixed)}

    def _fold_progress(self, number: int) -> ProgressCallback:
        """Return a callback that reports the progress of one fold as a share of all folds."""

        def report_progress(stage: str, share: float, note: str) -> None:
            folds = len(self.folds)
            self.experiment.report_progress(stage, (number + share) / folds, f"fold {number + 1} of {folds}: {note}")

        return report_progress


def _centred(rows: Prepared) -> np.ndarray:
    """Return codes less the middle bin, 0 for missing ones. Shape ``(rows, F)``, float32."""
    codes = np.where(rows.features == MISSING_CATEGORY, MIDDLE_BIN, rows.features)
    return codes.astype(np.float32) - MIDDLE_BIN
