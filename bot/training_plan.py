"""From a recipe and the data it meets to what the network and its training loop take."""

from typing import Literal

from bot.preprocess import engineered_scaling, network_scaling
from bot.recipes import NetworkRecipe
from bot.training_set import TrainingSet
from models.network_config import NetworkConfig
from models.training import TrainingOptions

Device = Literal["auto", "cpu", "cuda"]


def network_config(data: TrainingSet, recipe: NetworkRecipe) -> NetworkConfig:
    """Return the network that fits the data's columns and the recipe's sizes."""
    manifest = data.manifest
    offset, scale = network_scaling(manifest)
    made_offset, made_scale = engineered_scaling(manifest)
    channels = 0 if data.returns is None else len(manifest.groups) * len(data.returns.targets)
    return NetworkConfig(
        features=len(manifest.features),
        targets=data.targets,
        engineered=len(manifest.engineered_names),
        history_channels=channels,
        lookback=data.lookback if channels else 0,
        missing_category=manifest.missing == "category",
        input_offset=offset,
        input_scale=scale,
        engineered_offset=tuple(float(value) for value in made_offset),
        engineered_scale=tuple(float(value) for value in made_scale),
        encoder=recipe.encoder,
        hidden=recipe.hidden,
        feed_forward=recipe.feed_forward,
        blocks=recipe.blocks,
        dropout=recipe.dropout,
        input_dropout=recipe.input_dropout,
        history_dropout=recipe.history_dropout,
    )


def training_options(recipe: NetworkRecipe, *, target: str, device: Device) -> TrainingOptions:
    """Return the recipe's schedule as the training loop takes it."""
    return TrainingOptions(
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        patience=recipe.patience,
        evaluations_per_epoch=recipe.evaluations_per_epoch,
        batch_rows=recipe.batch_rows,
        seed=recipe.seed,
        loss=recipe.loss,
        device=device,
        main_target=target,
    )
