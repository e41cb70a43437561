"""
Training on this machine's device beside the speed of an epoch: precision, memory, interruption, export and trees.

Each check prints one line: what was measured, the goal, and whether it is met. On a CPU the same checks run with the same code;
lack of memory is played there, because a CPU has no allocator that says so. ``gpu_check.sh`` runs this after ``gpu_epoch.py``.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from gpu_epoch import device_name
from live_inputs import standard_manifest, standard_network
from made_eras import FEATURES, MadeEras

from bot.scoring.metrics import corr
from models.bins import TARGET_SHARES, TARGET_VALUES
from models.inference.export import LOGIT_TOLERANCE, export
from models.network.network import Network
from models.network.network_config import NetworkConfig
from models.stopping import TrainingStopped
from models.training.checkpoint import Checkpoint
from models.training.era_batch import EraBatch
from models.training.training import Progress, TrainedNetwork, TrainingOptions, device_named, train
from models.trees.gbm import GbmOptions, choose_device, train_gbm

SIGNAL, SKILL = 40, 0.3
"""Features that hold the signal, and the correlation of signal and target before it is binned."""


class Learnable(MadeEras):
    """Made eras whose targets follow some of their features."""

    first = 0

    def _era(self, number: int) -> tuple[EraBatch, np.ndarray | None]:
        batch, window = super()._era(number + self.first)
        generator = np.random.default_rng(1_000 + number + self.first)
        weights = np.random.default_rng(5).normal(size=SIGNAL) / (2 * SIGNAL) ** 0.5
        signal = (batch.features[:, :SIGNAL].astype(np.float32) - 2) @ weights
        noise = generator.normal(size=(self.rows, len(self.config.targets)))
        latent = SKILL * signal[:, None] + (1 - SKILL**2) ** 0.5 * noise
        places = latent.argsort(axis=0).argsort(axis=0) / self.rows
        classes = np.searchsorted(np.cumsum(TARGET_SHARES)[:-1], places, side="right")
        return replace(batch, targets=np.array(TARGET_VALUES, dtype=np.float32)[classes]), window


class HeldOut(Learnable):
    """Eras that no training saw."""

    first = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The network, its eras and where it trains."""

    config: NetworkConfig
    device: torch.device
    rows: int
    eras: int
    seeds: int

    def options(self, **other: object) -> TrainingOptions:
        """Return the options of a training; a fixed number of steps, so that two runs are alike."""
        given = {"epochs": 2, "evaluations_per_epoch": 1, "device": self.device.type, "learning_rate": 3e-3, **other}
        return TrainingOptions(main_target=self.config.targets[0], steps=2 * self.eras, **given)

    def train(self, options: TrainingOptions, **other: object) -> TrainedNetwork:
        """Train on the job's eras, and score others."""
        learned, held_out = Learnable(self.config, self.eras, self.rows), HeldOut(self.config, 4, self.rows)
        return train(self.config, learned, held_out, options, score=lambda ours, theirs, _: corr(ours, theirs), **other)


Line = tuple[str, str, str, bool]


def precision(job: Job) -> Iterator[Line]:
    """Compare CORR after training in bfloat16 and float32, seed by seed."""
    pairs = np.array(
        [
            [job.train(job.options(precision=name, seed=seed)).best_score for name in ("bfloat16", "float32")]
            for seed in range(job.seeds)
        ]
    )
    apart = pairs[:, 0] - pairs[:, 1]
    error = float(apart.std(ddof=1) / len(apart) ** 0.5) if len(apart) > 1 else float("nan")
    half, full = pairs.mean(axis=0)
    text = f"{half:.4f} and {full:.4f}, difference {apart.mean():+.4f}, error {error:.4f}"
    # Few rows and seeds on a CPU show that the check runs, and no difference of quality.
    least = -max(3 * error, 0.005) if job.device.type == "cuda" else -0.05
    yield "CORR in bfloat16 and float32", text, f"over {least:.4f}", bool(apart.mean() >= least)


def memory(job: Job) -> Iterator[Line]:
    """Train with too little memory for an era: rows on the device at once are halved, and training goes on."""
    seen: list[Progress] = []
    options = job.options(batch_rows=job.rows, stop_after=2, resident_share=0.0)
    if job.device.type == "cuda":
        job.train(options)
        peak = torch.cuda.max_memory_allocated() / torch.cuda.get_device_properties(job.device).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.6 * peak)
        try:
            job.train(options, on_progress=seen.append)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    else:
        forward = Network.forward

        def limited(network: Network, features: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
            if network.training and len(features) > job.rows // 2 + 1:
                raise torch.OutOfMemoryError("played")
            return forward(network, features, *others)

        with mock.patch.object(Network, "forward", limited):
            job.train(options, on_progress=seen.append)
    found = seen[-1]
    met = found.batch_rows < job.rows and np.isfinite(found.loss)
    yield "rows at once with too little memory", f"{found.batch_rows:,} of {job.rows:,}", "fewer", bool(met)


def interruption(job: Job) -> Iterator[Line]:
    """Stop a training halfway, continue it from its checkpoint, and compare the weights with those of a whole one."""
    options, whole = job.options(), job.train(job.options())
    steps: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(path=Path(folder) / "run.pt", key="bench")
        with suppress(TrainingStopped):
            job.train(options, checkpoint=checkpoint, should_stop=lambda: steps.append(0) or len(steps) == job.eras)
        resumed = job.train(options, checkpoint=checkpoint)
    pairs = zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True)
    apart = max(float((a - b).abs().max()) for a, b in pairs)
    # A GPU adds in any order; a CPU in one.
    limit = 1e-2 if job.device.type == "cuda" else 0.0
    yield "largest difference of a weight, resumed", f"{apart:.1e}", f"{limit:.0e}", apart <= limit


def exported(job: Job) -> Iterator[Line]:
    """Export the network that was trained on the device, and compare onnxruntime with torch."""
    trained = job.train(job.options())
    with tempfile.TemporaryDirectory() as folder:
        report = export(trained.network, Path(folder) / "network.onnx", rows=300)
    yield (
        "largest difference of a logit, exported",
        f"{report.max_abs:.1e}",
        f"{LOGIT_TOLERANCE:.0e}",
        report.ranks_identical,
    )


def trees(job: Job) -> Iterator[Line]:
    """Grow trees on the device that LightGBM was built for."""
    choice = choose_device("auto")
    batch = Learnable(job.config, 1, job.rows).batch(0)
    ends: list[float] = []
    options = GbmOptions(num_trees=20, learning_rate=0.05, max_depth=5, num_leaves=31, colsample_bytree=0.1, seed=1)
    names = [f"f{index}" for index in range(job.config.features)]
    columns = [*np.ascontiguousarray(batch.features.T)]
    train_gbm([columns], batch.targets[:, 0], options, names, lambda *_: ends.append(time.perf_counter()))
    each = (ends[-1] - ends[0]) / (len(ends) - 1)
    yield (
        "LightGBM as built",
        f"{choice.device}, {each * 1e3:.0f} ms a tree of {job.rows:,} rows",
        "20 trees",
        len(ends) == 20,
    )


CHECKS: tuple[Callable[[Job], Iterator[Line]], ...] = (precision, memory, interruption, exported, trees)


def main() -> None:
    """Run every check, print its line, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, help="share of 3,555 features and 5,000 rows; 1 on a GPU, .02 on a CPU")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = device_named("auto")
    scale = options.scale or (1.0 if device.type == "cuda" else 0.02)
    config = standard_network(standard_manifest(max(SIGNAL, int(FEATURES * scale))))
    if device.type != "cuda":
        config = replace(config, encoder=(32,), hidden=16, feed_forward=16, blocks=1)
    job = Job(
        config=config,
        device=device,
        rows=max(200, int(5_000 * scale)),
        eras=40 if scale >= 1 else 4,
        seeds=5 if scale >= 1 else 2,
    )
    print(f"{device_name(device)}; {config.features:,} features, {job.rows:,} rows an era")
    lines: list[Line] = []
    for check in CHECKS:
        for line in check(job):
            lines.append(line)
            name, found, goal, met = line
            print(f"{name:<42}{found:<58}{goal:<20}{'' if met else 'missed'}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"device": device_name(device), "lines": lines}, indent=1), encoding="utf-8")
    if missed := [name for name, _, _, met in lines if not met]:
        sys.exit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
