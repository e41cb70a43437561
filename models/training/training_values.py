"""Options, progress and results of a training run, as values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.network.network import Network
from models.training._losses import loss

Floats = npt.NDArray[np.float32]

Score = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64], Floats | None], float]
"""Score of one era, higher is better, from predictions, targets and benchmark predictions of its rows with a target.

The benchmark is NaN where unknown, ``None`` for an era without any. The score is NaN for an era that cannot be scored.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """
    Options of a network's training.

    Attributes:
        main_target: Target of the network whose score decides when to stop.
        epochs: Largest number of passes over the training eras.
        steps: Number of steps, whatever the epochs; the schedule has this length, training does not stop before, and the
            last weights are kept. 0 trains by epochs.
        learning_rate: Peak of the one-cycle schedule.
        warm_up: Share of the steps before the peak.
        weight_decay: Decay of weight matrices. Norms, biases and descriptors are not decayed.
        clip: Largest gradient norm.
        eras_per_step: Number of eras whose mean gradient makes one step; a multiple of the number of processes.
        era_stride: An epoch takes every *n*-th era, starting one era later each time. Neighbours share most of a target.
        batch_rows: Largest number of rows on the device at once. A larger era is split into random parts.
        patience: Number of evaluations without a better smoothed score before training stops.
        smoothing: Number of evaluations averaged in the smoothed score.
        evaluations_per_epoch: Number of evaluations of the score in an epoch.
        stop_after: Number of steps after which training ends, whatever the schedule's length; 0 trains to its end.
        schedule_length: Number of steps of the schedule, so that a run on other eras has the learning rates of an earlier
            run; 0 takes the steps of all epochs.
        seed: Seed of weights, era order, row order and dropout.
        device: ``auto`` uses CUDA if it is available.
        precision: ``bfloat16`` computes matrix products in it (norms and softmax stay float32). ``auto`` uses it
            on CUDA devices that have it, and for wide row mixers on a CPU where it is measured to be faster.
        compiled: Whether ``torch.compile`` fuses the network. It needs a compiler, and saves time on CUDA after minutes.
        ema: Decay of the moving average of the weights, which is evaluated and kept; 0 takes the weights themselves.
        resident_share: Share of the device's free memory for eras that stay on it; unused on a CPU.
        loss: A name in ``models.training._losses.LOSSES``.
        pearson_weight: Weight of the per-era correlation loss that is added.
        residual: Share of their projection on the benchmark that the labels lose; ``None`` learns the targets. Every
            training era needs a benchmark then.
        benchmark_penalty: Weight of the squared correlation with the benchmark that is added, in eras that have one.

    Raises:
        ValueError: A number is out of range, or the loss is unknown.
    """

    main_target: str
    epochs: int = 3
    steps: int = 0
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
    schedule_length: int = 0
    seed: int = 7
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compiled: bool = False
    ema: float = 0.0
    resident_share: float = 0.6
    loss: str = "cross_entropy"
    pearson_weight: float = 0.0
    residual: float | None = None
    benchmark_penalty: float = 0.0

    def __post_init__(self) -> None:
        """Check all numbers and the loss."""
        whole = ("epochs", "eras_per_step", "era_stride", "batch_rows", "patience", "smoothing")
        for name in (*whole, "evaluations_per_epoch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.learning_rate <= 0 or self.clip <= 0 or self.weight_decay < 0 or not 0 < self.warm_up < 1:
            raise ValueError(
                "learning_rate and clip must be positive, weight_decay not negative, warm_up inside (0, 1)"
            )
        positive = ("steps", "stop_after", "schedule_length", "pearson_weight", "benchmark_penalty")
        if min(getattr(self, name) for name in positive) < 0:
            raise ValueError(f"{', '.join(positive)} must not be negative")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}; it must be in [0, 1)")
        if not 0 <= self.resident_share <= 1 or not 0 <= (self.residual or 0) <= 1:
            raise ValueError("resident_share and residual must be inside [0, 1]")
        loss(self.loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """
    One measurement.

    Attributes:
        step: Optimizer steps taken.
        loss: Mean training loss since the last evaluation; NaN if no target was known.
        score: Mean score of validation eras; NaN if none can be scored.
        smoothed: Mean ``score`` of the newest evaluations.
        learning_rate: Learning rate of the next step.
    """

    step: int
    loss: float
    score: float
    smoothed: float
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    Progress of a training after a step.

    Attributes:
        step: Optimizer steps taken.
        steps: Number of all steps; early stopping may end sooner.
        loss: Training loss at the newest evaluation, or of the first era before there is one.
        score: Validation score at the newest evaluation; ``None`` before the first.
        rows_per_s: Rows trained on a second so far, time of evaluations included.
        seconds_left: Seconds to the last step at this pace.
        batch_rows: Number of rows on the device at once; smaller than the option if its memory is too small.
        evaluated: Whether this step ended with an evaluation.
    """

    step: int
    steps: int
    loss: float
    score: float | None
    rows_per_s: float
    seconds_left: float
    batch_rows: int
    evaluated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """
    Result of a training.

    Attributes:
        network: The network with the weights of the best evaluation, or after ``steps`` the last ones, on the CPU, in evaluation mode.
        evaluations: All evaluations, in order.
        best_step: Step of these weights.
        best_score: Mean validation score of those weights; NaN without validation.
        score_per_era: Validation score by era, without eras that cannot be scored.
        schedule_length: Number of steps of the learning-rate schedule; training may have stopped before.
        seconds: Wall time of the training.
    """

    network: Network
    evaluations: tuple[Evaluation, ...]
    best_step: int
    best_score: float
    score_per_era: dict[str, float]
    schedule_length: int
    seconds: float
