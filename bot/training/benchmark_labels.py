"""Learn for MMC: what Numerai's benchmark model leaves of the targets, in the eras that it speaks about."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from bot.data.era_store import EraStore
from bot.data.reference_predictions import ReferencePredictions, benchmark_model
from bot.errors import OperatorNeeded
from bot.scoring.coverage import if_covered
from bot.training.training_set import TrainingSet
from models.inference.ensemble import gaussianize

Floats = npt.NDArray[np.float32]
log = structlog.get_logger()


def with_benchmark(data: TrainingSet, store: EraStore, folder: Path, *, target: str) -> TrainingSet:
    """
    Return *data* with the benchmark model of *target*, whose projection is taken out of every label.

    Eras that it says nothing about are not learned from: :func:`covered_positions` drops them. The real files begin at era 1133,
    so that a network of this kind sees a tenth of the history.

    Args:
        data: What is learned from.
        store: Names its rows.
        folder: Of the synced files.
        target: Main target.

    Raises:
        OperatorNeeded: There is no benchmark model of the target for any era.
    """
    reference = ReferencePredictions.read(folder, store, range(len(store.eras)), target=target)
    known = {position: _scores(one) for position, one in reference.by_era.get("bmc", {}).items()}
    known = {position: one for position, one in known.items() if np.isfinite(one).any()}
    if not known:
        reason = reference.absent.get("bmc", "its predictions are of other rows")
        raise OperatorNeeded(f"labels of the benchmark's residual need its predictions: {reason}; run `bot sync`")
    return replace(data, benchmark=known)


def neutralizer_column(folder: Path, store: EraStore, positions: Sequence[int], target: str) -> str:
    """
    Return the column of the benchmark model that an ensemble is neutralized to, live as on the eras at *positions*.

    Raises:
        OperatorNeeded: There is none, or one of these eras, which are to be judged as rounds are sent, lacks it.
    """
    reference, column = (
        ReferencePredictions.read(folder, store, positions, target=target),
        benchmark_model(folder, target),
    )
    known = {one for one, said in reference.by_era.get("bmc", {}).items() if if_covered(said) is not None}
    absent = [store.eras[one] for one in positions if one not in known]
    if column is None or absent:
        reason = reference.absent.get("bmc", f"it does not speak about era {absent[0] if absent else ''}")
        raise OperatorNeeded(
            f"neutralizers = 'benchmark' needs the benchmark model in every hold-out era: {reason}; run `bot sync`,"
            " hold out fewer eras, or take a feature set"
        )
    return column


def covered_positions(data: TrainingSet, positions: Sequence[int], block: str) -> tuple[int, ...]:
    """
    Return those of *positions* that the benchmark speaks about; all of them where *data* has no benchmark.

    Raises:
        OperatorNeeded: It speaks about none.
    """
    if data.benchmark is None:
        return tuple(positions)
    kept = tuple(position for position in positions if position in data.benchmark)
    if not kept:
        first, last = (data.store.eras[one] for one in (min(data.benchmark), max(data.benchmark)))
        raise OperatorNeeded(
            f"the benchmark model speaks about eras {first} to {last}, none of them a {block} era;"
            " hold out fewer eras, or learn the targets themselves (labels = target)"
        )
    if len(kept) < len(positions):
        log.info("network.eras_without_benchmark", block=block, left_out=len(positions) - len(kept), eras=len(kept))
    return kept


def _scores(opinion: npt.NDArray[np.float64]) -> Floats:
    """Return normal scores of the rows that are covered, NaN elsewhere."""
    scores = np.full(len(opinion), np.nan, dtype=np.float32)
    known = np.isfinite(opinion)
    scores[known] = gaussianize(opinion[known])
    return scores
