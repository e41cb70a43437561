"""
Generated eras of v5.3's shape in memory, and the speed of the training loop on them.

Rows and features are those of v5.3's ``all``: 3,555 features, 2,746,268 rows in the 574 eras of train, 6,853,308 rows in
the 1,231 eras of train and validation together. A refit trains on the resolved ones.
"""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.bins import TARGET_SHARES, TARGET_VALUES
from models.inference.export import random_inputs
from models.network.network import Network
from models.network.network_config import NetworkConfig
from models.training.training import EraBatch, Progress, TrainingOptions, train

FEATURES = 3_555
TRAIN_ROWS = 2_746_268
ALL_ROWS, ALL_ERAS = 6_853_308, 1_231
ERA_ROWS = ALL_ROWS // ALL_ERAS
DISTINCT = 4
"""Number of distinct eras; the others repeat them, so that generating them is not measured."""


@dataclass
class MadeEras:
    """Eras of random codes and targets for :func:`models.training.training.train`."""

    config: NetworkConfig
    count: int
    rows: int = ERA_ROWS
    made: list[tuple[EraBatch, np.ndarray | None]] = field(init=False)

    def __post_init__(self) -> None:
        """Generate the distinct eras."""
        self.made = [self._era(number) for number in range(min(DISTINCT, self.count))]

    @property
    def eras(self) -> list[str]:
        """Return the names of the eras."""
        return [f"{number:04d}" for number in range(self.count)]

    def batch(self, index: int) -> EraBatch:
        """Return an era."""
        return self.made[index % len(self.made)][0]

    def window(self, index: int) -> np.ndarray | None:
        """Return the history window of an era."""
        return self.made[index % len(self.made)][1]

    def _era(self, number: int) -> tuple[EraBatch, np.ndarray | None]:
        inputs = {name: value.numpy() for name, value in random_inputs(self.config, self.rows, seed=number).items()}
        shape = (self.rows, len(self.config.targets))
        classes = np.random.default_rng(number).choice(len(TARGET_VALUES), size=shape, p=TARGET_SHARES)
        batch = EraBatch(
            era=str(number),
            features=inputs["features"],
            engineered=inputs.get("engineered"),
            targets=np.array(TARGET_VALUES, dtype=np.float32)[classes],
        )
        return batch, inputs.get("window")


def rows_per_s(config: NetworkConfig, eras: MadeEras, options: TrainingOptions, *, device: torch.device) -> float:
    """
    Return rows per second in the second of two epochs, with caches warm and as many eras on the device as fit.

    It is wall time on a GPU. On a CPU it is the CPU time of this process, because other processes may use the CPU too.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    ends = []

    def record(progress: Progress) -> None:
        if progress.step in (eras.count, 2 * eras.count):
            if device.type == "cuda":
                torch.cuda.synchronize()
            ends.append(clock())

    train(
        config,
        eras,
        MadeEras(config, 0),
        options,
        score=lambda _predictions, _targets, _benchmark: 0.0,
        on_progress=record,
    )
    return eras.count * eras.rows / (ends[1] - ends[0])


def training_flops(config: NetworkConfig) -> float:
    """Return the floating-point operations of the matrix products of one row's forward and backward pass."""
    network, rows = Network(config).train(), 256
    with FlopCounterMode(display=False) as counter:
        inputs = random_inputs(config, rows, seed=0)
        given = [inputs.get(name) for name in ("features", "engineered", "window")]
        network(*given).sum().backward()
    return counter.get_total_flops() / rows


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of a large square matrix product on this device, the best of several runs."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    best = float("inf")
    for _ in range(5):
        began = clock()
        for _ in range(10 if device.type == "cuda" else 1):
            left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, (clock() - began) / (10 if device.type == "cuda" else 1))
    return 2 * size**3 / best
