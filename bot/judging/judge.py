"""
Score models on eras that they have not seen, with the code that serves, and keep the scores of every era.

Challenger and champion are scored on the same rows. The champion is represented by the members that it was judged by:
they were trained on nothing later than the embargo before its own hold-out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from bot.data.era_store import EraStore
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import OperatorNeeded
from bot.features.preprocess import Prepared, Preprocess
from bot.findings import Absent
from bot.history import feature_returns
from bot.history.factor_history import FeatureReturns
from bot.members import registry
from bot.members.kept_scores import KeptScores
from bot.members.member import Member, Unit, units
from bot.members.rows import EraRows, HistoryInput, LiveFiles
from bot.scoring.coverage import COVERAGE, if_covered
from bot.scoring.ensemble_weights import EraScores, weigh
from bot.scoring.metrics import corrs, mmcs, target_variance
from bot.scoring.neutralize import exposures
from bot.scoring.ranked_columns import RankedColumns
from bot.serving.artifacts import Artifact
from bot.serving.names import BENCHMARK, ELSEWHERE, ENSEMBLE
from bot.serving.scorer import Members, ensemble, members_of, weights_of
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
        """Return the eras, with rows and targets."""
        ...

    def score(self, position: int, benchmark: Floats | None) -> ScoredEra:
        """Return scores and neutralizers of the era at *position*."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """
    Members, and how they combine into one prediction.

    Attributes:
        data: Eras with the features that the members take.
        members: Models.
        models: Columns and history of each model, by the name of its owner.
        weights: Share of each member.
        neutralizers: Features that exposure is measured to and that the ensemble is neutralized to.
        proportion: Share of their linear part that is removed, 0 to 1.
        to_benchmark: Neutralize to the benchmark model instead. An era that it does not cover is not neutralized, as a
            live round would not be.
    """

    data: TrainingSet
    members: Members
    models: Mapping[str, TrainingSet]
    weights: Mapping[str, float]
    neutralizers: Sequence[str]
    proportion: float
    to_benchmark: bool = False

    def score(self, position: int, benchmark: Floats | None) -> ScoredEra:
        """
        Return the scores of members and ensemble for an era, and the features that exposure is measured to.

        Args:
            position: Position of the era.
            benchmark: Predictions of the benchmark model, NaN where there is none. Shape ``(rows,)``.
        """
        return self.score_rows(self.rows(position, benchmark))

    def rows(self, position: int, benchmark: Floats | None) -> "StoredRows":
        """Return an era's rows as the members read them."""
        return StoredRows(data=self.data, models=self.models, position=position, benchmark=if_covered(benchmark))

    def score_rows(self, rows: EraRows) -> ScoredEra:
        """Return the same for any rows."""
        manifest = self.data.manifest
        position = {name: index for index, name in enumerate(manifest.features)}
        columns = rows.prepared(manifest).features[:, [position[name] for name in self.neutralizers]]
        scores = self.members.score(rows)
        weights = {name: weight for name, weight in self.weights.items() if name in scores}
        against = rows.benchmark if self.to_benchmark else columns
        blended = ensemble({name: scores[name] for name in weights}, weights, against, proportion=self.proportion)
        return ScoredEra(scores={**scores, ENSEMBLE: blended}, neutralizers=columns)


@dataclass(kw_only=True)
class StoredRows:
    """
    Rows of an era of the store.

    Attributes:
        data: Columns of the recipe's feature set.
        models: Columns and history of each model, by the name of its owner.
        position: Position of the era.
        benchmark: Predictions of the benchmark model; ``None`` where they cover too few rows. Shape ``(rows,)``.
    """

    data: TrainingSet
    models: Mapping[str, TrainingSet]
    position: int
    benchmark: Floats | None = None
    files: LiveFiles | None = None
    _prepared: dict[str, Prepared] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return the number of rows."""
        return self.data.rows(self.position)

    def prepared(self, preprocess: Preprocess) -> Prepared:
        """Return the rows after a preprocessing."""
        if preprocess.digest not in self._prepared:
            source = next(one for one in (self.data, *self.models.values()) if one.manifest.digest == preprocess.digest)
            self._prepared[preprocess.digest] = source.prepared(self.position)
        return self._prepared[preprocess.digest]

    def window(self, wanted: HistoryInput) -> npt.NDArray[np.float32] | None:
        """Return the feature returns that were resolved when the era was live."""
        source = next((one for one in self.models.values() if one.history == wanted), None)
        return None if source is None else source.window(self.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEras:
    """
    Scores of an ensemble and its members on some eras.

    Attributes:
        eras: Labels of the eras.
        rows: Rows with a target in each era. Shape ``(eras,)``.
        target_variance: Variance of the target in each era, in steps of one bin. Shape ``(eras,)``.
        scores: ``corr``, ``bmc`` and ``mmc`` by member, NaN where an era has none. Shape ``(eras,)`` each.
        exposure: Largest absolute correlation of the ensemble with a neutralizer. Shape ``(eras,)``.
        predictions: Predictions of the ensemble by position of the era. Shape ``(rows,)`` each.
    """

    eras: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    target_variance: Floats
    scores: Mapping[str, Mapping[str, Floats]]
    exposure: Floats
    predictions: Mapping[int, Floats]


def judge(
    model: ScoresEras,
    positions: Sequence[int],
    *,
    target: str,
    reference: ReferencePredictions,
    report_progress: ProgressCallback,
) -> JudgedEras:
    """
    Score a model on the eras at *positions*.

    Args:
        model: Model that has not seen these eras.
        positions: Positions of the eras.
        target: Target to score against.
        reference: Predictions that contributions are measured against.
        report_progress: Called with the progress.

    Raises:
        OperatorNeeded: A member is constant, or not finite, in an era.
    """
    series: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows, variances, exposure, predictions = [], [], [], {}
    for done, position in enumerate(positions):
        report_progress("judge", done / len(positions), f"{len(positions)} eras")
        try:
            era = model.score(position, reference.by_era.get("bmc", {}).get(position))
        except ValueError as error:  # a member that ranks nothing cannot be blended
            reason = f"era {model.data.store.eras[position]}: {error}; change its options, or take it out of the recipe"
            raise OperatorNeeded(reason) from None
        scores = era.scores
        truth = model.data.target(position, target)
        columns = RankedColumns(np.column_stack(list(scores.values())))
        measured = {"corr": corrs(columns, truth)}
        for kind, by_era in reference.by_era.items():
            measured[kind] = contributions(columns, ranked_reference(by_era.get(position)), truth)
        for kind, values in measured.items():
            for name, value in zip(scores, values.tolist(), strict=True):
                series[kind][name].append(value)
        predictions[position] = scores[ENSEMBLE]
        rows.append(int(np.isfinite(truth).sum()))
        variances.append(target_variance(truth))
        exposure.append(float(np.abs(exposures(scores[ENSEMBLE], era.neutralizers)).max(initial=0.0)))
    return JudgedEras(
        eras=tuple(model.data.store.eras[position] for position in positions),
        rows=np.array(rows, dtype=np.int64),
        target_variance=np.array(variances),
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
    if isinstance(elsewhere := learned_elsewhere(artifact), Absent):
        return elsewhere
    if "holdout" not in artifact.manifest["eras"]:
        return Absent("it was made by a version that kept no members for a comparison")
    first = str(artifact.manifest["eras"]["holdout"][0])
    found = [position for position in positions if eras[position] >= first]
    return found or Absent(f"its own hold-out begins with era {first}, after this one")


def learned_elsewhere(artifact: Artifact) -> Absent | None:
    """Return why an artifact has no hold-out: a member was trained elsewhere, on unknown eras; ``None`` if it has."""
    members = artifact.manifest.get(ELSEWHERE) or []
    if not members:
        return None
    return Absent(f"it may have learned from these eras: it was not trained here ({', '.join(map(str, members))})")


def trained_here(members: Sequence[Member]) -> tuple[Member, ...]:
    """Return the members that a hold-out can judge; the others may have learned from any era."""
    return tuple(one for one in members if not registry.find(one.kind).needs(one).elsewhere)


def judged_ensemble(
    artifact: Artifact,
    store: EraStore,
    returns: FeatureReturns,
    targets: Sequence[str],
    *,
    kept: KeptScores | None = None,
) -> Ensemble:
    """
    Return the members that an artifact was judged by, on the data of *store*.

    Args:
        artifact: Artifact of any age.
        store: Complete history.
        returns: Realised returns of all features of the store.
        targets: Targets that the caller will read.
        kept: Scores that are not computed again; ``None`` computes all.
    """
    about: Mapping[str, Any] = artifact.manifest
    known = trained_here(members_of(about))
    members = Members(artifact.folder, known, prefix=str(about["judged_prefix"]), kept=kept)
    data = TrainingSet.select(
        store, members.manifest, targets=tuple(targets), history_targets=(), lookback=0, table=returns
    )
    models = {
        unit.owner.name: _model_columns(unit, members.preprocess_of(unit.owner), artifact, store, returns, targets)
        for unit in units(known)
    }
    return Ensemble(
        data=data,
        members=members,
        models=models,
        weights=weights_of(about),
        neutralizers=tuple(about["neutralizers"]),
        proportion=float(about["recipe"]["neutralize"]),
        to_benchmark=about["recipe"].get("neutralizers") == BENCHMARK and bool(about.get("benchmark")),
    )


def _model_columns(
    unit: Unit,
    manifest: Preprocess,
    artifact: Artifact,
    store: EraStore,
    returns: FeatureReturns,
    targets: Sequence[str],
) -> TrainingSet:
    """Return columns and history of one model, without a history whose targets the data lack."""
    needs = registry.find(unit.owner.kind).needs(unit.owner)
    past = needs.history
    if absent := [name for name in past if name not in store.manifest.targets]:
        # The live history of this artifact ends with these targets, too, and is then masked.
        log.warning("judge.history_masked", artifact=artifact.id, reason=f"the data lack {', '.join(absent)}")
        past = ()
    return TrainingSet.select(
        store,
        manifest,
        targets=tuple(targets),
        history_targets=past,
        lookback=needs.lookback if past else 0,
        table=returns,
    )


def kept_scores(state_dir: Path) -> KeptScores:
    """Return the scores of judged models that a state directory keeps."""
    return KeptScores(folder=state_dir / "judged_scores")


def open_judged(artifact: Artifact, state_dir: Path, *, kept: KeptScores | None = None) -> Ensemble:
    """
    Return the members that an artifact was judged by, on the store it was trained on.

    Args:
        artifact: Artifact of any age.
        state_dir: State directory.
        kept: Scores that are not computed again; ``None`` computes all.

    Raises:
        DatasetIncomplete: The store is missing or damaged.
        StateLocked: A sync is writing to the store.
    """
    store = EraStore.open(state_dir / "store" / str(artifact.manifest["store"]))
    history = tuple(name for name in history_needs().targets if name in store.manifest.targets)
    targets = tuple(name for name in artifact.manifest["targets"] if name in store.manifest.targets)
    with state_lock(state_dir, "sync"):
        returns = feature_returns.update(store, history)
    return judged_ensemble(artifact, store, returns, targets, kept=kept)


def find_weights(
    model: Ensemble,
    positions: Sequence[int],
    recipe: Recipe,
    *,
    target: str,
    reference: ReferencePredictions,
    report_progress: ProgressCallback = lambda _stage, _share, _note: None,
) -> dict[str, float]:
    """
    Return the members' weights: those of the recipe, or those that its rule finds on the validation eras.

    Args:
        model: Members that were not trained on the eras at *positions*.
        positions: Positions of the validation eras.
        recipe: Members and rule.
        target: Target to score against.
        reference: Predictions of meta model and benchmark; in an era that they do not cover completely they are left out.
        report_progress: Called with the progress.
    """
    if recipe.weighting == "fixed":
        return {one.name: one.weight for one in recipe.members}
    names, eras = tuple(one.name for one in recipe.members), []
    for done, position in enumerate(positions):
        report_progress("weigh", done / len(positions), f"weights of the members, {len(positions)} eras")
        known = {kind: by_era.get(position) for kind, by_era in reference.by_era.items()}
        scores = model.members.score(model.rows(position, known.get("bmc")))
        if not all(name in scores for name in names):
            continue  # a member that predicts with the benchmark has no score in an era that it does not cover
        whole = {kind: values for kind, values in known.items() if values is not None and np.isfinite(values).all()}
        ordered = {name: scores[name] for name in names}
        truth = model.data.target(position, target)
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


def ranked_reference(predictions: Floats | None) -> RankedColumns | None:
    """Return an era's predictions of a reference model, NaN where it has none; ``None`` where the era has none at all."""
    return None if predictions is None else RankedColumns(np.where(np.isfinite(predictions), predictions, np.nan))


def contributions(columns: RankedColumns, reference: RankedColumns | None, truth: npt.NDArray[np.float32]) -> Floats:
    """
    Return the contribution of each column of an era's predictions to a reference model.

    Args:
        columns: Predictions.
        reference: Predictions of the reference model, one column.
        truth: Target. Shape ``(rows,)``.

    Returns:
        Shape ``(columns,)``; NaN where the reference model covers too few rows.
    """
    if reference is None or (~reference.missing).mean() < COVERAGE:
        return np.full(len(columns.columns), np.nan)
    return mmcs(columns, reference, truth)
