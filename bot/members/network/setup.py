"""Configure network and training loop for the options of a member and its data."""

from collections.abc import Sequence

import numpy as np

from bot.features.preprocess import engineered_scaling, network_scaling
from bot.history.factor_history import SCALE
from bot.members.fitting import Device, TrainingEras
from bot.members.network.options import NetworkOptions
from models.bins import TARGET_SHARES, TARGET_VALUES
from models.network.network_config import WITHOUT_HISTORY, NetworkConfig
from models.training.training import TrainingOptions

PRIOR_ERAS, LEAST_SHARE = 60, 1e-3
"""Evenly spaced eras that the class prior is measured on, and the share of a class that never occurs."""


def network_config(data: TrainingEras, options: NetworkOptions, learned: Sequence[int] = ()) -> NetworkConfig:
    """
    Return the network configuration for the data's columns and the options' sizes.

    Args:
        data: History of the model.
        options: Sizes and switches.
        learned: Positions of the training eras. The output layer starts at the shares of their classes; without them,
            at those of Numerai's main targets.
    """
    manifest = data.manifest
    scaling, engineered = network_scaling(manifest), engineered_scaling(manifest)
    past = data.returns is not None and data.lookback > 0 and options.mixing not in WITHOUT_HISTORY
    return NetworkConfig(
        features=len(manifest.features),
        targets=data.targets,
        engineered=len(manifest.engineered_names),
        mixing=options.mixing,
        head=options.head,
        lookback=data.lookback if past else 0,
        groups=tuple(manifest.groups.values()) if past else (),
        history_targets=len(data.returns.targets) if past and data.returns is not None else 0,
        history_scale=SCALE,
        stacked=data.predictions is not None,
        missing_category=manifest.missing == "category",
        input_offset=scaling.offset,
        input_scale=scaling.scale,
        engineered_offset=tuple(one.offset for one in engineered),
        engineered_scale=tuple(one.scale for one in engineered),
        encoder=options.encoder,
        hidden=options.hidden,
        feed_forward=options.feed_forward,
        blocks=options.blocks,
        dropout=options.dropout,
        input_dropout=options.input_dropout,
        history_dropout=options.history_dropout,
        z_dropout=options.z_dropout,
        class_prior=class_prior(data, learned),
    )


def class_prior(data: TrainingEras, positions: Sequence[int]) -> tuple[float, ...]:
    """
    Return the share of each class among the known labels of all targets, in a sample of the eras at *positions*.

    A label between two classes counts for both, as in the cross-entropy. Targets of five bins give Numerai's shares,
    targets of seven bins others.
    """
    counts = np.zeros(len(TARGET_VALUES))
    for position in positions[:: -(-len(positions) // PRIOR_ERAS) or 1]:
        labels = np.stack([data.target(position, name) for name in data.targets], axis=1).astype(np.float64)
        place = np.clip(labels[np.isfinite(labels)], 0, 1) * (len(counts) - 1)
        below = np.floor(place).astype(np.intp)
        counts += np.bincount(below, weights=below + 1 - place, minlength=len(counts))
        counts += np.bincount(np.ceil(place).astype(np.intp), weights=place - below, minlength=len(counts))
    if not counts.any():
        return TARGET_SHARES
    shares = np.maximum(counts / counts.sum(), LEAST_SHARE)
    return tuple((shares / shares.sum()).tolist())


def training_options(
    options: NetworkOptions,
    *,
    target: str,
    device: Device,
    seed: int,
    residual: float | None = None,
    stop_after: int = 0,
    schedule_length: int = 0,
) -> TrainingOptions:
    """Return the options of the training loop for the options' schedule."""
    return TrainingOptions(
        main_target=target,
        epochs=options.epochs,
        steps=options.steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        eras_per_step=options.eras_per_step,
        era_stride=options.era_stride,
        batch_rows=options.batch_rows,
        patience=options.patience,
        evaluations_per_epoch=options.evaluations_per_epoch,
        stop_after=stop_after,
        schedule_length=schedule_length,
        seed=seed,
        device=device,
        precision=options.precision,
        compiled=options.compiled,
        ema=options.ema,
        loss=options.loss,
        pearson_weight=options.pearson_weight,
        residual=residual,
        benchmark_penalty=options.benchmark_penalty,
    )
