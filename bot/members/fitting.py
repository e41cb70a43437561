"""
Everything that a kind receives to fit a model: eras, positions, folders and callbacks.

:mod:`bot.training` implements :class:`TrainingEras` over the era store.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from bot.features.preprocess import Prepared, Preprocess
from bot.history.factor_history import FeatureReturns
from bot.members.member import Unit
from bot.system.progress import CountCallback, ProgressCallback, RecordMetrics
from models.training.era_batch import EraSource
from models.trees.gbm_options import Chunks

Device = Literal["auto", "cpu", "cuda"]
Floats = npt.NDArray[np.float32]


class LabelledRows(Protocol):
    """Rows with a known label, column by column."""

    @property
    def chunks(self) -> Chunks:
        """Return the columns of each run of eras, features before engineered ones."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.float32]:
        """Return the labels of all rows. Shape ``(rows,)``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """
    Positions of a walk-forward fold; an embargo lies between its two blocks.

    Attributes:
        train: Eras to fit on.
        validation: The eras that follow.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]


class TrainingEras(Protocol):
    """The history with the columns of one model; a position is that of an era in the store."""

    @property
    def manifest(self) -> Preprocess:
        """Return the preprocessing."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the targets that the model learns, auxiliary ones included."""
        ...

    @property
    def era_names(self) -> Sequence[str]:
        """Return the name of each era, such as ``0158``."""
        ...

    @property
    def returns(self) -> FeatureReturns | None:
        """Return the realised feature returns of the history targets; ``None`` without history."""
        ...

    @property
    def lookback(self) -> int:
        """Return the number of resolved eras on the historical axis."""
        ...

    @property
    def benchmark(self) -> Mapping[int, Floats] | None:
        """Return normal scores of the benchmark's predictions by position; ``None`` where the model needs none."""
        ...

    @property
    def predictions(self) -> Callable[[int], Floats | None] | None:
        """Return the function of stacked predictions, ``None`` where the model is not stacked."""
        ...

    def with_predictions(self, predictions: Callable[[int], Floats | None]) -> Self:
        """Return the same eras with stacked predictions."""
        ...

    def folds(self, target: str, *, chunk: int, every: int) -> Sequence[Fold]:
        """Return walk-forward folds of *chunk* eras each, of all eras, labelled or not, an embargo of *target* apart."""
        ...

    def rows(self, position: int) -> int:
        """Return the number of rows of an era."""
        ...

    def prepared(self, position: int) -> Prepared:
        """Return the rows of an era after the preprocessing."""
        ...

    def window(self, position: int) -> Floats | None:
        """Return the feature returns that were resolved when an era was live. Shape ``(L, F, T)``."""
        ...

    def target(self, position: int, name: str) -> Floats:
        """Return a target of an era, NaN where unknown. Shape ``(rows,)``."""
        ...

    def label(self, position: int, name: str) -> Floats:
        """Return the label of a target: the target itself, or its residual; NaN where unknown. Shape ``(rows,)``."""
        ...

    def labelled(self, target: str) -> npt.NDArray[np.bool_]:
        """Return for each era whether a target is known in it. Shape ``(eras,)``."""
        ...

    def eras(self, positions: Sequence[int], weights: Mapping[int, float] | None = None) -> EraSource:
        """Return eras as batches for a network, with their weights in the loss where they have some."""
        ...

    def table(
        self,
        positions: Sequence[int],
        target: str,
        *,
        temporary: Path | None = None,
        on_progress: CountCallback | None = None,
    ) -> LabelledRows:
        """
        Return the labelled rows of some eras, column by column; copies go to the folder *temporary*.

        *on_progress* is called with the eras done and those in all.
        """
        ...

    def digest(self, positions: Sequence[int], target: str) -> str:
        """Return the sha256 of everything that determines the rows of :meth:`table`, except the labels."""
        ...

    @property
    def content(self) -> str:
        """Return the sha256 of the stored files and of the preprocessing."""
        ...


def _show_nothing(_stage: str, _share: float, _note: str) -> None:
    """Stand in for a callback; functions with a name can be sent to another process."""


def _never() -> bool:
    return False


def _record_nothing(_run: str, _step: int, _measured: Mapping[str, float]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """
    One fit of a model.

    Attributes:
        unit: The model's members.
        data: History with the model's columns.
        train: Positions of the eras that parameters are fitted on.
        validation: Positions of later eras, for early stopping; an embargo lies between.
        resolved: Positions of the eras that the served model learns from; empty where the judged model is served.
        every: Distance of the training eras.
        half_life: Eras after which an era counts half as much as the newest one; 0 lets all count alike.
        judged: Folder for the model that has not seen the hold-out; the caller copies it where nothing else is served.
        served: Folder for the model that learns from the resolved eras, where there are any.
        checkpoints: Folder for the state of an interrupted fit. The caller removes it in the end.
        folds: Folder for predictions that later fits can use.
        corr_multiplier: Weight of CORR in pay.
        mmc_multiplier: Weight of MMC or BMC in pay.
        device: Device to train on.
        report_progress: Called with the progress of the judged model, share 0 to 1; of the served one see :meth:`reporting`.
        should_stop: Called after every step; the fit ends when it returns true.
        record_metrics: Called with the metrics of every evaluation.
    """

    unit: Unit
    data: TrainingEras
    train: tuple[int, ...]
    validation: tuple[int, ...]
    resolved: tuple[int, ...]
    every: int
    judged: Path
    served: Path
    checkpoints: Path
    folds: Path
    half_life: int = 0
    corr_multiplier: float = 3.0
    mmc_multiplier: float = 15.0
    device: Device = "auto"
    report_progress: ProgressCallback = _show_nothing
    should_stop: Callable[[], bool] = _never
    record_metrics: RecordMetrics = _record_nothing

    def without_callbacks(self) -> "FitJob":
        """Return the same fit for another process."""
        callbacks = ("report_progress", "should_stop", "record_metrics")
        return FitJob(**{one.name: getattr(self, one.name) for one in fields(self) if one.name not in callbacks})

    @property
    def blocks(self) -> Mapping[Path, tuple[int, ...]]:
        """Return the training eras of each model by its folder: the judged model, and the served one where it differs."""
        return {self.judged: self.train} | ({self.served: self.resolved} if self.resolved else {})

    def reporting(self, folder: Path) -> ProgressCallback:
        """Return the callback for the model of a folder of :attr:`blocks`; the stages of a refit begin with ``refit``."""
        if folder != self.served or not self.resolved:
            return self.report_progress
        return lambda stage, share, note: self.report_progress(f"refit {stage}", share, note)


def era_weights(positions: Sequence[int], half_life: int) -> dict[int, float]:
    """
    Return the weight of each training era, mean 1: it halves with every *half_life* eras of age.

    Args:
        positions: Positions of the training eras, ascending.
        half_life: Half-life in eras; 0 returns 1 for each.
    """
    if not half_life:
        return dict.fromkeys(positions, 1.0)
    raw = 0.5 ** ((positions[-1] - np.array(positions, dtype=np.float64)) / half_life)
    return dict(zip(positions, (raw / raw.mean()).tolist(), strict=True))


def row_weights(data: TrainingEras, positions: Sequence[int], target: str, half_life: int) -> Floats | None:
    """Return the weight of each row of :meth:`TrainingEras.table`; ``None`` where all count alike. Shape ``(rows,)``."""
    if not half_life:
        return None
    weights = era_weights(positions, half_life)
    rows = [int(np.isfinite(data.label(position, target)).sum()) for position in positions]
    return np.repeat([weights[position] for position in positions], rows).astype(np.float32)


Facts = Mapping[str, Any]
"""Facts of a finished fit for the artifact's manifest, as JSON."""
