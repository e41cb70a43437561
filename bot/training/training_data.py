"""What a retrain learns from: the recipe's columns of the store, its three blocks of eras, and what serving will need."""

from datetime import datetime
from pathlib import Path

import numpy as np

from bot.features.distributions import FeatureDistributions, sample
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess, prepare
from bot.history.factor_history import HistoryState
from bot.history.sync import Synced
from bot.serving.scorer import HISTORY, PREPROCESS
from bot.system.progress import ProgressCallback
from bot.training.recipes import Recipe
from bot.training.splits import Split, UsedEras, holdout, resolved
from bot.training.training_set import TrainingSet

COMPARED = 52
"""Newest eras, a year of them, that live features are held beside."""


def read(
    fresh: Synced,
    recipe: Recipe,
    metadata: FeatureMetadata,
    *,
    feature_set: str,
    target: str,
    report_progress: ProgressCallback,
) -> TrainingSet:
    """
    Verify the store and select what the recipe trains on.

    Raises:
        DatasetIncomplete: The store differs from what was written.
        SchemaMismatch: The data lack what the recipe names.
    """
    features = metadata.members(feature_set)
    fresh.store.verify(
        lambda done, total: report_progress("verify", done / total, f"{done / 1e9:.2f} of {total / 1e9:.2f} GB")
    )
    return TrainingSet.select(
        fresh.store,
        Preprocess(
            features=features,
            groups=metadata.groups(features),
            missing=recipe.missing,
            normalize=recipe.normalize,
            engineered=recipe.engineered,
        ),
        targets=tuple(dict.fromkeys((target, *recipe.targets))),
        tree_targets=tuple(recipe.trees(target).values()),
        history_targets=recipe.network.history_targets if recipe.network.lookback else (),
        lookback=recipe.network.lookback,
        table=fresh.returns,
    )


def part(data: TrainingSet, recipe: Recipe, target: str) -> tuple[Split, tuple[int, ...]]:
    """
    Return the recipe's three blocks, and all eras that are resolved.

    Raises:
        CannotSplit: The data have too few eras for them.
    """
    labelled = data.store.labelled(target)
    split = holdout(
        data.store.eras,
        labelled=labelled,
        targets=data.targets,
        validation_eras=recipe.validation_eras,
        holdout_eras=recipe.holdout_eras,
        every=recipe.every,
    )
    return split, resolved(labelled, every=recipe.every)


def used(data: TrainingSet, split: Split, recipe: Recipe, target: str) -> tuple[UsedEras, ...]:
    """Return what the members of a split see before they are judged, and every target they see of it."""
    targets = tuple(dict.fromkeys((*data.targets, *recipe.trees(target).values())))
    blocks = {"training": split.train, "validation": split.validation}
    return tuple(UsedEras(block=name, positions=block, targets=targets) for name, block in blocks.items())


def feature_distributions(data: TrainingSet) -> FeatureDistributions:
    """Return how the features of the newest eras are spread over their rows, those without a target included."""
    positions = range(max(0, len(data.store.eras) - COMPARED), len(data.store.eras))
    names = data.store.feature_names
    eras = (prepare(data.manifest, names, sample(data.store.features(one))).features for one in positions)
    rows = np.diff(data.store.offsets)[positions.start :].tolist()
    return FeatureDistributions.of(data.manifest.features, eras, rows)


def write_inputs(data: TrainingSet, recipe: Recipe, folder: Path, *, stale_after: datetime | None) -> None:
    """Make *folder*, with what every member of it is served with: preprocessing and history."""
    folder.mkdir()
    (folder / PREPROCESS).write_text(data.manifest.to_json(), encoding="utf-8")
    live = data.live_window()
    if live is not None:
        values, newest = live
        state = HistoryState(
            features=data.manifest.features,
            targets=recipe.network.history_targets,
            window=values,
            newest_era=newest,
            built_from_era=data.store.eras[-1],
            stale_after=stale_after,
        )
        (folder / HISTORY).write_bytes(state.to_bytes())
