"""The state of a training run, and its form in a checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from models.stopping import TrainingDiverged
from models.training.training_values import Evaluation


class Part(Protocol):
    """An object whose state a checkpoint holds: the network, its average, the optimizer, the schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:  # noqa: ANN401 - torch's classes return unlike things
        """Set the state."""


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """
    State of a run.

    Attributes:
        batch_rows: Number of rows on the device at once; halved when its memory is too small.
        step: Optimizer steps taken.
        seconds: Wall time of the run, interruptions excluded.
        losses: Losses of the eras since the last evaluation.
        evaluations: All evaluations, in order.
        best: Weights of the best evaluation so far; empty before the first.
        scores: Validation score by era of the best evaluation.
        smoothed: Smoothed score of the best evaluation.
        best_step: Step of the best evaluation.
        age: Number of evaluations since the best one.
    """

    batch_rows: int
    step: int = 0
    seconds: float = 0.0
    losses: list[Tensor] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    smoothed: float = float("-inf")
    best_step: int = 0
    age: int = 0

    def mean_loss(self) -> float:
        """
        Return the mean loss since the last evaluation; NaN if there is none.

        Raises:
            TrainingDiverged: The mean is not finite.
        """
        if not self.losses:
            return float("nan")
        mean = float(torch.stack(self.losses).mean())
        if not math.isfinite(mean):
            raise TrainingDiverged(f"the training loss is {mean}; lower the learning rate or the size of the network")
        return mean

    def saved(self, parts: Mapping[str, Part]) -> dict[str, Any]:
        """Return the state of the run and of its *parts* as tensors and plain values."""
        return {
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "run": {
                "batch_rows": self.batch_rows,
                "step": self.step,
                "seconds": self.seconds,
                "losses": [loss.cpu() for loss in self.losses],
                "evaluations": [asdict(evaluation) for evaluation in self.evaluations],
                "best": dict(self.best),
                "scores": dict(self.scores),
                "smoothed": self.smoothed,
                "best_step": self.best_step,
                "age": self.age,
            },
        }

    def restore(self, saved: dict[str, Any], parts: Mapping[str, Part], device: torch.device) -> None:
        """Set the state that :meth:`saved` returned; losses go to *device*."""
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        run = dict(saved["run"])
        run["losses"] = [loss.to(device) for loss in run["losses"]]
        run["evaluations"] = [Evaluation(**evaluation) for evaluation in run["evaluations"]]
        for name, value in run.items():
            setattr(self, name, value)
