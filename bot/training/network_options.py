"""Configure network and training loop for a recipe and its data."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from bot.features.preprocess import engineered_scaling, network_scaling
from bot.history.factor_history import SCALE
from bot.training.recipes import NetworkRecipe
from bot.training.training_set import TrainingSet
from models.bins import TARGET_SHARES, TARGET_VALUES
from models.network.network_config import WITHOUT_HISTORY, NetworkConfig
from models.training.training import TrainingOptions

Device = Literal["auto", "cpu", "cuda"]

PRIOR_ERAS, LEAST_SHARE = 60, 1e-3
"""Evenly spaced eras that the class prior is measured on, and the share of a class that never occurs."""


def network_config(data: TrainingSet, recipe: NetworkRecipe, learned: Sequence[int] = ()) -> NetworkConfig:
    """
    Return the network configuration for the data's columns and the recipe's sizes.

    Args:
        data: Training set.
        recipe: Sizes and switches.
        learned: Positions of the training eras. The output layer starts at the shares of their classes; without them,
            at those of Numerai's main targets.
    """
    manifest = data.manifest
    scaling, engineered = network_scaling(manifest), engineered_scaling(manifest)
    past = data.returns is not None and data.lookback > 0 and recipe.mixing not in WITHOUT_HISTORY
    return NetworkConfig(
        features=len(manifest.features),
        targets=data.targets,
        engineered=len(manifest.engineered_names),
        mixing=recipe.mixing,
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
        encoder=recipe.encoder,
        hidden=recipe.hidden,
        feed_forward=recipe.feed_forward,
        blocks=recipe.blocks,
        dropout=recipe.dropout,
        input_dropout=recipe.input_dropout,
        history_dropout=recipe.history_dropout,
        z_dropout=recipe.z_dropout,
        class_prior=class_prior(data, learned),
    )


def class_prior(data: TrainingSet, positions: Sequence[int]) -> tuple[float, ...]:
    """
    Return the share of each class among the known labels of all targets, in a sample of the eras at *positions*.

    A label between two classes counts for both, as in the cross-entropy. Targets of five bins give Numerai's shares,
    targets of seven bins others.
    """
    counts = np.zeros(len(TARGET_VALUES))
    columns = [data.store.target_names.index(name) for name in data.targets]
    for position in positions[:: -(-len(positions) // PRIOR_ERAS) or 1]:
        labels = data.store.targets(position)[:, columns].astype(np.float64)
        place = np.clip(labels[np.isfinite(labels)], 0, 1) * (len(counts) - 1)
        below = np.floor(place).astype(np.intp)
        counts += np.bincount(below, weights=below + 1 - place, minlength=len(counts))
        counts += np.bincount(np.ceil(place).astype(np.intp), weights=place - below, minlength=len(counts))
    if not counts.any():
        return TARGET_SHARES
    shares = np.maximum(counts / counts.sum(), LEAST_SHARE)
    return tuple((shares / shares.sum()).tolist())


def training_options(
    recipe: NetworkRecipe, *, target: str, device: Device, seed: int, stop_after: int = 0
) -> TrainingOptions:
    """Return the options of the training loop for the recipe's schedule."""
    return TrainingOptions(
        main_target=target,
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        eras_per_step=recipe.eras_per_step,
        era_stride=recipe.era_stride,
        batch_rows=recipe.batch_rows,
        patience=recipe.patience,
        evaluations_per_epoch=recipe.evaluations_per_epoch,
        stop_after=stop_after,
        seed=seed,
        device=device,
        precision=recipe.precision,
        compiled=recipe.compiled,
        loss=recipe.loss,
        pearson_weight=recipe.pearson_weight,
        residual=recipe.residual if recipe.residual_labels else None,
        benchmark_penalty=recipe.benchmark_penalty,
    )
