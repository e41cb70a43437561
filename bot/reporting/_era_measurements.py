"""
Measurements of an artifact's judged members on eras that they were not trained on, with one value or array per era.

Everything here takes one scoring pass over all eras; checks that need another pass are in
:mod:`bot.reporting._model_checks`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bot.data.era_store import Columns
from bot.data.reference_predictions import ReferencePredictions
from bot.history.factor_history import feature_returns
from bot.judging.judge import Ensemble, contributions, ranked_reference
from bot.reporting._error_analysis import EraShape, bin_means, era_shape
from bot.scoring.metrics import corr_table, corrs, fnc_table, row_noise, target_variance
from bot.scoring.neutralize import exposures
from bot.scoring.ranked_columns import RankedColumns, rank_correlations
from bot.serving.artifacts import Artifact
from bot.serving.names import ENSEMBLE
from bot.system.progress import ProgressCallback
from bot.training.training_set import TrainingSet

REFERENCE_NAMES = {"bmc": "benchmark", "mmc": "meta model"}
"""Names of the reference models behind the scores."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenEras:
    """
    The judged members of an artifact, and the eras to evaluate them on.

    Attributes:
        artifact: The artifact.
        ensemble: Its judged members.
        positions: Positions of the eras in the store, ascending; the members were trained on none of them.
        target: Target of CORR.
    """

    artifact: Artifact
    ensemble: Ensemble
    positions: tuple[int, ...]
    target: str

    @property
    def data(self) -> TrainingSet:
        """Return the rows of the store as the members take them."""
        return self.ensemble.data


@dataclass(frozen=True, slots=True, kw_only=True)
class EraMeasurements:
    """
    Measurements of members and ensemble, era by era.

    Attributes:
        eras: Labels of the eras, in order.
        scores: ``corr``, ``fnc``, ``bmc`` and ``mmc`` by member; NaN for an era without a score. Shape ``(E,)`` each.
        by_target: CORR with each target by member. Shape ``(E,)`` each.
        alike: Rank correlation of each pair of members, and of each with benchmark and meta model. Shape ``(E,)`` each.
        bins: Mean main target in ten bins of the predictions by member. Shape ``(E, 10)`` each.
        others: CORR of the benchmark model and of the meta model. Shape ``(E,)`` each.
        exposure: Correlation of the ensemble with each feature. Shape ``(E, F)``.
        returns: Correlation of each feature with the main target. Shape ``(E, F)``.
        shapes: Statistics of the features of each era.
        absent: Reasons why a score was computed in no era.
        rows: Rows with the main target. Shape ``(E,)``.
        target_variance: Variance of the main target in steps of one bin. Shape ``(E,)``.
    """

    eras: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Floats]]
    by_target: Mapping[str, Mapping[str, Floats]]
    alike: Mapping[tuple[str, str], Floats]
    bins: Mapping[str, Floats]
    others: Mapping[str, Floats]
    exposure: Floats
    returns: Floats
    shapes: tuple[EraShape, ...]
    absent: Mapping[str, str]
    rows: Floats
    target_variance: Floats

    def noise(self, score: str) -> Floats:
        """Return the noise of a score that comes from finite rows, see :func:`row_noise`. Shape ``(E,)``."""
        return row_noise(score, self.rows, self.target_variance)


def measure_eras(
    eras: UnseenEras,
    *,
    reference: ReferencePredictions,
    neutral: Columns | None,
    report_progress: ProgressCallback,
) -> EraMeasurements:
    """
    Score members and ensemble in every era, and measure the features of the era.

    Args:
        eras: The members and the eras.
        reference: Predictions that contributions are measured against.
        neutral: Features that FNC neutralizes to, of the same store; ``None`` if the data have no such set.
        report_progress: Called with the progress.
    """
    series = _Series(eras=eras, reference=reference, neutral=neutral)
    for done, position in enumerate(eras.positions):
        report_progress("evaluate", done / len(eras.positions), f"{len(eras.positions)} eras")
        series.add_era(position)
    return series.measurements()


@dataclass(slots=True, kw_only=True)
class _Series:
    """Lists that grow by one value per era."""

    eras: UnseenEras
    reference: ReferencePredictions
    neutral: Columns | None
    scores: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    by_target: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    alike: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    bins: dict[str, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    others: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    exposure: list[Floats] = field(default_factory=list)
    returns: list[Floats] = field(default_factory=list)
    shapes: list[EraShape] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    variances: list[float] = field(default_factory=list)

    def add_era(self, position: int) -> None:
        """Measure the era at *position*."""
        data, ensemble = self.eras.data, self.eras.ensemble
        rows = data.prepared(position)
        reference = {kind: by_era.get(position) for kind, by_era in self.reference.by_era.items()}
        scores = ensemble.score(position, reference.get("bmc")).scores
        target = data.target(position, self.eras.target)
        columns, names = RankedColumns(np.column_stack(list(scores.values()))), list(scores)
        others = {kind: ranked_reference(predictions) for kind, predictions in reference.items()}
        measured = {"corr": corrs(columns, target)}
        measured |= {kind: contributions(columns, other, target) for kind, other in others.items()}
        if self.neutral is not None:
            measured["fnc"] = fnc_table(columns, self.neutral.features(position), target)[:, 0]
        for kind, values in measured.items():
            _append(self.scores[kind], names, values)
        truths = np.column_stack([data.target(position, one) for one in data.targets])
        for one, values in zip(data.targets, corr_table(columns, truths).T, strict=True):
            _append(self.by_target[one], names, values)
        for name, tenths in zip(names, bin_means(columns, target), strict=True):
            self.bins[name].append(tenths)
        self._add_alike(names, columns, others)
        for kind, other in others.items():
            known = float("nan") if other is None else float(corrs(other, target)[0])
            self.others[REFERENCE_NAMES[kind]].append(known)
        self.exposure.append(exposures(scores[ENSEMBLE], rows.features))
        self.returns.append(feature_returns(rows.features, target[:, None])[:, 0].astype(np.float64))
        self.shapes.append(era_shape(data.store.features(position)))
        self.rows.append(float(np.isfinite(target).sum()))
        self.variances.append(target_variance(target))

    def _add_alike(
        self, names: Sequence[str], columns: RankedColumns, others: Mapping[str, RankedColumns | None]
    ) -> None:
        """Add the rank correlations of members with each other and with the reference models."""
        unknown = np.full((len(names), 1), np.nan)
        found = {
            kind: unknown if other is None else rank_correlations(columns, other) for kind, other in others.items()
        }
        for row, name in enumerate(names):
            for kind, correlations in found.items():
                self.alike[name, REFERENCE_NAMES[kind]].append(float(correlations[row, 0]))
        between = rank_correlations(columns, columns)
        for (one, first), (two, second) in combinations(enumerate(names), 2):
            self.alike[first, second].append(float(between[one, two]))

    def measurements(self) -> EraMeasurements:
        """Return the lists as arrays."""
        return EraMeasurements(
            eras=tuple(self.eras.data.store.eras[position] for position in self.eras.positions),
            scores=_arrays(self.scores),
            by_target=_arrays(self.by_target),
            alike={pair: np.array(series) for pair, series in self.alike.items()},
            bins={name: np.stack(series) for name, series in self.bins.items()},
            others={name: np.array(series) for name, series in self.others.items()},
            exposure=np.stack(self.exposure),
            returns=np.stack(self.returns),
            shapes=tuple(self.shapes),
            absent=dict(self.reference.absent),
            rows=np.array(self.rows),
            target_variance=np.array(self.variances),
        )


def _append(series: Mapping[str, list[float]], names: Sequence[str], values: Floats) -> None:
    for name, value in zip(names, values.tolist(), strict=True):
        series[name].append(value)


def _arrays(series: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, Floats]]:
    return {name: {member: np.array(values) for member, values in by.items()} for name, by in series.items()}
