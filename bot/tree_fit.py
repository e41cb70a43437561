"""Fit the tree member of a recipe on some eras of a training set."""

from collections.abc import Sequence

from bot.network_fit import Watcher
from bot.recipes import Recipe
from bot.training_set import TrainingSet
from models.gbm import PRESETS, train_gbm


def fit_trees(data: TrainingSet, positions: Sequence[int], recipe: Recipe, target: str, watch: Watcher) -> str:
    """
    Train the tree member on the labelled rows of the eras at *positions*.

    Args:
        data: What is learned from.
        positions: Of the eras.
        recipe: Names the preset.
        target: What is learned.
        watch: Told about progress.

    Returns:
        The model as LightGBM's text.
    """
    chunks, y = data.table(positions, target)
    watch("trees", 0.0, f"{recipe.gbm} preset, {len(y)} rows")
    return train_gbm(
        chunks,
        y,
        PRESETS[recipe.gbm],
        (*data.manifest.features, *data.manifest.engineered_names),
        on_progress=lambda done, total: watch("trees", done / total, f"{done} of {total}"),
    )
