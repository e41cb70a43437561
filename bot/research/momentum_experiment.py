"""
E0, the experiment that comes before any network: does what features earned say what they will earn?

Minutes of CPU decide whether the historical inputs of the network are worth their cost; see
:mod:`bot.research.factor_momentum` for what is measured and when the answer is yes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bot.errors import OperatorNeeded
from bot.features.preprocess import Prepared
from bot.history.factor_history import FeatureReturns
from bot.research.experiment import Experiment, ExperimentResults
from bot.research.factor_momentum import (
    HALF_LIVES,
    WEIGHTS,
    FoldScores,
    Gain,
    MomentumScore,
    Persistence,
    gains,
    loadings,
    persistence,
    verdict,
)
from bot.scoring.bootstrap import TooFewEras
from bot.scoring.metrics import corr
from bot.system.progress import ProgressCallback
from bot.tournament.columns import horizon
from bot.training.splits import Split, embargo
from bot.training.training_set import TrainingSet
from bot.training.tree_fit import fit_trees
from models.bins import MIDDLE_BIN, MISSING_CATEGORY
from models.inference.ensemble import gaussianize
from models.trees.trees import TreeModel


@dataclass(frozen=True, slots=True, kw_only=True)
class E0:
    """
    What the experiment found.

    Attributes:
        target: Whose CORR was measured.
        feature_set: On which features.
        recipe: Whose LightGBM.
        persistence: Lagged cosines by target and lag; lag 0 is all judged lags together.
        baseline: Mean CORR of LightGBM alone in the eras that gains are measured on.
        gains: What momentum scores add to it; the last two rows are the best of the past, and its timing.
        go: Whether history is worth a network's while.
        sentence: Why.
        seconds: Wall time of this call.
        path: Where this lies as JSON.
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
    Measure persistence and what factor momentum adds to LightGBM, walk-forward.

    Finished folds are kept: the same call after an interruption, or after none, does only what is left.

    Raises:
        OperatorNeeded: Nothing was synced, or there are too few eras.
        SchemaMismatch: The data lack what the recipe or the settings name.
    """
    began = time.perf_counter()
    lab, store = experiment, experiment.store()
    sources = _sources(lab.target, store.manifest.targets)
    data = lab.read(store)
    table = lab.returns(store, data.manifest.features, sources)
    candidates = tuple(MomentumScore(target=name, half_life=life) for name in sources for life in HALF_LIVES)
    folds = lab.folds(data, least=2)
    results = lab.results("e0", store)
    scores = [_fold(lab, results, data, table, candidates, folds, number) for number in range(len(folds))]
    newest = folds[-1].validation[-1] + 1
    oldest = max(0, newest - lab.eras) if lab.eras else 0
    try:
        found = tuple(
            one
            for index, name in enumerate(sources)
            for one in persistence(table.values[oldest:newest, :, index], name)
        )
        measured = gains(scores, candidates, target=lab.target, embargo=embargo([lab.target]))
    except TooFewEras as error:
        raise OperatorNeeded(f"{error}; sync more history, or choose a smaller --chunk or more --eras") from None
    go, sentence = verdict(found, measured)
    result = E0(
        target=lab.target,
        feature_set=lab.feature_set,
        recipe=lab.recipe.name,
        persistence=found,
        baseline=measured[-2].beside - measured[-2].gain,
        gains=measured,
        go=go,
        sentence=sentence,
        seconds=time.perf_counter() - began,
        path=results.result,
    )
    results.conclude(result)
    return result


def _sources(target: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the targets whose returns are averaged: the main one, and its 20-day form, which resolves sooner."""
    sooner = target.removesuffix(f"_{horizon(target)}") + "_20"
    return tuple(name for name in dict.fromkeys((target, sooner)) if name in known)


def _fold(
    lab: Experiment,
    results: ExperimentResults,
    data: TrainingSet,
    table: FeatureReturns,
    candidates: Sequence[MomentumScore],
    folds: Sequence[Split],
    number: int,
) -> FoldScores:
    """Fit the trees of one fold and score its validation eras, or read what was kept of that."""

    def report_progress(stage: str, share: float, note: str) -> None:
        lab.report_progress(stage, (number + share) / len(folds), f"fold {number + 1} of {len(folds)}: {note}")

    fold = folds[number]
    model = results.text(
        f"trees-{number}.txt", lambda: fit_trees(data, lab.thinned(fold.train), lab.recipe, lab.target, report_progress)
    )
    kept = results.piece(
        f"fold-{number}",
        lambda: _scored(data, table, candidates, fold.validation, lab.target, TreeModel(model), report_progress),
    )
    return FoldScores(
        positions=np.array(fold.validation),
        alone=np.array(kept["alone"], dtype=np.float64),
        mixed=np.array(kept["mixed"], dtype=np.float64),
    )


def _scored(
    data: TrainingSet,
    table: FeatureReturns,
    candidates: Sequence[MomentumScore],
    positions: Sequence[int],
    target: str,
    trees: TreeModel,
    report_progress: ProgressCallback,
) -> dict[str, list[object]]:
    """Return CORR of each candidate alone and beside the trees, era by era."""
    alone, mixed = [], []
    for done, position in enumerate(positions):
        rows = data.prepared(position)
        truth = data.target(position, target).astype(np.float64)
        base = gaussianize(trees.predict(rows.features, rows.engineered))
        momentum = _centred(rows) @ loadings(table, position, candidates).T
        alone.append([corr(score, truth) for score in momentum.T])
        without = corr(base, truth)
        mixed.append(
            [
                [corr(base + weight * gaussianize(score), truth) if weight else without for weight in WEIGHTS]
                for score in momentum.T
            ]
        )
        report_progress("momentum", done / len(positions), data.store.eras[position])
    return {"alone": list(alone), "mixed": list(mixed)}


def _centred(rows: Prepared) -> np.ndarray:
    """Return codes around the middle bin as float32, 0 where missing. Shape ``(rows, F)``."""
    codes = np.where(rows.features == MISSING_CATEGORY, MIDDLE_BIN, rows.features)
    return codes.astype(np.float32) - MIDDLE_BIN
