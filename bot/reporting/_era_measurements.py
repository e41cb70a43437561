"""
Everything about a candidate on eras that it has not seen: one number, or one small array, for each era.

What can be told from scores alone is told for every era; what costs another run of the models, such as the calibration
of the network's classes, is told for a sample of evenly spaced eras.
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
from bot.judging.judge import ENSEMBLE, Ensemble, contribution
from bot.reporting._error_analysis import EraShape, bin_means, era_shape
from bot.scoring.metrics import corr, corr_table, fnc_table
from bot.scoring.neutralize import exposures
from bot.system.progress import ProgressCallback
from models.inference.ranks import rank_correlation

OTHERS = {"bmc": "benchmark", "mmc": "meta model"}
"""Names of the reference models behind the scores."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EraMeasurements:
    """
    A candidate's eras, measured.

    Attributes:
        eras: Labels in order.
        scores: ``corr``, ``fnc``, ``bmc`` and ``mmc`` by member, NaN where there is none. Shape ``(E,)`` each.
        by_target: CORR with each target by member. Shape ``(E,)`` each.
        alike: Rank correlation of each pair of members, and of each with benchmark and meta model. Shape ``(E,)`` each.
        bins: Mean main target in ten bins of the predictions by member. Shape ``(E, 10)`` each.
        others: CORR of benchmark and meta model themselves. Shape ``(E,)`` each.
        exposure: Correlation of the ensemble with each feature. Shape ``(E, F)``.
        returns: Correlation of each feature with the main target. Shape ``(E, F)``.
        shapes: What the rows look like.
        absent: Why a score could not be computed in any era.
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


@dataclass(slots=True)
class _Collected:
    """Lists that grow era by era."""

    scores: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    by_target: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    alike: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    bins: dict[str, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    others: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    exposure: list[Floats] = field(default_factory=list)
    returns: list[Floats] = field(default_factory=list)
    shapes: list[EraShape] = field(default_factory=list)


def measure_eras(
    candidate: Ensemble,
    positions: Sequence[int],
    *,
    target: str,
    targets: Sequence[str],
    reference: ReferencePredictions,
    neutral: Columns | None,
    report_progress: ProgressCallback,
) -> EraMeasurements:
    """
    Score a candidate on the eras at *positions*, and look at the eras themselves.

    Args:
        candidate: Models that have not seen them.
        positions: Of the eras, ascending.
        target: The main truth.
        targets: Every truth; those the store lacks are an error of the caller.
        reference: Predictions that contributions are measured against.
        neutral: Features that FNC leaves out, of the same store; ``None`` where the data have no such set.
        report_progress: Called with the progress.
    """
    found = _Collected()
    for done, position in enumerate(positions):
        report_progress("evaluate", done / len(positions), f"{len(positions)} eras")
        _era(candidate, position, target, targets, reference, neutral, found)
    data = candidate.data
    return EraMeasurements(
        eras=tuple(data.store.eras[position] for position in positions),
        scores=_arrays(found.scores),
        by_target=_arrays(found.by_target),
        alike={pair: np.array(series) for pair, series in found.alike.items()},
        bins={name: np.stack(series) for name, series in found.bins.items()},
        others={name: np.array(series) for name, series in found.others.items()},
        exposure=np.stack(found.exposure),
        returns=np.stack(found.returns),
        shapes=tuple(found.shapes),
        absent=dict(reference.absent),
    )


def _era(
    candidate: Ensemble,
    position: int,
    target: str,
    targets: Sequence[str],
    reference: ReferencePredictions,
    neutral: Columns | None,
    found: _Collected,
) -> None:
    data = candidate.data
    rows, seen = data.prepared(position), data.window(position)
    benchmark = reference.by_era.get("bmc", {}).get(position)
    scores = candidate.score_rows(rows, "masked" if seen is None else seen, benchmark).scores
    truth = data.target(position, target)
    of_era = {name: by_era.get(position) for name, by_era in reference.by_era.items()}
    columns = np.column_stack(list(scores.values()))
    on_targets = corr_table(columns, np.column_stack([data.target(position, one) for one in targets]))
    for index, (name, values) in enumerate(scores.items()):
        found.scores["corr"][name].append(corr(values, truth))
        found.bins[name].append(bin_means(values, truth).astype(np.float64))
        for one, score in zip(targets, on_targets[index], strict=True):
            found.by_target[one][name].append(float(score))
        for kind, opinion in of_era.items():
            found.scores[kind][name].append(contribution(values, opinion, truth))
            found.alike[name, OTHERS[kind]].append(_alike(values, opinion))
    if neutral is not None:
        left = fnc_table(columns, neutral.features(position), truth)[:, 0]
        for name, score in zip(scores, left.tolist(), strict=True):
            found.scores["fnc"][name].append(score)
    for first, second in combinations(scores, 2):
        found.alike[first, second].append(rank_correlation(scores[first], scores[second]))
    for kind, opinion in of_era.items():
        found.others[OTHERS[kind]].append(_corr_where_known(opinion, truth))
    found.exposure.append(exposures(scores[ENSEMBLE], rows.features))
    found.returns.append(feature_returns(rows.features, truth[:, None])[:, 0].astype(np.float64))
    found.shapes.append(era_shape(data.store.features(position)))


def _alike(values: Floats, opinion: Floats | None) -> float:
    if opinion is None:
        return float("nan")
    known = np.isfinite(opinion)
    return rank_correlation(values[known], opinion[known]) if known.sum() > 1 else float("nan")


def _corr_where_known(opinion: Floats | None, truth: npt.NDArray[np.float32]) -> float:
    if opinion is None:
        return float("nan")
    known = np.isfinite(opinion)
    return corr(opinion[known], truth[known])


def _arrays(series: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, Floats]]:
    return {name: {member: np.array(values) for member, values in by.items()} for name, by in series.items()}
