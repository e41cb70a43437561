"""Options of a network: size, inputs and training schedule."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bot.members.limits import DROPPED, Limit
from bot.members.member import Label


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """
    Size and training schedule of a network.

    Attributes:
        mixing: ``row`` mixes the history of every row, ``era`` mixes each era once and conditions its rows, ``none`` is
            a perceptron with residual blocks, ``mlp`` a plain one: encoder and head, without blocks and history.
        head: Outputs of each target: ``classes`` predicts the probabilities of the five classes, ``score`` one number;
            cross-entropy needs the classes.
        lookback: Resolved eras on the historical axis; 0 switches history off.
        history_targets: Targets whose realised feature returns make the historical channels.
        encoder: Widths of the static encoder.
        hidden: Channels inside the mixer.
        feed_forward: Width inside feature mixing.
        blocks: Mixer blocks, exactly this many.
        dropout: Dropout rate inside the mixer.
        input_dropout: Dropout rate of the row's own features.
        history_dropout: Share of eras trained with history masked, so that a stale history can be masked live.
        z_dropout: Share of eras trained with stacked predictions masked.
        stacked: Out-of-fold predictions of every target, by trees, are further inputs. Off until an experiment shows a
            gain: it fits trees for every target and fold.
        stacked_preset: Preset of these trees.
        stacked_chunk: Eras of a fold; eras before the first fold are trained without predictions.
        loss: Training loss: ``cross_entropy`` of the five classes, ``mse`` of ranks within the era, or ``pearson``, the
            correlation within the era.
        pearson_weight: Weight of the per-era correlation loss that is added to the loss.
        benchmark_penalty: Weight of the squared correlation of prediction and benchmark, per era and target, that is
            added to the loss. Eras that the benchmark does not cover are trained without it.
        epochs: Maximum number of passes over the training eras; early stopping ends sooner.
        steps: Number of optimizer steps, instead of ``epochs``: no early stopping, the learning-rate schedule has this
            length, and the refit takes as many. 0 trains by epochs.
        stop_on: Validation score that chooses the best step: ``corr``, ``bmc``, or ``pay``, the recipe's
            ``corr_multiplier`` x CORR + ``mmc_multiplier`` x BMC. Eras that the benchmark does not cover are left out of
            ``bmc`` and ``pay``. ``auto`` is ``bmc`` with residual labels, else ``corr``.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Weight decay of AdamW.
        patience: Evaluations without a better validation score before training stops.
        evaluations_per_epoch: Measurements of the validation score in an epoch.
        eras_per_step: Eras whose mean gradient makes one optimizer step.
        era_stride: An epoch takes every *n*-th era, each epoch with the next offset.
        batch_rows: Rows on the device at once; the gradients of a larger era are accumulated in parts.
        precision: Precision of matrix products; ``auto`` is bfloat16 on CUDA devices that have it, and for wide row mixers on a
            CPU where it is measured to be faster.
        compiled: Compile the network with ``torch.compile``.
        ema: Decay of the exponential moving average of the weights; 0 switches it off. The averaged weights are
            evaluated and served. The decay starts lower, so that the initial weights are soon forgotten.
        seeds: Number of networks that are averaged; each is trained in full.
        seed: Seed of the first network's initial weights, era order and dropout; the others count up from it.
    """

    mixing: Literal["row", "era", "none", "mlp"] = "row"
    head: Literal["classes", "score"] = "classes"
    lookback: int = 52
    history_targets: tuple[str, ...] = (
        "target_ender_20",
        "target_ender_60",
        "target_jasper_60",
        "target_teager2b_60",
    )
    encoder: tuple[int, ...] = (512, 256)
    hidden: int = 64
    feed_forward: int = 128
    blocks: int = 4
    dropout: float = 0.1
    input_dropout: float = 0.2
    history_dropout: float = 0.2
    z_dropout: float = 0.2
    stacked: bool = False
    stacked_chunk: int = 156
    stacked_preset: str = "small"
    loss: Literal["cross_entropy", "mse", "pearson"] = "cross_entropy"
    pearson_weight: float = 0.0
    benchmark_penalty: float = 0.0
    epochs: int = 3
    steps: int = 0
    stop_on: Literal["auto", "corr", "bmc", "pay"] = "auto"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    patience: int = 6
    evaluations_per_epoch: int = 4
    eras_per_step: int = 1
    era_stride: int = 1
    batch_rows: int = 8192
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compiled: bool = False
    ema: float = 0.0
    seeds: int = 1
    seed: int = 7

    def stops_on(self, label: Label) -> Literal["corr", "bmc", "pay"]:
        """Return the validation score that chooses the best step of a network with such labels."""
        if self.stop_on != "auto":
            return self.stop_on
        return "bmc" if label == "residual" else "corr"

    def needs_benchmark(self, label: Label) -> bool:
        """Return whether training or early stopping reads the benchmark's predictions."""
        return label == "residual" or self.benchmark_penalty > 0 or self.stops_on(label) != "corr"


LIMITS = {
    "lookback": Limit(low=0, high=2000),
    "encoder": Limit(low=1, high=65_536),
    "hidden": Limit(low=1, high=65_536),
    "feed_forward": Limit(low=1, high=65_536),
    "blocks": Limit(low=1, high=1000),
    "dropout": DROPPED,
    "input_dropout": DROPPED,
    "history_dropout": DROPPED,
    "z_dropout": DROPPED,
    "stacked_chunk": Limit(low=2, high=2000),
    "pearson_weight": Limit(low=0, high=1e6),
    "benchmark_penalty": Limit(low=0, high=1e6),
    "epochs": Limit(low=1, high=10_000),
    "steps": Limit(low=0, high=10_000_000),
    "learning_rate": Limit(low=0, high=100, open_low=True),
    "weight_decay": Limit(low=0, high=100),
    "patience": Limit(low=1, high=1_000_000),
    "evaluations_per_epoch": Limit(low=1, high=10_000),
    "eras_per_step": Limit(low=1, high=2000),
    "era_stride": Limit(low=1, high=1000),
    "batch_rows": Limit(low=1, high=100_000_000),
    "ema": DROPPED,
    "seeds": Limit(low=1, high=1000),
    "seed": Limit(low=0, high=2**31 - 1),
}
"""Range of each number; of a list of numbers, that of each."""


def stacked_path(folder: Path, owner: str, target: str, prefix: str = "") -> Path:
    """Return the path of the trees whose predictions of *target* are an input of the network of *owner*."""
    return folder / f"{prefix}{owner}_z_{target}.txt"
