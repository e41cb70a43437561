"""Columns, eras and files that a retrain derives from the synced data before it fits anything."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog

from bot.data.era_store import EraStore
from bot.errors import CannotSplit, SchemaMismatch
from bot.features.distributions import FeatureDistributions, sample
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess, prepare
from bot.history.factor_history import FeatureReturns, HistoryState, feature_returns
from bot.history.synced import Synced
from bot.members import registry
from bot.members.member import Unit
from bot.serving.names import HISTORY
from bot.serving.scorer import preprocess_file
from bot.system.progress import ProgressCallback
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.splits import LEAST, Split, UsedEras, holdout, resolved
from bot.training.training_set import TrainingSet

log = structlog.get_logger()

COMPARED = 52
"""Newest eras (one year) whose feature distributions live rows are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """
    The history as the members of a recipe read it.

    Attributes:
        main: Columns of the recipe's feature set, with all targets and without history.
        models: Columns, targets and history of each model, by the name of its owner.
        preprocesses: Preprocessing by feature set; ``None`` is the recipe's own.
    """

    main: TrainingSet
    models: Mapping[str, TrainingSet]
    preprocesses: Mapping[str | None, Preprocess]


class TooFewChosen(CannotSplit):
    """A recipe's ``first_era`` and ``newest`` leave too few training eras."""


def left_out_targets(plan: ResolvedRecipe, known: Collection[str]) -> tuple[str, ...]:
    """
    Return the auxiliary targets of a recipe that the data lack; a data version may drop some.

    Args:
        plan: Recipe to train.
        known: Targets of the data.

    Raises:
        SchemaMismatch: The data lack the main target, or the target of every member with a weight.
    """
    history = (name for unit in plan.units for name in registry.find(unit.owner.kind).needs(unit.owner).history)
    absent = tuple(name for name in dict.fromkeys((*plan.targets, *history)) if name not in known)
    if plan.target in absent:
        raise SchemaMismatch(
            f"the data lack the main target {plan.target}; name one of {', '.join(sorted(known))} in the recipe or BOT_TARGET"
        )
    if all(one.target in absent for one in plan.members if one.weight):
        raise SchemaMismatch(
            f"the data lack the targets of all members of recipe {plan.recipe.name}: {', '.join(absent)}; give a weight to"
            " a member of the main target"
        )
    return absent


def without_targets(plan: ResolvedRecipe, absent: Collection[str]) -> ResolvedRecipe:
    """Return a plan without some auxiliary targets, without their members, and without their part of the history."""
    if not absent:
        return plan
    recipe = plan.recipe
    members = []
    for unit in plan.units:
        kind = registry.find(unit.owner.kind)
        kept = [one for one in unit.members if one.target not in absent]
        options = kind.without_targets(unit.owner.options, frozenset(absent))
        # A model whose owner's target is gone is that of its first head.
        members += [replace(one, options=options, head_of=None) for one in kept[:1]]
        members += [replace(one, head_of=kept[0].name) for one in kept[1:]]
    changed = replace(
        recipe, targets=tuple(name for name in recipe.targets if name not in absent), members=tuple(members)
    )
    log.warning("retrain.targets_left_out", recipe=recipe.name, targets=", ".join(absent), reason="the data lack them")
    return replace(plan, recipe=changed)


def read_training_data(
    synced: Synced, plan: ResolvedRecipe, metadata: FeatureMetadata, *, report_progress: ProgressCallback
) -> TrainingData:
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
    synced.store.verify(
        lambda done, total: report_progress("verify", done / total, f"{done / 1e9:.2f} of {total / 1e9:.2f} GB")
    )
    return select_training_data(synced.store, synced.returns, plan, metadata)


def select_training_data(
    store: EraStore, returns: FeatureReturns, plan: ResolvedRecipe, metadata: FeatureMetadata
) -> TrainingData:
    """Select the columns that the recipe trains on; see :func:`read_training_data`."""
    recipe = plan.recipe
    sets: dict[str | None, TrainingSet] = {}
    # The leakage checks read the targets of the histories, learned or not.
    needs = (registry.find(unit.owner.kind).needs(unit.owner) for unit in plan.units)
    past = tuple(dict.fromkeys(name for one in needs for name in one.history))
    for name in dict.fromkeys((None, *(one.feature_set for one in plan.members))):
        features = metadata.members(name or plan.feature_set)
        manifest = Preprocess(
            features=features,
            groups=metadata.groups(features),
            missing=recipe.missing,
            normalize=recipe.normalize,
            engineered=recipe.engineered,
        )
        sets[name] = TrainingSet.select(
            store,
            manifest,
            targets=plan.targets,
            further_targets=past,
            history_targets=(),
            lookback=0,
            table=returns,
        )
    models = {
        unit.owner.name: _of_model(unit, plan, sets[unit.owner.feature_set], store, returns) for unit in plan.units
    }
    return TrainingData(main=sets[None], models=models, preprocesses={name: one.manifest for name, one in sets.items()})


def _of_model(
    unit: Unit, plan: ResolvedRecipe, columns: TrainingSet, store: EraStore, returns: FeatureReturns
) -> TrainingSet:
    """Return the columns of a feature set with the targets and the history of one model."""
    needs = registry.find(unit.owner.kind).needs(unit.owner)
    learned = plan.learned(unit)
    if not needs.history:
        return replace(columns, targets=learned)
    past = TrainingSet.select(
        store,
        columns.manifest,
        targets=learned,
        history_targets=needs.history,
        lookback=needs.lookback,
        table=returns,
    )
    return replace(columns, targets=learned, returns=past.returns, lookback=past.lookback)


def split_eras(data: TrainingData, plan: ResolvedRecipe) -> Split:
    """
    Return the recipe's training, validation and hold-out eras.

    Raises:
        CannotSplit: The data have too few eras.
    """
    store, recipe = data.main.store, plan.recipe
    split = holdout(
        store.eras,
        labelled=store.labelled(plan.target),
        targets=plan.targets,
        validation_eras=recipe.validation_eras,
        holdout_eras=recipe.holdout_eras,
        every=recipe.every,
    )
    return replace(split, train=chosen_eras(split.train, store.eras, recipe))


def resolved_eras(data: TrainingData, plan: ResolvedRecipe) -> tuple[int, ...]:
    """Return the positions of the eras that a refit learns from."""
    store = data.main.store
    return chosen_eras(resolved(store.labelled(plan.target), every=plan.recipe.every), store.eras, plan.recipe)


def chosen_eras(positions: Sequence[int], eras: Sequence[str], recipe: Recipe) -> tuple[int, ...]:
    """
    Return the training eras that the recipe chooses among some.

    Raises:
        TooFewChosen: They are too few.
    """
    found = [one for one in positions if recipe.first_era is None or eras[one] >= recipe.first_era][-recipe.newest :]
    if len(found) < LEAST:
        raise TooFewChosen(f"recipe {recipe.name}: first_era and newest leave {len(found)} training eras; take more")
    return tuple(found)


def neutralizing_features(
    data: TrainingData, plan: ResolvedRecipe, metadata: FeatureMetadata, train: Sequence[int]
) -> tuple[str, ...]:
    """
    Return the features that exposure is measured to and that the ensemble is neutralized to, in the order of the data.

    Args:
        data: Data of the recipe.
        plan: The recipe.
        metadata: Feature sets.
        train: Positions of the training eras; the riskiest features are found on them alone.
    """
    features = data.main.manifest.features
    chosen = set(metadata.members(plan.recipe.exposed))
    if plan.recipe.riskiest:
        chosen = set(_riskiest(data.main, plan.target, train, plan.recipe.riskiest))
    return tuple(name for name in features if name in chosen)


def _riskiest(data: TrainingSet, target: str, train: Sequence[int], count: int) -> tuple[str, ...]:
    """
    Return the features whose mean correlation with a target differs most between the halves of the training eras.

    It is the choice of Numerai's example notebook on feature neutralization.
    """
    returns = np.array(
        [feature_returns(data.prepared(one).features, data.target(one, target)[:, None])[:, 0] for one in train]
    )
    half = len(train) // 2
    change = np.abs(np.nanmean(returns[half:], axis=0) - np.nanmean(returns[:half], axis=0))
    return tuple(data.manifest.features[index] for index in np.argsort(-change, kind="stable")[:count])


def used_eras(split: Split, plan: ResolvedRecipe) -> tuple[UsedEras, ...]:
    """Return the eras and targets that members see before they are judged."""
    blocks = {"training": split.train, "validation": split.validation}
    return tuple(UsedEras(block=name, positions=block, targets=plan.targets) for name, block in blocks.items())


def feature_distributions(data: TrainingSet) -> FeatureDistributions:
    """Return the feature distributions of the newest eras, eras without a target included."""
    positions = range(max(0, len(data.store.eras) - COMPARED), len(data.store.eras))
    names = data.store.feature_names
    eras = (prepare(data.manifest, names, sample(data.store.features(one))).features for one in positions)
    rows = np.diff(data.store.offsets)[positions.start :].tolist()
    return FeatureDistributions.of(data.manifest.features, eras, rows)


def write_inputs(data: TrainingData, synced: Synced, folder: Path) -> None:
    """Make *folder* and write the preprocessing and history that members need to score rows."""
    folder.mkdir()
    for name, manifest in data.preprocesses.items():
        (folder / preprocess_file(name)).write_text(manifest.to_json(), encoding="utf-8")
    state = _history(data, synced)
    if state is not None:
        (folder / HISTORY).write_bytes(state.to_bytes())


def _history(data: TrainingData, synced: Synced) -> HistoryState | None:
    """Return the live history that covers the needs of all models; ``None`` where none reads it."""
    wanted = [one.history for one in data.models.values() if one.history is not None]
    if not wanted:
        return None
    targets = tuple(dict.fromkeys(name for one in wanted for name in one.targets))
    features = tuple(dict.fromkeys(name for one in wanted for name in one.features))
    everything = TrainingSet.select(
        synced.store,
        Preprocess(features=features, groups={}),
        targets=(),
        history_targets=targets,
        lookback=max(one.lookback for one in wanted),
        table=synced.returns,
    )
    live = everything.live_window()
    if live is None:
        return None
    return HistoryState(
        features=features,
        targets=targets,
        window=live.values,
        newest_era=live.newest_eras,
        built_from_era=synced.store.eras[-1],
        stale_after=synced.history.stale_after,
    )
