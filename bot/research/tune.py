"""
Search for a better recipe: every trial is fitted walk-forward and scored on the chunks that follow.

Nothing is chosen on the eras of the promotion gate: hold-out and embargo are removed before the first fold. The value of
a trial is the mean pay of its ensemble over the folds less a penalty for their deviation, because a recipe that is
good in one period only will not be good in the next.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna

from bot.data.era_store import EraStore
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import OperatorNeeded
from bot.research.experiment import Experiment
from bot.research.fold_fit import FoldFitter
from bot.research.search_space import SearchSpace
from bot.research.trial_results import CONTRIBUTION, CORR, PAY, REASON, TrialRow, rows, verdict
from bot.research.trial_worker import BASE, Interrupted
from bot.scoring.coverage import if_covered
from bot.scoring.metrics import corr_table, mmc_table
from bot.serving.names import ENSEMBLE
from bot.tournament.columns import overlap_eras
from bot.training.recipes import Recipe
from bot.training.splits import Split
from bot.training.training_data import TrainingData
from models.stopping import TrainingDiverged, TrainingStopped

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """
    Predictions of Numerai's own models in the validated eras, by position of the era.

    Attributes:
        benchmark: The benchmark model; without the eras that it does not cover.
        contribution: The model that contribution is measured against: the meta model, or the benchmark where the era has no
            meta model. Empty if some era has neither: then pay is that of CORR alone, so that trials and folds compare.
        meta_eras: Number of eras with a meta model.
    """

    benchmark: Mapping[int, Floats]
    contribution: Mapping[int, Floats]
    meta_eras: int

    @classmethod
    def read(cls, experiment: Experiment, store: EraStore, positions: Sequence[int]) -> "References":
        """Read the predictions of some eras from the synced files."""
        reference = ReferencePredictions.read(experiment.data_folder, store, positions, target=experiment.target)
        found = {
            score: {position: known for position, rows in eras.items() if (known := if_covered(rows)) is not None}
            for score, eras in reference.by_era.items()
        }
        benchmark, meta = found.get("bmc", {}), found.get("mmc", {})
        contribution = benchmark | meta
        if not all(position in contribution for position in positions):
            return cls(benchmark=benchmark, contribution={}, meta_eras=0)
        return cls(benchmark=benchmark, contribution=contribution, meta_eras=len(meta))

    def __str__(self) -> str:
        """Return the scores that pay counts, for a person."""
        if not self.contribution:
            return "CORR alone, for some era lacks the benchmark's predictions"
        if not self.meta_eras:
            return "CORR and BMC"
        eras = len(self.contribution)
        return f"CORR and MMC, or BMC where there is no meta model ({eras - self.meta_eras} of {eras} eras)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScores:
    """
    Scores of the ensemble in each validated era.

    Attributes:
        corr: CORR, NaN where it cannot be computed. Shape ``(eras,)``.
        contribution: MMC or BMC likewise; 0 where pay is that of CORR alone. Shape ``(eras,)``.
    """

    corr: Floats
    contribution: Floats


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

    @cached_property
    def name(self) -> str:
        """Return the name of the study, which is the same for the same history, options and search space."""
        experiment = self.experiment
        content = {
            "eras": self.store.eras,
            "rows": self.store.offsets.tolist(),
            "version": experiment.data_version,
            "target": experiment.target,
            "bounds": [experiment.eras, experiment.every, experiment.chunk, experiment.holdout_eras],
            "space": asdict(self.space),
            "penalty": self.penalty,
            "scores": str(self.references),
        }
        return f"tune-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]}"

    @cached_property
    def store(self) -> EraStore:
        """Return the newest era store; it stays open."""
        return self.experiment.store()

    @property
    def folder(self) -> Path:
        """Return the folder of the models of running trials."""
        return self.experiment.state_dir / "tuning" / self.name

    def folds(self, data: TrainingData) -> tuple[Split, ...]:
        """
        Return the walk-forward folds in which the base can be fitted; they end an embargo before the hold-out.

        Raises:
            OperatorNeeded: There are too few eras.
        """
        return self.fitter.usable([self.space.base], self.experiment.folds(data.main, least=1))

    @cached_property
    def references(self) -> References:
        """Return the predictions that members and contribution need."""
        folds = self.folds(self.data(self.space.base))
        return References.read(self.experiment, self.store, [position for one in folds for position in one.validation])

    @cached_property
    def fitter(self) -> FoldFitter:
        """Return the fitter of all trials; trials, studies and comparisons share equal fits."""
        return FoldFitter(
            experiment=self.experiment,
            store=self.store,
            kept=self.experiment.state_dir / "experiments" / "kept" / "fits",
            should_stop=self.should_stop,
        )

    def data(self, recipe: Recipe) -> TrainingData:
        """Return the data of a recipe."""
        return self.fitter.data(recipe)

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
        scores: list[FoldScores] = []
        for step, fold in enumerate(folds):
            self.experiment.report_progress(
                "tune", step / len(folds), f"trial {trial.number}, fold {step + 1} of {len(folds)}"
            )
            scores.append(self._fold(trial, data, recipe, fold))
            trial.set_user_attr(CORR, float(np.concatenate([one.corr for one in scores]).mean()))
            if self.references.contribution:
                means = np.concatenate([one.contribution for one in scores])
                trial.set_user_attr(CONTRIBUTION, float(means.mean()))
            trial.report(self._value(scores), step)
            # The base is complete in any case, since the best trial is compared with it.
            if step + 1 < len(folds) and BASE not in trial.user_attrs and trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr(PAY, [round(float(pay), 6) for one in scores for pay in self._pay(one)])
        return self._value(scores)

    def _fold(self, trial: optuna.Trial, data: TrainingData, recipe: Recipe, fold: Split) -> FoldScores:
        """Fit and score a fold of a trial; prune a trial that has no score there."""
        scratch = self.folder / f"trial-{trial.number}-{fold.validation[0]}"
        try:
            scores = self.scores(data, recipe, fold, scratch)
        except TrainingStopped:
            raise Interrupted from None
        except TrainingDiverged as error:
            trial.set_user_attr(REASON, str(error))
            raise optuna.TrialPruned from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not np.isfinite(self._pay(scores)).all():
            trial.set_user_attr(REASON, "predictions of an era are constant")
            raise optuna.TrialPruned
        return scores

    def scores(self, data: TrainingData, recipe: Recipe, fold: Split, scratch: Path) -> FoldScores:
        """
        Fit the recipe's models on a fold, and return the scores of their ensemble in each validation era.

        Args:
            data: The recipe's data.
            recipe: The recipe.
            fold: The fold.
            scratch: Folder for unfinished fits and the models.

        Returns:
            CORR is NaN in an era in which a member is constant or the ensemble cannot be scored.
        """
        model = self.fitter.fit(recipe, fold, scratch)
        corr, contribution = np.full(len(fold.validation), math.nan), np.zeros(len(fold.validation))
        for era, position in enumerate(fold.validation):
            try:
                predictions = model.score(position, self.references.benchmark.get(position)).scores[ENSEMBLE]
            except ValueError:
                continue
            targets = data.main.target(position, self.experiment.target)
            corr[era] = corr_table(predictions, targets)[0, 0]
            if self.references.contribution:
                contribution[era] = mmc_table(predictions, self.references.contribution[position], targets)[0, 0]
        return FoldScores(corr=corr, contribution=contribution)

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

    def table(self, study: optuna.Study) -> tuple[TrialRow, ...]:
        """Return a row for each trial."""
        return rows(study.get_trials(deepcopy=False), self.space.base_parameters)

    def verdict(self, study: optuna.Study) -> str:
        """Return one sentence: whether the best trial beats the base beyond noise."""
        return verdict(study.get_trials(deepcopy=False), lag=overlap_eras(self.experiment.target))

    def _pay(self, scores: FoldScores) -> Floats:
        base = self.space.base
        return base.corr_multiplier * scores.corr + base.mmc_multiplier * scores.contribution

    def _value(self, folds: Sequence[FoldScores]) -> float:
        """Return the value of a trial from its folds."""
        means = [float(self._pay(one).mean()) for one in folds]
        return float(np.mean(means) - self.penalty * np.std(means))
