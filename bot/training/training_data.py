"""Columns, eras and files that a retrain derives from the synced data before it fits anything."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import structlog

from bot.errors import SchemaMismatch
from bot.features.distributions import FeatureDistributions, sample
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess, prepare
from bot.history.factor_history import HistoryState
from bot.history.sync import Synced
from bot.serving.names import HISTORY, PREPROCESS, member_target
from bot.system.progress import ProgressCallback
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.splits import Split, UsedEras, holdout, resolved
from bot.training.training_set import TrainingSet

log = structlog.get_logger()

COMPARED = 52
"""Newest eras (one year) whose feature distributions live rows are compared with."""


def left_out_targets(plan: ResolvedRecipe, known: Collection[str]) -> tuple[str, ...]:
    """
    Return the auxiliary targets of a recipe that the data lack; a data version may drop some.

    Args:
        plan: Recipe to train.
        known: Targets of the data.

    Raises:
        SchemaMismatch: The data lack the main target, or the target of every member with a weight.
    """
    history = plan.recipe.network.history_targets if plan.recipe.network.lookback else ()
    wanted = dict.fromkeys((*plan.targets, *plan.trees.values(), *history))
    absent = tuple(name for name in wanted if name not in known)
    if plan.target in absent:
        raise SchemaMismatch(
            f"the data lack the main target {plan.target}; name one of {', '.join(sorted(known))} in the recipe or BOT_TARGET"
        )
    weighed = [name for name, weight in plan.recipe.weights if weight]
    if all(member_target(name, plan.target) in absent for name in weighed):
        raise SchemaMismatch(
            f"the data lack the targets of all members of recipe {plan.recipe.name}: {', '.join(absent)}; give a weight to"
            " a member of the main target"
        )
    return absent


def without_targets(plan: ResolvedRecipe, absent: Collection[str]) -> ResolvedRecipe:
    """Return a plan without some auxiliary targets, without their members, and without their part of the history."""
    if not absent:
        return plan
    recipe, network = plan.recipe, plan.recipe.network
    history = tuple(name for name in network.history_targets if name not in absent)
    changed = replace(
        recipe,
        targets=tuple(name for name in recipe.targets if name not in absent),
        weights=tuple(one for one in recipe.weights if member_target(one[0], plan.target) not in absent),
        network=replace(network, history_targets=history, lookback=network.lookback if history else 0),
    )
    log.warning("retrain.targets_left_out", recipe=recipe.name, targets=", ".join(absent), reason="the data lack them")
    return replace(plan, recipe=changed)


def read_training_set(
    synced: Synced, plan: ResolvedRecipe, metadata: FeatureMetadata, *, report_progress: ProgressCallback
) -> TrainingSet:
    """
    Verify the store and select the columns that the recipe trains on.

    Args:
        synced: Store and feature returns of the plan's data version.
        plan: Recipe to train.
        metadata: Feature sets and groups of the same data version.
        report_progress: Receives the progress of the verification.

    Raises:
        DatasetIncomplete: The store differs from what was written.
        SchemaMismatch: The data lack a feature set, feature or target of the recipe.
    """
    recipe, features = plan.recipe, metadata.members(plan.feature_set)
    synced.store.verify(
        lambda done, total: report_progress("verify", done / total, f"{done / 1e9:.2f} of {total / 1e9:.2f} GB")
    )
    return TrainingSet.select(
        synced.store,
        Preprocess(
            features=features,
            groups=metadata.groups(features),
            missing=recipe.missing,
            normalize=recipe.normalize,
            engineered=recipe.engineered,
        ),
        targets=plan.targets,
        tree_targets=tuple(plan.trees.values()),
        history_targets=recipe.network.history_targets if recipe.network.lookback else (),
        lookback=recipe.network.lookback,
        table=synced.returns,
    )


def split_eras(data: TrainingSet, plan: ResolvedRecipe) -> Split:
    """
    Return the recipe's training, validation and hold-out eras.

    Raises:
        CannotSplit: The data have too few eras.
    """
    return holdout(
        data.store.eras,
        labelled=data.store.labelled(plan.target),
        targets=data.targets,
        validation_eras=plan.recipe.validation_eras,
        holdout_eras=plan.recipe.holdout_eras,
        every=plan.recipe.every,
    )


def resolved_eras(data: TrainingSet, plan: ResolvedRecipe) -> tuple[int, ...]:
    """Return the positions of the eras that a refit learns from."""
    return resolved(data.store.labelled(plan.target), every=plan.recipe.every)


def used_eras(data: TrainingSet, split: Split, plan: ResolvedRecipe) -> tuple[UsedEras, ...]:
    """Return the eras and targets that members see before they are judged."""
    targets = tuple(dict.fromkeys((*data.targets, *plan.trees.values())))
    blocks = {"training": split.train, "validation": split.validation}
    return tuple(UsedEras(block=name, positions=block, targets=targets) for name, block in blocks.items())


def feature_distributions(data: TrainingSet) -> FeatureDistributions:
    """Return the feature distributions of the newest eras, eras without a target included."""
    positions = range(max(0, len(data.store.eras) - COMPARED), len(data.store.eras))
    names = data.store.feature_names
    eras = (prepare(data.manifest, names, sample(data.store.features(one))).features for one in positions)
    rows = np.diff(data.store.offsets)[positions.start :].tolist()
    return FeatureDistributions.of(data.manifest.features, eras, rows)


def write_inputs(data: TrainingSet, recipe: Recipe, folder: Path, *, stale_after: datetime | None) -> None:
    """Make *folder* and write the preprocessing and history that every member needs to score rows."""
    folder.mkdir()
    (folder / PREPROCESS).write_text(data.manifest.to_json(), encoding="utf-8")
    live = data.live_window()
    if live is not None:
        state = HistoryState(
            features=data.manifest.features,
            targets=recipe.network.history_targets,
            window=live.values,
            newest_era=live.newest_eras,
            built_from_era=data.store.eras[-1],
            stale_after=stale_after,
        )
        (folder / HISTORY).write_bytes(state.to_bytes())
