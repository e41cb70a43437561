"""What goes into a training run and what comes out of it, as values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from models.losses import LOSSES
from models.network import Network

Floats = npt.NDArray[np.float32]

Score = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], float]
"""CORR of one era: predictions and targets of its rows to a number; NaN where it cannot be scored."""


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or NaN; a lower learning rate or a smaller network may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EraBatch:
    """
    All rows of one era.

    Attributes:
        era: Its name.
        features: int8 codes, shape ``[n, F]``.
        engineered: float32, shape ``[n, E]``; not read where the network takes none.
        history: float32, shape ``[n, L, C]``; not read where the network takes none; ``None`` masks it.
        targets: float32, shape ``[n, T]``; NaN where unknown.
    """

    era: str
    features: npt.NDArray[np.int8]
    engineered: Floats | None
    history: Floats | None
    targets: Floats


class EraSource(Protocol):
    """Eras by position; a batch is built when it is asked for, so that history never exists for all rows."""

    @property
    def eras(self) -> Sequence[str]:
        """Return the names of the eras, oldest first."""

    def batch(self, index: int) -> EraBatch:
        """Return the era at position *index*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """
    How a network is fitted.

    Attributes:
        main_target: The target whose CORR decides when to stop; one of the network's.
        epochs: Passes over the training eras at most.
        learning_rate: Peak of the one-cycle schedule.
        warm_up: Share of the steps that lead up to the peak.
        weight_decay: Of weight matrices; norms, biases and descriptors are not decayed.
        clip: Largest gradient norm.
        batch_rows: Rows per optimizer step at most; an era with more is split at random.
        patience: Evaluations without a better smoothed CORR before training stops.
        smoothing: Evaluations averaged in the smoothed CORR.
        evaluations_per_epoch: How often CORR is measured.
        seed: Of weights, era order, row order and dropout.
        device: ``auto`` takes CUDA where there is one.
        loss: A name in ``models.losses.LOSSES``.

    Raises:
        ValueError: A number that fits nothing, or an unknown loss.
    """

    main_target: str
    epochs: int = 3
    learning_rate: float = 1e-3
    warm_up: float = 0.1
    weight_decay: float = 1e-3
    clip: float = 1.0
    batch_rows: int = 4096
    patience: int = 6
    smoothing: int = 3
    evaluations_per_epoch: int = 4
    seed: int = 7
    device: Literal["auto", "cpu", "cuda"] = "auto"
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        """Refuse numbers that fit nothing."""
        for name in ("epochs", "batch_rows", "patience", "smoothing", "evaluations_per_epoch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.learning_rate <= 0 or self.clip <= 0 or self.weight_decay < 0 or not 0 < self.warm_up < 1:
            raise ValueError(
                "learning_rate and clip must be positive, weight_decay not negative, warm_up inside (0, 1)"
            )
        if self.loss not in LOSSES:
            raise ValueError(f"loss {self.loss!r} is unknown; known: {', '.join(LOSSES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """
    One measurement.

    Attributes:
        step: Training eras seen.
        loss: Mean training loss since the last evaluation; NaN where no target was known.
        corr: Mean CORR over validation eras; NaN where none can be scored.
        smoothed: Mean of the newest evaluations' ``corr``.
        learning_rate: Of the next step.
    """

    step: int
    loss: float
    corr: float
    smoothed: float
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    Where training stands after an era.

    Attributes:
        step: Training eras seen.
        steps: Training eras of all epochs; early stopping may end sooner.
        loss: Training loss at the newest evaluation, of the first era before that.
        corr: Validation CORR at the newest evaluation; ``None`` before the first.
        rows_per_s: Rows learned from per second so far, evaluations included.
        seconds_left: To the last epoch's end at this pace.
    """

    step: int
    steps: int
    loss: float
    corr: float | None
    rows_per_s: float
    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """
    What training leaves.

    Attributes:
        network: On the CPU, in evaluation mode, with the weights of the best evaluation.
        evaluations: Every measurement, in order.
        best_step: Eras seen when the weights were taken.
        best_corr: Mean validation CORR of those weights; NaN without validation.
        corr_per_era: The same era by era; eras that cannot be scored are absent.
        seconds: Wall time.
    """

    network: Network
    evaluations: tuple[Evaluation, ...]
    best_step: int
    best_corr: float
    corr_per_era: dict[str, float]
    seconds: float
