"""
Compare recipes on the same walk-forward folds: CORR, BMC, MMC, pay, and how alike they are.

Each recipe is fitted as a retrain fits it, with early stopping inside the fold's training eras, and scored on the chunk that
follows. Differences are paired by era, because an era is easy or hard for every recipe. Numerai's benchmark model is a row
of each table.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.data.reference_predictions import ReferencePredictions
from bot.errors import CannotSplit, OperatorNeeded
from bot.members import registry
from bot.research.experiment import Experiment, ExperimentResults
from bot.research.fold_fit import FoldFitter
from bot.scoring.bootstrap import TooFewEras
from bot.scoring.coverage import if_covered
from bot.scoring.metrics import corr, mmc
from bot.scoring.paired_comparison import Difference, paired_differences
from bot.scoring.summaries import max_drawdown, sharpe
from bot.serving.names import ENSEMBLE
from bot.tournament.columns import overlap_eras
from bot.training.recipes import Recipe
from bot.training.splits import Split
from models.inference.ranks import rank_correlation
from models.stopping import TrainingDiverged

BENCHMARK = "benchmark model"
SCORES = ("CORR", "BMC", "MMC", "pay")
SEED_STEP = 1000
"""Distance of the seeds of two repetitions, more than the networks of one member."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    Scores of a recipe, or of the benchmark model, over all validated eras.

    Attributes:
        name: Name of the recipe.
        means: Mean of each score of :data:`SCORES`, NaN where no era has it.
        sharpe: Sharpe ratio of pay.
        drawdown: Largest fall of cumulative pay.
        alike: Mean rank correlation with the benchmark model.
        scatter: Standard deviation of mean pay between the seeds; NaN with one seed.
        seconds: Seconds of fits and scores.
    """

    name: str
    means: Mapping[str, float]
    sharpe: float
    drawdown: float
    alike: float
    scatter: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    Result of a comparison.

    Attributes:
        target: Target of the scores.
        recipes: Names of the recipes.
        seeds: Repetitions of each recipe.
        eras: Names of the validated eras.
        folds: Number of folds.
        pay: Weight of CORR and of MMC in pay.
        rows: Scores of each recipe, and of the benchmark model.
        differences: Paired differences of recipes.
        alike: Mean rank correlation of each pair of recipes, by both names.
        series: Scores of every era by recipe and score, mean over the seeds.
        path: Path of this result as JSON.
    """

    target: str
    recipes: tuple[str, ...]
    seeds: int
    eras: tuple[str, ...]
    folds: int
    pay: Mapping[str, float]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    alike: Mapping[str, Mapping[str, float]]
    series: Mapping[str, Mapping[str, Floats]]
    path: Path


def compare(
    experiment: Experiment, recipes: Sequence[Recipe], *, seeds: int = 1, pairs: Sequence[tuple[str, str]] = ()
) -> Comparison:
    """
    Fit and score recipes on the same folds; parts that an earlier run finished are read.

    Args:
        experiment: Data and folds; its recipe is the first one.
        recipes: The recipes, at least two of different names.
        seeds: Repetitions of each recipe with other seeds; scores are means over them.
        pairs: Names of recipes to compare, the second one as the base; by default each with the first one.

    Raises:
        OperatorNeeded: Nothing was synced, there are too few eras, or a network's loss is not finite.
        SchemaMismatch: The data lack columns that a recipe names.
    """
    runs = _Runs.open(experiment, recipes, seeds)
    names = [one.name for one in recipes]
    parts = {one.name: [runs.scores(one, seed) for seed in range(seeds)] for one in recipes}
    series = {name: _mean_series([part["series"] for part in parts[name]]) for name in names}
    series[BENCHMARK] = runs.benchmark_scores()
    lag = overlap_eras(experiment.target)
    try:
        differences = paired_differences(
            series, pairs or [(name, names[0]) for name in names[1:]], lag=lag, scores=SCORES
        )
    except TooFewEras as error:
        raise OperatorNeeded(f"{error}; sync more history, or choose a smaller --chunk or more --eras") from None
    result = Comparison(
        target=experiment.target,
        recipes=tuple(names),
        seeds=seeds,
        eras=tuple(runs.store_eras[position] for position in runs.positions),
        folds=len(runs.folds),
        pay=runs.multipliers,
        rows=tuple(_row(name, series[name], parts.get(name, ())) for name in (*names, BENCHMARK)),
        differences=differences,
        alike=runs.alike(names),
        series=series,
        path=runs.results.path,
    )
    runs.results.write(result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """
    Fits and scores of the recipes.

    Attributes:
        experiment: Data and folds.
        fitter: Fits recipes on folds.
        folds: Folds, the same for all recipes.
        results: Finished parts.
        reference: Predictions of the benchmark and meta models.
        multipliers: Weight of CORR and of MMC in pay.
    """

    experiment: Experiment
    fitter: FoldFitter
    folds: tuple[Split, ...]
    results: ExperimentResults
    reference: ReferencePredictions
    multipliers: Mapping[str, float]

    @classmethod
    def open(cls, experiment: Experiment, recipes: Sequence[Recipe], seeds: int) -> "_Runs":
        """Open the store, and make folds with an embargo of the longest horizon that any recipe learns."""
        store = experiment.store()
        fitter = FoldFitter(
            experiment=experiment,
            store=store,
            kept=experiment.state_dir / "experiments" / "kept" / "fits",
            report_progress=experiment.report_progress,
        )
        targets = tuple(dict.fromkeys(name for one in recipes for name in fitter.plan(one).targets))
        folds = fitter.usable(recipes, experiment.folds_of(store, targets, least=1))
        positions = [position for fold in folds for position in fold.validation]
        first = recipes[0]
        results = experiment.results("compare", store, recipes=[one.digest for one in recipes], seeds=seeds)
        return cls(
            experiment=experiment,
            fitter=fitter,
            folds=folds,
            results=results,
            reference=ReferencePredictions.read(experiment.data_folder, store, positions, target=experiment.target),
            multipliers={"CORR": first.corr_multiplier, "MMC": first.mmc_multiplier},
        )

    @property
    def store_eras(self) -> Sequence[str]:
        """Return the names of all eras."""
        return self.fitter.store.eras

    @property
    def positions(self) -> list[int]:
        """Return the positions of the validated eras."""
        return [position for fold in self.folds for position in fold.validation]

    def scores(self, recipe: Recipe, seed: int) -> dict[str, Any]:
        """Return the scores of a recipe in every validated era, and the seconds that they took."""
        parts = []
        for number in range(len(self.folds)):
            name = f"{recipe.name}-{seed}-{number}"
            parts.append(self.results.part(name, partial(self._fold, recipe, seed, number, name)))
        series = {
            score: np.array([value for part in parts for value in part["scores"][score]], dtype=np.float64)
            for score in (*SCORES, "alike")
        }
        return {"series": series, "seconds": sum(part["seconds"] for part in parts)}

    def benchmark_scores(self) -> dict[str, Floats]:
        """Return the scores of the benchmark model itself."""
        found: dict[str, list[float]] = {score: [] for score in (*SCORES, "alike")}
        for position in self.positions:
            predictions = if_covered(self.reference.by_era.get("bmc", {}).get(position))
            one = self._score(predictions, position) if predictions is not None else dict.fromkeys(found, np.nan)
            for score, value in one.items():
                found[score].append(value)
        return {score: np.array(values) for score, values in found.items()}

    def alike(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return the mean rank correlation of the first repetition of each pair of recipes."""
        table: dict[str, dict[str, float]] = {name: {} for name in names}
        for first, second in combinations(names, 2):
            found = []
            for number in range(len(self.folds)):
                one, other = (np.load(self.results.folder / f"{name}-0-{number}.npz") for name in (first, second))
                found += [rank_correlation(one[era], other[era]) for era in one.files]
            table[first][second] = table[second][first] = float(np.mean(found))
        return table

    def _fold(self, recipe: Recipe, seed: int, number: int, name: str) -> dict[str, Any]:
        """Fit a recipe on one fold and score its chunk."""
        began, fold = time.monotonic(), self.folds[number]
        scratch = self.results.folder / f"fit-{name}"
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            model = self.fitter.fit(_with_seed(recipe, seed), fold, scratch)
        except CannotSplit as error:
            raise CannotSplit(f"fold {number + 1}: {error}") from None
        except TrainingDiverged as error:
            raise OperatorNeeded(
                f"{recipe.name}, fold {number + 1}: {error}; choose a recipe that learns slower"
            ) from None
        scores: dict[str, list[float]] = {score: [] for score in (*SCORES, "alike")}
        predictions: dict[str, Any] = {}
        for position in fold.validation:
            try:
                values = model.score(position, self.reference.by_era.get("bmc", {}).get(position)).scores[ENSEMBLE]
            except ValueError as error:  # a member ranks nothing
                reason = f"{recipe.name}, fold {number + 1}: {error}; choose a larger --chunk or more --eras"
                raise OperatorNeeded(reason) from None
            predictions[self.store_eras[position]] = values.astype(np.float32)
            for score, value in self._score(values, position).items():
                scores[score].append(value)
        np.savez(self.results.folder / f"{name}.npz", **predictions)
        shutil.rmtree(scratch)
        return {"scores": scores, "seconds": time.monotonic() - began}

    def _score(self, predictions: Floats, position: int) -> dict[str, float]:
        """Return the scores of one era's predictions; pay takes BMC where the era has no meta model."""
        truth = self.fitter.store.select((), (self.experiment.target,)).target(position, self.experiment.target)
        known = np.isfinite(predictions)  # the benchmark model itself may lack a few rows of an era
        references = {
            score: if_covered(self.reference.by_era.get(kind, {}).get(position))
            for score, kind in (("BMC", "bmc"), ("MMC", "mmc"))
        }
        found = {"CORR": corr(predictions[known], truth[known])}
        for score, reference in references.items():
            both = known if reference is None else known & np.isfinite(reference)
            found[score] = float("nan") if reference is None else mmc(predictions[both], reference[both], truth[both])
        contribution = found["BMC"] if np.isnan(found["MMC"]) else found["MMC"]
        found["pay"] = self.multipliers["CORR"] * found["CORR"]
        if self.multipliers["MMC"]:  # pay for CORR alone needs no reference predictions
            found["pay"] += self.multipliers["MMC"] * contribution
        benchmark = references["BMC"]
        found["alike"] = float("nan")
        if benchmark is not None:
            both = known & np.isfinite(benchmark)
            found["alike"] = float(rank_correlation(predictions[both], benchmark[both]))
        return found


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Return a recipe whose members begin with other seeds."""
    members = [
        replace(one, options=registry.find(one.kind).with_seed(one.options, SEED_STEP * seed)) for one in recipe.members
    ]
    return replace(recipe, members=tuple(members)) if seed else recipe


def _mean_series(repetitions: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {score: np.mean([one[score] for one in repetitions], axis=0) for score in repetitions[0]}


def _row(name: str, series: Mapping[str, Floats], repetitions: Sequence[Mapping[str, Any]]) -> Row:
    pay = series["pay"][np.isfinite(series["pay"])]
    by_seed = [
        float(np.nanmean(one["series"]["pay"])) for one in repetitions if np.isfinite(one["series"]["pay"]).any()
    ]
    return Row(
        name=name,
        means={score: _mean(series[score]) for score in SCORES},
        sharpe=sharpe(pay),
        drawdown=max_drawdown(pay),
        alike=_mean(series["alike"]),
        scatter=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else float("nan"),
        seconds=sum(float(one["seconds"]) for one in repetitions),
    )


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
