"""Predictions of Numerai's benchmark model for training towards MMC: residual labels, the penalty, early stopping."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from bot.data.era_store import EraStore
from bot.data.reference_predictions import ReferencePredictions, benchmark_model
from bot.errors import OperatorNeeded
from bot.members import registry
from bot.scoring.coverage import if_covered
from bot.training.recipes import ResolvedRecipe
from bot.training.training_data import TrainingData
from bot.training.training_set import TrainingSet
from models.inference.ensemble import gaussianize

Floats = npt.NDArray[np.float32]
log = structlog.get_logger()


def with_benchmark(data: TrainingSet, store: EraStore, folder: Path, *, target: str) -> TrainingSet:
    """
    Return *data* with the predictions of the benchmark model of *target*, in the eras that it covers.

    The files of v5.3 begin at era 0158: they cover 87 % of the history.

    Args:
        data: Training set.
        store: Store of its rows.
        folder: Folder of the synced files.
        target: Main target.

    Raises:
        OperatorNeeded: There is no benchmark model of the target for any era.
    """
    reference = ReferencePredictions.read(folder, store, range(len(store.eras)), target=target)
    known = {position: _normal_scores(one) for position, one in reference.by_era.get("bmc", {}).items()}
    known = {position: one for position, one in known.items() if np.isfinite(one).any()}
    if not known:
        reason = reference.absent.get("bmc", "its predictions are of other rows")
        raise OperatorNeeded(
            f"label = 'residual', benchmark_penalty, and stop_on = 'bmc' or 'pay' need the benchmark's"
            f" predictions: {reason}; run `bot sync`"
        )
    return replace(data, benchmark=known)


def with_benchmarks(data: TrainingData, plan: ResolvedRecipe, folder: Path) -> TrainingData:
    """
    Return data whose models have the benchmark's predictions where they learn from them.

    Args:
        data: Data of a recipe.
        plan: The recipe.
        folder: Folder of the synced files.

    Raises:
        OperatorNeeded: There is no benchmark model of a target for any era.
    """
    store, models = data.main.store.store, dict(data.models)
    for unit in plan.units:
        owner = unit.owner
        if registry.find(owner.kind).needs(owner).benchmark:
            known = with_benchmark(models[owner.name], store, folder, target=str(owner.target))
            models[owner.name] = replace(known, residual=owner.residual if owner.label == "residual" else None)
    return replace(data, models=models)


def neutralizer_column(folder: Path, store: EraStore, positions: Sequence[int], target: str) -> str:
    """
    Return the column of the benchmark model that an ensemble is neutralized to.

    The eras at *positions* are judged as live rounds are submitted, so that each of them needs the benchmark.

    Raises:
        OperatorNeeded: There is no benchmark model of the target, or one of these eras lacks it.
    """
    reference, column = (
        ReferencePredictions.read(folder, store, positions, target=target),
        benchmark_model(folder, target),
    )
    known = {one for one, values in reference.by_era.get("bmc", {}).items() if if_covered(values) is not None}
    absent = [store.eras[one] for one in positions if one not in known]
    if column is None or absent:
        reason = reference.absent.get("bmc", f"it does not cover era {absent[0] if absent else ''}")
        raise OperatorNeeded(
            f"neutralizers = 'benchmark' needs the benchmark model in every hold-out era: {reason}; run `bot sync`,"
            " hold out fewer eras, or take a feature set"
        )
    return column


def live_benchmark(plan: ResolvedRecipe, folder: Path, store: EraStore, positions: Sequence[int]) -> str | None:
    """
    Return the column of the benchmark model that a live round needs; ``None`` where the recipe needs none.

    Args:
        plan: The recipe.
        folder: Folder of the synced files.
        store: Store of its rows.
        positions: Eras that need the benchmark too.

    Raises:
        OperatorNeeded: As :func:`neutralizer_column`.
    """
    members = any(registry.find(unit.owner.kind).needs(unit.owner).live_benchmark for unit in plan.units)
    return neutralizer_column(folder, store, positions, plan.target) if plan.recipe.to_benchmark or members else None


def _normal_scores(predictions: npt.NDArray[np.float64]) -> Floats:
    """Return normal scores of the rows that have a prediction, NaN elsewhere. Shape ``(rows,)``."""
    scores = np.full(len(predictions), np.nan, dtype=np.float32)
    known = np.isfinite(predictions)
    scores[known] = gaussianize(predictions[known])
    return scores
