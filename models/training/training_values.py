"""What goes into a training run and what comes out of it, as values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.network.network import Network
from models.training._losses import loss

Floats = npt.NDArray[np.float32]

Score = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], float]
"""CORR of one era: predictions and targets of its rows to a number; NaN where it cannot be scored."""


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or NaN; a lower learning rate or a smaller network may help."""


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
        eras_per_step: Eras whose mean gradient makes one step; a multiple of the processes that train together.
        era_stride: An epoch takes every *n*-th era, each with the next offset; neighbours share most of a target.
        batch_rows: Rows on the device at once at most; an era with more is added up in random parts.
        patience: Evaluations without a better smoothed CORR before training stops.
        smoothing: Evaluations averaged in the smoothed CORR.
        evaluations_per_epoch: How often CORR is measured.
        stop_after: Steps after which training ends, whatever the schedule's length; 0 for its end.
        seed: Of weights, era order, row order and dropout.
        device: ``auto`` takes CUDA where there is one.
        precision: ``bfloat16`` computes matrix products in it (norms and softmax stay float32); ``auto`` does on CUDA.
        compiled: Let ``torch.compile`` fuse the network; pays on CUDA after minutes, needs a compiler.
        resident_share: Part of the device's free memory for eras that stay on it; unused on a CPU.
        loss: A name in ``models.training._losses.LOSSES``.
        pearson_weight: How much of the per-era correlation loss is added to it.

    Raises:
        ValueError: A number that fits nothing, or an unknown loss.
    """

    main_target: str
    epochs: int = 3
    learning_rate: float = 1e-3
    warm_up: float = 0.1
    weight_decay: float = 1e-3
    clip: float = 1.0
    eras_per_step: int = 1
    era_stride: int = 1
    batch_rows: int = 8192
    patience: int = 6
    smoothing: int = 3
    evaluations_per_epoch: int = 4
    stop_after: int = 0
    seed: int = 7
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compiled: bool = False
    resident_share: float = 0.6
    loss: str = "cross_entropy"
    pearson_weight: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that fit nothing."""
        whole = ("epochs", "eras_per_step", "era_stride", "batch_rows", "patience", "smoothing")
        for name in (*whole, "evaluations_per_epoch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.learning_rate <= 0 or self.clip <= 0 or self.weight_decay < 0 or not 0 < self.warm_up < 1:
            raise ValueError(
                "learning_rate and clip must be positive, weight_decay not negative, warm_up inside (0, 1)"
            )
        if self.stop_after < 0 or self.pearson_weight < 0 or not 0 <= self.resident_share <= 1:
            raise ValueError("stop_after and pearson_weight must not be negative, resident_share inside [0, 1]")
        loss(self.loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """
    One measurement.

    Attributes:
        step: Optimizer steps taken.
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
    Where training stands after a step.

    Attributes:
        step: Optimizer steps taken.
        steps: Steps to the end; early stopping may end sooner.
        loss: Training loss at the newest evaluation, of the first era before that.
        corr: Validation CORR at the newest evaluation; ``None`` before the first.
        rows_per_s: Rows learned from per second so far, evaluations included.
        seconds_left: To the last step at this pace.
        batch_rows: Rows on the device at once; fewer than asked for where its memory is too small.
        evaluated: This step ended with an evaluation.
    """

    step: int
    steps: int
    loss: float
    corr: float | None
    rows_per_s: float
    seconds_left: float
    batch_rows: int
    evaluated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """
    What training leaves.

    Attributes:
        network: On the CPU, in evaluation mode, with the weights of the best evaluation.
        evaluations: Every measurement, in order.
        best_step: Steps taken when the weights were.
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
