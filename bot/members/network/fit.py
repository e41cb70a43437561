"""Fit a network: every seed to its own best step, then again on all resolved eras."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import structlog
import torch

from bot.errors import OperatorNeeded
from bot.members.fitting import Device, TrainingEras, era_weights
from bot.members.network.options import NetworkOptions
from bot.members.network.setup import network_config, training_options
from bot.members.network.validation_score import ValidationScore
from bot.system.progress import ProgressCallback, RecordMetrics
from models.inference.ensemble import expected_score
from models.network.network_config import NetworkConfig
from models.network.seeds import SeedAverage
from models.training.checkpoint import Checkpoint
from models.training.distributed import Team
from models.training.training import Progress, TrainedNetwork, TrainingOptions, train
from models.trees.gbm_options import PRESETS

log = structlog.get_logger()

ROWS = 4096
"""Rows that are scored at once, to limit memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedNetwork:
    """
    Networks of a member.

    Attributes:
        judged: Network trained without the held-out eras.
        served: Network trained on all resolved eras; *judged* itself where nothing is refitted.
        best_steps: Best step of each seed.
        best_score: Validation score of each seed at its best step: CORR, BMC or pay, as ``stop_on`` chooses.
    """

    judged: SeedAverage
    served: SeedAverage
    best_steps: tuple[int, ...]
    best_score: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFitter:
    """
    Fits the network of a member; after an interruption, the same call continues from the last checkpoint.

    Attributes:
        data: History of the network.
        options: Size and schedule.
        refit_data: History of the refit, where it is a different one.
        target: Target whose validation score decides when to stop.
        residual: Share of the benchmark's part that is taken out of the labels; ``None`` learns the targets.
        score: Validation score.
        half_life: Eras after which an era counts half as much in the loss; 0 lets all count alike.
        device: Device to train on.
        checkpoints: Folder for the state of runs, finished ones too; the caller removes it in the end.
        report_progress: Called with the progress.
        should_stop: Checked after every step.
        record_metrics: Called with the metrics of every evaluation.
    """

    data: TrainingEras
    options: NetworkOptions
    target: str
    score: ValidationScore
    device: Device
    checkpoints: Path
    refit_data: TrainingEras | None = None
    residual: float | None = None
    half_life: int = 0
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False
    record_metrics: RecordMetrics = lambda _run, _step, _measured: None

    def fit(self, train: Sequence[int], validation: Sequence[int], resolved: Sequence[int]) -> FittedNetwork:
        """
        Train on the eras *train*, stop on the eras *validation*, and refit on the *resolved* ones where there are any.

        The refit takes the median of the seeds' best steps: with nothing held out it has no validation eras to stop on.
        Its learning rates are those of the judged training, step by step, though more eras would make a longer schedule.

        Raises:
            TrainingStopped: *should_stop* returned true; everything is saved.
            TrainingDiverged: The loss is not finite.
        """
        network = self.options
        uses_benchmark = self.residual is not None or network.benchmark_penalty or self.score.name != "corr"
        if uses_benchmark and self.data.benchmark is None:
            raise ValueError("the member uses a benchmark, and its data have none")
        learned = self._learned(self.data, train, "training")
        on_corr = self.score.name == "corr"
        stopping = (
            tuple(validation) if on_corr or not validation else covered_positions(self.data, validation, "validation")
        )
        seeds = range(network.seed, network.seed + network.seeds)
        config = network_config(self.data, network, learned)
        judged = [
            self._train(config, learned, stopping, self._options(network, seed), number, len(seeds))
            for number, seed in enumerate(seeds)
        ]
        best_steps = tuple(one.best_step for one in judged)
        served = judged
        if resolved:
            steps = round(median(best_steps))
            served = [
                self._train(
                    config,
                    self._learned(self.refit_data or self.data, resolved, "resolved"),
                    (),
                    self._options(network, seed, stop_after=steps, schedule_length=judged[0].schedule_length),
                    number,
                    len(seeds),
                )
                for number, seed in enumerate(seeds)
            ]
        return FittedNetwork(
            judged=SeedAverage([one.network for one in judged]),
            served=SeedAverage([one.network for one in served]),
            best_steps=best_steps,
            best_score=tuple(one.best_score for one in judged),
        )

    def _learned(self, data: TrainingEras, positions: Sequence[int], block: str) -> tuple[int, ...]:
        """Return the eras to learn: with residual labels, those that the benchmark covers."""
        if self.residual is None and not self.options.benchmark_penalty:
            return tuple(positions)
        covered = covered_positions(data, positions, block)
        return tuple(positions) if self.residual is None else covered

    def _options(
        self, network: NetworkOptions, seed: int, *, stop_after: int = 0, schedule_length: int = 0
    ) -> TrainingOptions:
        return training_options(
            network,
            target=self.target,
            device=self.device,
            seed=seed,
            residual=self.residual,
            stop_after=stop_after,
            schedule_length=schedule_length,
        )

    def _train(
        self,
        config: NetworkConfig,
        training: Sequence[int],
        validation: Sequence[int],
        options: TrainingOptions,
        number: int,
        seeds: int,
    ) -> TrainedNetwork:
        data = self.data if validation else self.refit_data or self.data
        key = self._key(data, config, training, validation, options)
        checkpoint = Checkpoint(path=self.checkpoints / f"{key[:16]}.pt", key=key)
        _require_equal([key, version("torch"), version("lightgbm")])
        stage, score = "network" if validation else "refit", self.score
        self.report_progress(stage, number / seeds, f"seed {options.seed}, {len(training):,} eras")

        def report(now: Progress) -> None:
            share = (number + now.step / now.steps) / seeds
            self.report_progress(stage, share, _note(now, options.seed, score.label))
            if now.evaluated:
                log.info(
                    "network.evaluated",
                    stage=stage,
                    seed=options.seed,
                    step=now.step,
                    loss=round(now.loss, 5),
                    **{score.name: None if now.score is None else round(now.score, 5)},
                    rows_per_s=round(now.rows_per_s),
                    seconds_left=round(now.seconds_left),
                    batch_rows=now.batch_rows,
                )
                measured = {"loss": now.loss, score.name: now.score, "rows_per_s": now.rows_per_s}
                self.record_metrics(
                    f"{stage}-{options.seed}",
                    now.step,
                    {name: value for name, value in measured.items() if value is not None and np.isfinite(value)},
                )

        trained = train(
            config,
            data.eras(training, era_weights(training, self.half_life) if self.half_life else None),
            data.eras(validation),
            options,
            score=score,
            on_progress=report,
            checkpoint=checkpoint,
            should_stop=self.should_stop,
        )
        log.info(
            "network.trained",
            stage=stage,
            seed=options.seed,
            best_step=trained.best_step,
            **{f"best_{score.name}": None if np.isnan(trained.best_score) else round(trained.best_score, 5)},
            seconds=round(trained.seconds, 1),
        )
        return trained

    def _key(
        self,
        data: TrainingEras,
        config: NetworkConfig,
        training: Sequence[int],
        validation: Sequence[int],
        options: TrainingOptions,
    ) -> str:
        """Return the digest of everything a run depends on; a checkpoint with another digest must not be continued."""
        content = {
            "config": config.to_json(),
            "options": asdict(options),
            "eras": [[data.era_names[position] for position in part] for part in (training, validation)],
            "content": data.content,
            "benchmark": None if data.benchmark is None else _digest(data.benchmark),
            "score": asdict(self.score),
            "half_life": self.half_life,
            "stacked": [asdict(PRESETS[self.options.stacked_preset]), self.options.stacked_chunk]
            if config.stacked
            else None,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def covered_positions(data: TrainingEras, positions: Sequence[int], block: str) -> tuple[int, ...]:
    """
    Return the *positions* that the benchmark covers; all of them where *data* has no benchmark.

    Residual labels exist only there, and only there a validation era has BMC and pay.

    Raises:
        OperatorNeeded: It covers none.
    """
    if data.benchmark is None:
        return tuple(positions)
    kept = tuple(position for position in positions if position in data.benchmark)
    if not kept:
        first, last = (data.era_names[one] for one in (min(data.benchmark), max(data.benchmark)))
        raise OperatorNeeded(
            f"the benchmark model covers eras {first} to {last}, none of them a {block} era;"
            " hold out fewer eras, or take label = 'target', benchmark_penalty = 0 and stop_on = 'corr'"
        )
    if len(kept) < len(positions):
        log.info("network.eras_without_benchmark", block=block, left_out=len(positions) - len(kept), eras=len(kept))
    return kept


def _require_equal(run: list[str]) -> None:
    """Refuse to train together with a process whose run differs."""
    runs = Team.current().gather(run)
    for rank, other in enumerate(runs):
        if other != runs[0]:
            raise OperatorNeeded(
                f"process {rank} does not train what process 0 does: its settings, its state directory or its versions"
                " of torch and LightGBM differ; give all of them the same"
            )


def _digest(benchmark: Mapping[int, np.ndarray]) -> str:
    """Return the sha256 of a benchmark's predictions."""
    digest = hashlib.sha256()
    for position in sorted(benchmark):
        digest.update(position.to_bytes(4) + benchmark[position].tobytes())
    return digest.hexdigest()


def _note(now: Progress, seed: int, label: str) -> str:
    held_out = "" if now.score is None or np.isnan(now.score) else f", {label} {now.score:.4f}"
    steps = f"step {now.step:,} of {now.steps:,}"
    return f"seed {seed}, {steps}, loss {now.loss:.4f}{held_out}, {now.rows_per_s:,.0f} rows/s"


def expected_scores(network: SeedAverage, data: TrainingEras, position: int) -> npt.NDArray[np.float64]:
    """Return the expected score of each row of the era at *position* for each target. Shape ``(rows, T)``."""
    batch, window = data.eras([position]).batch(0), data.window(position)
    config = network.config
    history = torch.from_numpy(window) if config.has_history and window is not None else None
    logits = []
    for start in range(0, len(batch.features), ROWS):
        rows = slice(start, start + ROWS)
        inputs = [
            torch.from_numpy(np.ascontiguousarray(values[rows]))
            if name in config.inputs and values is not None
            else None
            for name, values in (
                ("features", batch.features),
                ("engineered", batch.engineered),
                ("predictions", batch.predictions),
            )
        ]
        with torch.inference_mode():
            logits.append(network(inputs[0], inputs[1], history, inputs[2]).numpy())
    return expected_score(np.concatenate(logits))
