"""
Score members on eras they have not seen, by the code that serves, and keep every era's number.

Challenger and champion are scored on the same rows; the champion's members here are the ones it was judged by, which
had never seen anything later than the embargo before its own hold-out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from bot.data.era_store import EraStore
from bot.data.reference_predictions import ReferencePredictions
from bot.features.preprocess import Prepared
from bot.findings import Absent
from bot.history import feature_returns
from bot.history.factor_history import FeatureReturns, Window
from bot.scoring.coverage import COVERAGE, if_covered
from bot.scoring.ensemble_weights import EraScores, weigh
from bot.scoring.metrics import corr, mmc
from bot.scoring.neutralize import exposures
from bot.serving.artifacts import Artifact
from bot.serving.names import ENSEMBLE
from bot.serving.scorer import Members, ensemble
from bot.system.lock import state_lock
from bot.system.progress import ProgressCallback
from bot.tournament.columns import overlap_eras
from bot.training.recipe_file import history_needs
from bot.training.recipes import Recipe
from bot.training.training_set import TrainingSet
from models.inference.ranks import rank_correlation

Floats = npt.NDArray[np.float64]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredEra:
    """
    Scores of the rows of one era, and the features that exposure is measured to.

    Attributes:
        scores: Scores by each member and by the ensemble (:data:`ENSEMBLE`). Shape ``(rows,)`` each.
        neutralizers: Prepared values of the neutralizing features. Shape ``(rows, features)``.
    """

    scores: dict[str, Floats]
    neutralizers: npt.NDArray[np.int8]


class ScoresEras(Protocol):
    """Scores the eras of some data, as :meth:`Ensemble.score` does."""

    @property
    def data(self) -> TrainingSet:
        """Return the eras: their rows and what came of them."""
        ...

    def score(self, position: int, benchmark: Floats | None) -> ScoredEra:
        """Return scores and neutralizers of the era at *position*."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """
    A set of members with what makes one prediction of theirs.

    Attributes:
        data: The eras with the features these members take.
        members: The models.
        weights: Share of each.
        neutralizers: Features that exposure is measured to, and the ensemble neutralized.
        proportion: How much of their linear part is removed.
        to_benchmark: The ensemble is neutralized to the benchmark model instead; in an era that it does not speak
            about, to nothing, as it would be live.
    """

    data: TrainingSet
    members: Members
    weights: Mapping[str, float]
    neutralizers: Sequence[str]
    proportion: float
    to_benchmark: bool = False

    def score(self, position: int, benchmark: Floats | None) -> ScoredEra:
        """
        Return the scores of members and ensemble for an era, and the features that exposure is measured to.

        Args:
            position: Of the era.
            benchmark: The benchmark model's predictions of it, NaN where it has none. Shape ``(rows,)``.
        """
        seen = self.data.window(position)
        return self.score_rows(self.data.prepared(position), "masked" if seen is None else seen, benchmark)

    def score_rows(self, rows: Prepared, window: Window, benchmark: Floats | None) -> ScoredEra:
        """Return the same for any prepared rows; *window* as in :meth:`bot.serving.scorer.Members.score`."""
        columns = rows.features[:, [self.data.manifest.features.index(name) for name in self.neutralizers]]
        scores = self.members.score(rows, window=window)
        against = if_covered(benchmark) if self.to_benchmark else columns
        blended = ensemble(scores, self.weights, against, proportion=self.proportion)
        return ScoredEra(scores={**scores, ENSEMBLE: blended}, neutralizers=columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEras:
    """
    Scores of some eras.

    Attributes:
        eras: Their labels.
        rows: Rows with a target in each. Shape ``(eras,)``.
        scores: ``corr``, ``bmc`` and ``mmc`` by member, NaN where there is none; each of shape ``(eras,)``.
        exposure: Largest absolute correlation of the ensemble with a neutralizer. Shape ``(eras,)``.
        predictions: The ensemble's scores by position of the era. Shape ``(rows,)`` each.
    """

    eras: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    scores: Mapping[str, Mapping[str, Floats]]
    exposure: Floats
    predictions: Mapping[int, Floats]


def judge(
    candidate: ScoresEras,
    positions: Sequence[int],
    *,
    target: str,
    reference: ReferencePredictions,
    report_progress: ProgressCallback,
) -> JudgedEras:
    """
    Score a candidate on the eras at *positions*.

    Args:
        candidate: Models that have not seen them.
        positions: Of the eras.
        target: The truth.
        reference: Predictions that contributions are measured against.
        report_progress: Called with the progress.
    """
    series: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows, exposure, predictions = [], [], {}
    for done, position in enumerate(positions):
        report_progress("judge", done / len(positions), f"{len(positions)} eras")
        era = candidate.score(position, reference.by_era.get("bmc", {}).get(position))
        scores = era.scores
        truth = candidate.data.target(position, target)
        for name, values in scores.items():
            series["corr"][name].append(corr(values, truth))
            for kind, opinion in reference.by_era.items():
                series[kind][name].append(contribution(values, opinion.get(position), truth))
        predictions[position] = scores[ENSEMBLE]
        rows.append(int(np.isfinite(truth).sum()))
        exposure.append(float(np.abs(exposures(scores[ENSEMBLE], era.neutralizers)).max(initial=0.0)))
    return JudgedEras(
        eras=tuple(candidate.data.store.eras[position] for position in positions),
        rows=np.array(rows, dtype=np.int64),
        scores={kind: {name: np.array(one) for name, one in by.items()} for kind, by in series.items()},
        exposure=np.array(exposure),
        predictions=predictions,
    )


def unseen_positions(artifact: Artifact, positions: Sequence[int], eras: Sequence[str]) -> list[int] | Absent:
    """
    Return the eras that an artifact's judged members are out of sample for.

    They begin with the artifact's own hold-out: an embargo separates it from every era that shaped the members.

    Args:
        artifact: Artifact whose judged members are meant.
        positions: Positions to choose from.
        eras: Labels of all eras.

    Returns:
        Positions, at least one; ``Absent`` where there are none or the artifact keeps no judged members.
    """
    if "holdout" not in artifact.manifest["eras"]:
        return Absent("it was made by a version that kept no members for a comparison")
    first = str(artifact.manifest["eras"]["holdout"][0])
    found = [position for position in positions if eras[position] >= first]
    return found or Absent(f"its own hold-out begins with era {first}, after this one")


def judged_ensemble(artifact: Artifact, store: EraStore, returns: FeatureReturns, targets: Sequence[str]) -> Ensemble:
    """
    Return the members that an artifact was judged by, on the data of today.

    Args:
        artifact: Any.
        store: The history.
        returns: Realised returns of all of its features.
        targets: Truths that the caller will ask for.
    """
    about: Mapping[str, Any] = artifact.manifest
    weights = {str(name): float(weight) for name, weight in about["weights"].items() if weight}
    prefix = str(about["judged_prefix"])
    members = Members(artifact.folder, tuple(weights), target=str(about["target"]), prefix=prefix)
    history = about["history"]
    data = TrainingSet.select(
        store,
        members.manifest,
        targets=tuple(targets),
        history_targets=tuple(history["targets"]) if history["lookback"] else (),
        lookback=int(history["lookback"]),
        table=returns,
    )
    return Ensemble(
        data=data,
        members=members,
        weights=weights,
        neutralizers=tuple(about["neutralizers"]),
        proportion=float(about["recipe"]["neutralize"]),
        to_benchmark=bool(about.get("benchmark")),
    )


def open_judged(artifact: Artifact, state_dir: Path) -> Ensemble:
    """
    Return the members that an artifact was judged by, on the store it was trained on.

    Raises:
        DatasetIncomplete: The store is not there.
        StateLocked: A sync is at it.
    """
    store = EraStore.open(state_dir / "store" / str(artifact.manifest["store"]))
    history = tuple(name for name in history_needs().targets if name in store.manifest.targets)
    targets = tuple(name for name in artifact.manifest["targets"] if name in store.manifest.targets)
    with state_lock(state_dir, "sync"):
        returns = feature_returns.update(store, history)
    return judged_ensemble(artifact, store, returns, targets)


def find_weights(
    data: TrainingSet,
    folder: Path,
    positions: Sequence[int],
    recipe: Recipe,
    *,
    target: str,
    reference: ReferencePredictions,
) -> dict[str, float]:
    """
    Return the members' weights: as the recipe has them, or by its rule.

    Args:
        data: The eras.
        folder: Of members that have not learned from the eras at *positions*.
        positions: Of the validation eras.
        recipe: Names the members and the rule.
        target: The truth.
        reference: Meta model and benchmark; where one leaves out a row of an era, it counts as none there.
    """
    if recipe.weighting == "fixed":
        return dict(recipe.weights)
    names = tuple(name for name, _ in recipe.weights)
    members, eras = Members(folder, names, target=target), []
    for position in positions:
        seen = data.window(position)
        scores = members.score(data.prepared(position), window="masked" if seen is None else seen)
        said = {kind: by.get(position) for kind, by in reference.by_era.items()}
        whole = {kind: values for kind, values in said.items() if values is not None and np.isfinite(values).all()}
        ordered = {name: scores[name] for name in names}
        truth = data.target(position, target)
        eras.append(EraScores.of(ordered, truth, meta_model=whole.get("mmc"), benchmark=whole.get("bmc")))
    found = weigh(
        recipe.weighting,
        names,
        eras,
        corr_multiplier=recipe.corr_multiplier,
        mmc_multiplier=recipe.mmc_multiplier,
        lag=overlap_eras(target),
    )
    for finding in found.findings:
        log.warning("weights.finding", finding=finding)
    return dict(found.weights)


def correlations(ours: Mapping[int, Floats], theirs: Mapping[int, Floats]) -> Floats:
    """Return the rank correlation of two sets of predictions for each era that both have. Shape ``(eras,)``."""
    return np.array(
        [rank_correlation(values, theirs[position]) for position, values in ours.items() if position in theirs]
    )


def contribution(values: Floats, opinion: Floats | None, truth: npt.NDArray[np.float32]) -> float:
    """Return the contribution of an era where the reference covers enough of its rows, else NaN."""
    if opinion is None:
        return float("nan")
    known = np.isfinite(opinion)
    if known.mean() < COVERAGE:
        return float("nan")
    return mmc(values[known], opinion[known], truth[known])
