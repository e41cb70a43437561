"""
Fit a network era by era; the newest eras decide when to stop.

Cross-entropy cannot drive early stopping: a model with CORR .03 gains half a thousandth of a nat. So validation is
mean per-era CORR, measured several times an epoch and smoothed. Nothing here touches a file.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.classes import CORR_VALUES
from models.losses import LOSSES, expected_value
from models.network import Network
from models.network_config import NetworkConfig
from models.training_values import (
    EraBatch,
    EraSource,
    Evaluation,
    Progress,
    Score,
    TrainedNetwork,
    TrainingDiverged,
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
    "train",
]

EVALUATION_ROWS = 4096
"""Rows scored at once while evaluating; bounds memory, changes no result."""

Rows = npt.NDArray[np.intp] | slice


@dataclass(slots=True)
class _Best:
    """The weights of the best evaluation so far, and how long ago it was."""

    state: dict[str, Tensor] = field(default_factory=dict)
    corr: dict[str, float] = field(default_factory=dict)
    smoothed: float = float("-inf")
    step: int = 0
    age: int = 0


def train(
    config: NetworkConfig,
    training: EraSource,
    validation: EraSource,
    options: TrainingOptions,
    *,
    score: Score,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainedNetwork:
    """
    Fit a network to *training* and keep the weights that rank *validation* best.

    Two runs on one CPU with equal arguments and threads give equal weights bit for bit. An empty *validation* trains
    all epochs and keeps the last weights.

    Args:
        config: The network.
        training: Eras to learn from; eras without any known target are passed over.
        validation: Eras to measure on; the embargo between the two is the caller's.
        options: How.
        score: CORR of one era: predictions and targets, float64, shape ``[n]``, to a number (NaN is left out).
        on_progress: Called after every training era.

    Raises:
        ValueError: The main target is not the network's, or there is no era with a known target.
        TrainingDiverged: The loss is not finite.
    """
    if options.main_target not in config.targets:
        raise ValueError(f"main target {options.main_target!r} is not among {', '.join(config.targets)}")
    if not len(training.eras):
        raise ValueError("there are no eras to train on")
    device = _device(options.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        return _Fit(config, training, validation, options, score, device).run(on_progress)


class _Fit:
    """One run of ``train``: the pieces that every step needs."""

    def __init__(
        self,
        config: NetworkConfig,
        training: EraSource,
        validation: EraSource,
        options: TrainingOptions,
        score: Score,
        device: torch.device,
    ) -> None:
        self.config, self.options, self.score, self.device = config, options, score, device
        self.training, self.validation = training, validation
        self.main = config.targets.index(options.main_target)
        self.network = Network(config).to(device)
        self.loss = LOSSES[options.loss]
        self.steps = options.epochs * len(training.eras)
        self.optimizer = torch.optim.AdamW(
            _groups(self.network, options.weight_decay), lr=options.learning_rate, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=options.learning_rate,
            total_steps=self.steps + 1,
            pct_start=options.warm_up,
            cycle_momentum=False,
        )
        self.random = np.random.default_rng(options.seed)

    def run(self, on_progress: Callable[[Progress], None] | None) -> TrainedNetwork:
        """Go through the eras until the epochs or the patience are over."""
        started, rows = time.perf_counter(), 0
        best, evaluations, losses = _Best(), list[Evaluation](), list[Tensor]()
        eras, parts = len(self.training.eras), self.options.evaluations_per_epoch
        due = {max(1, round(eras * part / parts)) for part in range(1, parts + 1)}
        for step, index in enumerate(self._order(), start=1):
            batch = self.training.batch(index)
            losses += self._fit(batch)
            rows += len(batch.features)
            if (step - 1) % eras + 1 in due:
                evaluations.append(self._evaluate(step, _mean(losses), evaluations, best))
                losses.clear()
            if on_progress is not None:
                newest = evaluations[-1] if evaluations else None
                seconds = time.perf_counter() - started
                on_progress(
                    Progress(
                        step=step,
                        steps=self.steps,
                        loss=newest.loss if newest else _mean(losses),
                        corr=newest.corr if newest else None,
                        rows_per_s=rows / seconds,
                        seconds_left=seconds / step * (self.steps - step),
                    )
                )
            if best.age >= self.options.patience:
                break
        if all(np.isnan(evaluation.loss) for evaluation in evaluations):
            raise ValueError("no training era has a known target")
        if best.state:
            self.network.load_state_dict(best.state)
        return TrainedNetwork(
            network=self.network.cpu().eval(),
            evaluations=tuple(evaluations),
            best_step=best.step or evaluations[-1].step,
            best_corr=float(np.mean(list(best.corr.values()))) if best.corr else float("nan"),
            corr_per_era=best.corr,
            seconds=time.perf_counter() - started,
        )

    def _order(self) -> Iterator[int]:
        """Yield every era once per epoch, in an order of its own."""
        for _ in range(self.options.epochs):
            yield from map(int, self.random.permutation(len(self.training.eras)))

    def _fit(self, batch: EraBatch) -> list[Tensor]:
        """Take the optimizer steps of one era; return their losses, none where no target is known."""
        known = np.asarray(np.isfinite(batch.targets).any(axis=1))
        if not known.any():
            return []
        self.network.train()
        losses = []
        for rows in self._chunks(known):
            targets = self._tensor(batch.targets, rows)
            loss = self.loss(self.network(*self._tensors(batch, rows)), targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch annotates it in part
            nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
            self.optimizer.step()
            losses.append(loss.detach())
        self.schedule.step()
        return losses

    def _chunks(self, known: npt.NDArray[np.bool_]) -> list[Rows]:
        """Return the known rows whole where they fit, else in random parts of nearly equal size."""
        parts = -(-int(known.sum()) // self.options.batch_rows)
        if parts > 1:
            return list(np.array_split(self.random.permutation(np.flatnonzero(known)), parts))
        return [slice(None) if known.all() else np.flatnonzero(known)]

    def _tensors(self, batch: EraBatch, rows: Rows) -> list[Tensor | None]:
        """Return what the network reads of *rows*: features, aggregates and history, on the device."""
        return [
            self._tensor(batch.features, rows),
            self._tensor(batch.engineered, rows) if self.config.engineered and batch.engineered is not None else None,
            self._tensor(batch.history, rows) if self.config.has_history and batch.history is not None else None,
        ]

    def _tensor(self, array: npt.NDArray[np.generic], rows: Rows) -> Tensor:
        part = array[rows]
        # torch warns about memory it must not write to, such as a memory-mapped store's.
        return torch.from_numpy(part if part.flags.writeable else part.copy(order="K")).to(self.device)

    def _evaluate(self, step: int, loss: float, earlier: list[Evaluation], best: _Best) -> Evaluation:
        """Measure CORR on every validation era, and take the weights where the smoothed mean is a new best."""
        corr = self._corr()
        mean = float(np.mean(list(corr.values()))) if corr else float("nan")
        recent = [*(evaluation.corr for evaluation in earlier), mean][-self.options.smoothing :]
        smoothed = float(np.mean(recent))
        best.age += bool(len(self.validation.eras))
        if smoothed > best.smoothed:
            best.state = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
            best.corr, best.smoothed, best.step, best.age = corr, smoothed, step, 0
        return Evaluation(
            step=step, loss=loss, corr=mean, smoothed=smoothed, learning_rate=float(self.schedule.get_last_lr()[0])
        )

    def _corr(self) -> dict[str, float]:
        """Return CORR of the main target per validation era, leaving out eras that cannot be scored."""
        self.network.eval()
        result = {}
        for index in range(len(self.validation.eras)):
            batch = self.validation.batch(index)
            targets = batch.targets[:, self.main].astype(np.float64)
            known = ~np.isnan(targets)
            if known.sum() < 2:
                continue
            parts = [slice(start, start + EVALUATION_ROWS) for start in range(0, len(targets), EVALUATION_ROWS)]
            scores = np.concatenate([self._scores(batch, part) for part in parts])
            corr = self.score(scores[known], targets[known])
            if np.isfinite(corr):
                result[batch.era] = float(corr)
        return result

    def _scores(self, batch: EraBatch, rows: slice) -> npt.NDArray[np.float64]:
        """Return CORR's expected score of the main target for *rows*."""
        with torch.inference_mode():
            logits_BTK = self.network(*self._tensors(batch, rows))
            scores: npt.NDArray[np.float64] = (
                expected_value(logits_BTK[:, self.main], CORR_VALUES).double().cpu().numpy()
            )
        return scores


def _device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return parameter groups that decay the matrices of linear layers and nothing else."""
    matrices = [part.weight for part in network.modules() if isinstance(part, nn.Linear)]
    chosen = {id(weight) for weight in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _mean(losses: list[Tensor]) -> float:
    """
    Return the mean loss, NaN where there is none.

    Raises:
        TrainingDiverged: It is not finite.
    """
    if not losses:
        return float("nan")
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise TrainingDiverged(f"the training loss is {mean}; lower the learning rate or the size of the network")
    return mean
