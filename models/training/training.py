"""
Fit a network era by era, with early stopping on the newest eras.

Cross-entropy cannot decide when to stop: a model with CORR .03 gains half a thousandth of a nat. So validation is the
mean score of eras (CORR, BMC or pay), measured several times an epoch and smoothed. Every random number is a function of seed and step, so
that an interrupted run continues exactly, and several processes compute the result of one.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.network.network import Network
from models.network.network_config import NetworkConfig
from models.stopping import TrainingDiverged, TrainingStopped
from models.training._era_feed import DeviceEra, EraFeed
from models.training._era_order import EraOrder
from models.training._losses import loss
from models.training._precision import uses_bfloat16
from models.training._score_scale import scale_scores
from models.training._training_state import Part, TrainingState
from models.training._validation import Validation
from models.training._weight_average import weight_average
from models.training.checkpoint import Checkpoint
from models.training.distributed import Team
from models.training.era_batch import EraBatch, EraSource
from models.training.training_values import (
    Evaluation,
    Progress,
    Score,
    TrainedNetwork,
    TrainingOptions,
)

__all__ = [
    "EraBatch",
    "EraSource",
    "Evaluation",
    "Progress",
    "Score",
    "TrainedNetwork",
    "TrainingDiverged",
    "TrainingOptions",
    "TrainingStopped",
    "train",
]

SMALLEST_BATCH = 64
"""Smallest number of rows to split a batch into; below it, lack of memory has another cause."""

Rows = npt.NDArray[np.intp]


def train(
    config: NetworkConfig,
    training: EraSource,
    validation: EraSource,
    options: TrainingOptions,
    *,
    score: Score,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint: Checkpoint | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedNetwork:
    """
    Fit a network to *training* and keep the weights with the best score on *validation*.

    Two runs on one CPU with equal arguments and threads give equal weights bit for bit, even if one was interrupted.
    Every process that ``torchrun`` started calls this with equal arguments and gets equal weights. With an empty
    *validation*, all steps are trained and the last weights are kept.

    Args:
        config: Configuration of the network.
        training: Training eras. Eras without a known target are skipped.
        validation: Validation eras. The caller keeps the embargo between the two.
        options: Options of the training.
        score: Score of one era; see :data:`models.training.training_values.Score`.
        on_progress: Called after every step, and before every era of an evaluation.
        checkpoint: File to continue from, saved at every evaluation. The caller removes it at the end.
        should_stop: Called after every step. When it returns true, the run is saved and ends.

    Raises:
        ValueError: The network lacks the main target or the classes of the loss, no era has a known target, or the eras of a step cannot be shared
            among the processes.
        TrainingDiverged: The loss is not finite.
        TrainingStopped: *should_stop* returned true.
    """
    if options.main_target not in config.targets:
        raise ValueError(f"main target {options.main_target!r} is not among {', '.join(config.targets)}")
    if options.loss == "cross_entropy" and config.head != "classes":
        raise ValueError("cross-entropy needs the head 'classes'; a single score takes loss 'pearson' or 'mse'")
    device = device_named(options.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        fit = _Fit(config, training, validation, options, score, device)
        return fit.run(on_progress, checkpoint, should_stop)


class _Fit:
    """One call of ``train``: the objects that every step needs."""

    def __init__(
        self,
        config: NetworkConfig,
        training: EraSource,
        validation: EraSource,
        options: TrainingOptions,
        score: Score,
        device: torch.device,
    ) -> None:
        self.options, self.device = options, device
        self.team = Team.current()
        if options.eras_per_step % self.team.size:
            raise ValueError(
                f"{options.eras_per_step} eras a step cannot be shared by {self.team.size} processes; set a multiple"
            )
        self.order = EraOrder.plan(len(training.eras), options)
        self.network = Network(config).to(device)
        self.model = self._wrapped()
        self.loss = loss(
            options.loss,
            pearson_weight=options.pearson_weight,
            residual=options.residual,
            benchmark_penalty=options.benchmark_penalty,
        )
        self.optimizer, self.schedule = _optimizer(self.network, options, length=self.order.length)
        self.average = weight_average(self.network, options.ema) if options.ema else None
        # One process decides for all, so that all compute the same.
        half = self.team.tell(uses_bfloat16(options.precision, config, device) if self.team.leads else None)
        self.autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bool(half))
        room = _room_for_eras(device, options.resident_share)
        held_out = EraFeed(validation, device, resident_bytes=room // 8, inputs=config.inputs)
        self.validation = Validation(
            held_out, main=config.targets.index(options.main_target), score=score, team=self.team
        )
        self.training = EraFeed(
            training,
            device,
            resident_bytes=room - room // 8,
            inputs=config.inputs,
            residual=options.residual is not None,
        )
        self.state = TrainingState(batch_rows=options.batch_rows)

    def run(
        self,
        on_progress: Callable[[Progress], None] | None,
        checkpoint: Checkpoint | None,
        should_stop: Callable[[], bool],
    ) -> TrainedNetwork:
        """Train until the last step, or until early stopping."""
        state = self.state
        # One process reads the checkpoint for all, so that all continue from the same one.
        saved = self.team.tell(checkpoint.load() if checkpoint is not None and self.team.leads else None)
        if saved is not None:
            state.restore(saved, self._parts_of_run(), self.device)
        started, before, first = time.perf_counter(), state.seconds, state.step
        remaining = self.order.steps[first:]
        eras = self.training.stream(era for group in remaining for era in self.team.share(group))
        rows = 0
        for group in remaining:
            if state.age >= self.options.patience:
                break
            batch = list(islice(eras, len(self.team.share(group))))
            state.losses += self._step(state.step + 1, batch)
            state.step += 1
            rows += sum(len(era.targets) for era in batch) * self.team.size
            state.seconds = before + time.perf_counter() - started
            evaluated = state.step in self.order.due
            report = _ignore if on_progress is None else partial(self._report, on_progress, rows, started, first)
            if evaluated:
                self._evaluate(report)
            stop = self.team.agree(flag=should_stop())
            if checkpoint is not None and self.team.leads and (evaluated or stop):
                checkpoint.save(state.saved(self._parts_of_run()))
            report()
            if stop:
                raise TrainingStopped(f"stopped after step {state.step} of {len(self.order.steps)}")
        return self._trained()

    def _trained(self) -> TrainedNetwork:
        """
        Return the network with the weights of the best step, or of the last one where no step was chosen.

        Raises:
            ValueError: No training era has a known target.
        """
        state = self.state
        if all(np.isnan(evaluation.loss) for evaluation in state.evaluations):
            raise ValueError("no training era has a known target")
        self.network.load_state_dict(state.best or self._kept().state_dict())
        self.network.eval()
        if self.network.config.head == "score":
            scale_scores(self.network, self.training)
        return TrainedNetwork(
            network=self.network.cpu(),
            evaluations=tuple(state.evaluations),
            best_step=state.best_step or state.step,
            best_score=float(np.mean(list(state.scores.values()))) if state.scores else float("nan"),
            score_per_era=state.scores,
            schedule_length=self.order.length,
            seconds=state.seconds,
        )

    def _kept(self) -> Network:
        """Return the network that is evaluated and kept: the average of the weights, or the network in training."""
        return self.network if self.average is None else cast("Network", self.average.module)

    def _parts_of_run(self) -> dict[str, Part]:
        """Return the objects whose state a checkpoint holds."""
        parts: dict[str, Part] = {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule}
        return parts if self.average is None else parts | {"average": self.average}

    def _wrapped(self) -> Callable[..., Tensor]:
        """Return the network, compiled and averaging gradients over processes as the options say."""
        model: nn.Module = self.network
        if self.options.compiled:
            model = torch.compile(model, dynamic=True)  # type: ignore[assignment]  # a module in all but name
        if self.team.size > 1:
            model = DistributedDataParallel(model)
        return model

    def _step(self, step: int, eras: list[DeviceEra]) -> list[Tensor]:
        """Take one optimizer step; return the losses of its eras, without eras that have no known target."""
        while True:
            try:
                return self._attempt(step, eras)
            except torch.OutOfMemoryError:
                # Among several processes, one cannot repeat a step alone.
                if self.team.size > 1 or self.state.batch_rows <= SMALLEST_BATCH:
                    raise
                self.optimizer.zero_grad(set_to_none=True)
                self.state.batch_rows = max(SMALLEST_BATCH, self.state.batch_rows // 2)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _attempt(self, step: int, eras: list[DeviceEra]) -> list[Tensor]:
        known = [len(era.known) > 0 for era in eras]
        if not self.team.agree(flag=any(known)):
            return []
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for slot, era in enumerate(eras):
            place = self.team.rank + slot * self.team.size
            total = torch.zeros((), device=self.device)
            parts = self._parts(era, step, place)
            for number, part in enumerate(parts):
                last = slot == len(eras) - 1 and number == len(parts) - 1
                torch.manual_seed(_seed(self.options.seed, step, place, number))
                with self._synchronised(last=last), self.autocast:
                    share = era.weight * len(part) / max(1, len(era.known))
                    value = self.loss(self.model(*era.inputs(part)), *era.labels(part)) * share
                    (value / len(eras)).backward()  # type: ignore[no-untyped-call]  # torch annotates it in part
                total += value.detach()
            if known[slot]:
                losses.append(total)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return losses

    def _parts(self, era: DeviceEra, step: int, place: int) -> list[Rows]:
        """Return the known rows at once if they fit, else in random parts of nearly equal size."""
        if not len(era.known):
            return [np.zeros(1, dtype=np.intp)]  # its loss is 0; every process must take part
        parts = -(-len(era.known) // self.state.batch_rows)
        if parts == 1:
            return [era.known]
        random = np.random.default_rng([self.options.seed, step, place])
        return list(np.array_split(random.permutation(era.known), parts))

    def _synchronised(self, *, last: bool) -> AbstractContextManager[None]:
        """Average gradients over processes only in the last part of a step."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            waiting: AbstractContextManager[None] = self.model.no_sync()
            return waiting
        return nullcontext()

    def _evaluate(self, report: Callable[[], None]) -> None:
        """
        Score every validation era, calling *report* before each, and keep the weights if the smoothed mean is a new best.

        A fixed number of steps keeps the last weights: choosing among them would be early stopping.
        """
        state = self.state
        scores = self.validation.scores(self._kept(), self.autocast, report)
        mean = float(np.mean(list(scores.values()))) if scores else float("nan")
        recent = [*(evaluation.score for evaluation in state.evaluations), mean][-self.options.smoothing :]
        smoothed = float(np.mean(recent))
        # A single lucky evaluation must not win, so wait until the mean has enough of them.
        enough = len(recent) == min(self.options.smoothing, len(self.order.due))
        state.age += enough and self.validation.eras > 0
        if self.options.steps:
            state.scores, state.smoothed, state.best_step, state.age = scores, smoothed, state.step, 0
        elif enough and smoothed > state.smoothed:
            state.best = {name: value.detach().cpu().clone() for name, value in self._kept().state_dict().items()}
            state.scores, state.smoothed, state.best_step, state.age = scores, smoothed, state.step, 0
        losses = [one for one in self.team.gather(state.mean_loss()) if np.isfinite(one)]
        state.losses.clear()
        state.evaluations.append(
            Evaluation(
                step=state.step,
                loss=float(np.mean(losses)) if losses else float("nan"),
                score=mean,
                smoothed=smoothed,
                learning_rate=float(self.schedule.get_last_lr()[0]),
            )
        )

    def _report(self, on_progress: Callable[[Progress], None], rows: int, started: float, first: int) -> None:
        """Report the progress of this call, which began at a time and a step."""
        on_progress(self._progress(rows, time.perf_counter() - started, self.state.step - first))

    def _progress(self, rows: int, seconds: float, steps: int) -> Progress:
        state, newest = self.state, self.state.evaluations[-1] if self.state.evaluations else None
        return Progress(
            step=state.step,
            steps=len(self.order.steps),
            loss=newest.loss if newest else state.mean_loss(),
            score=newest.score if newest else None,
            rows_per_s=rows / seconds,
            seconds_left=seconds / steps * (len(self.order.steps) - state.step),
            batch_rows=state.batch_rows,
            evaluated=bool(newest and newest.step == state.step),
        )


def _ignore() -> None:
    """Do nothing; the report of a training whose progress nobody reads."""


def _seed(*parts: int) -> int:
    """Return a seed for one step, era and part."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def device_named(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes this process's CUDA device where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def _room_for_eras(device: torch.device, share: float) -> int:
    """Return the bytes that eras may stay in; on a CPU the store is memory already."""
    return int(torch.cuda.mem_get_info(device)[0] * share) if device.type == "cuda" else 0


def _optimizer(
    network: nn.Module, options: TrainingOptions, *, length: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """Return AdamW and a one-cycle schedule of *length* steps for the parameters of *network*."""
    adam = torch.optim.AdamW(_groups(network, options.weight_decay), lr=options.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam,
        max_lr=options.learning_rate,
        total_steps=length + 1,
        pct_start=options.warm_up,
        cycle_momentum=False,
    )
    return adam, schedule


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return parameter groups that decay the matrices of linear layers and nothing else."""
    matrices = [part.weight for part in network.modules() if isinstance(part, nn.Linear)]
    chosen = {id(weight) for weight in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
