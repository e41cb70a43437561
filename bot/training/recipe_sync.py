"""
Sync the data of recipes: a whole data version for all of them, or only the columns and eras of one.

A sync of a whole version updates the history that all recipes need, and keeps the stores and versions that must stay.
"""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from bot.data.download import OPTIONAL_FILES, STORED_FILES
from bot.data.reference_predictions import META_MODEL, benchmark_column
from bot.data.transfer.column_download import Selection
from bot.features.feature_sets import FeatureMetadata
from bot.history.sync import sync_columns, sync_history
from bot.history.synced import Synced
from bot.serving.artifacts import ArtifactStore
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import DATA_TYPE, ERA, HISTORY_LAG, ID, horizon
from bot.training.recipe_file import history_needs
from bot.training.recipes import ResolvedRecipe
from bot.training.splits import embargo


def sync_for_recipes(
    client: NumeraiClient,
    artifacts: ArtifactStore,
    state_dir: Path,
    version: str,
    *,
    needed: Collection[str],
    report_progress: ProgressCallback,
) -> Synced:
    """
    Update everything that is derived from Numerai's files of one data version.

    Args:
        client: Client of the API.
        artifacts: Artifacts; the stores and data versions that they were trained on stay.
        state_dir: State directory.
        version: Data version.
        needed: Data versions that recipes use; they stay.
        report_progress: Called with the step, its share done, and a note.

    Raises:
        BotError: As :func:`bot.history.sync.sync_history`.
    """
    needs = history_needs()
    return sync_history(
        client,
        state_dir,
        version,
        history_targets=needs.targets,
        lookback=needs.lookback,
        pinned={*needed, *artifacts.pinned("store"), *artifacts.pinned("data_version")},
        report_progress=report_progress,
    )


def sync_for_one(
    client: NumeraiClient, state_dir: Path, plan: ResolvedRecipe, *, report_progress: ProgressCallback
) -> Synced:
    """
    Update the columns and eras that one recipe reads, in a directory of their own.

    Args:
        client: Client of the API.
        state_dir: Directory for the data and the store of this recipe alone.
        plan: The recipe. Its members read no history, have no feature set of their own, and ``newest`` bounds its eras.
        report_progress: Called with the step, its share done, and a note.

    Raises:
        NoRanges: The server does not serve ranges.
        BotError: As :func:`bot.history.sync.sync_history`.
    """
    choose = partial(needed_parts, plan)
    return sync_columns(
        client, state_dir, plan.data_version, choose, target=plan.target, report_progress=report_progress
    )


def needed_parts(plan: ResolvedRecipe, metadata: FeatureMetadata) -> dict[str, Selection]:
    """Return the part of each file that a recipe trains on and is judged by."""
    recipe = plan.recipe
    features = {*metadata.members(plan.feature_set), *metadata.members(recipe.exposed)}
    stored = {ID, ERA, DATA_TYPE, *features, *plan.targets}
    # Unresolved eras, hold-out and validation, an embargo before each.
    judged = max(HISTORY_LAG[horizon(name)] for name in plan.targets) + recipe.holdout_eras + recipe.validation_eras
    judged += 2 * embargo(plan.targets)

    def reference(names: Sequence[str]) -> tuple[str, ...]:
        column = META_MODEL if META_MODEL in names else benchmark_column(names, plan.target)
        return () if column is None else tuple(name for name in (ID, ERA, column) if name in names)

    history = Selection(
        columns=lambda names: [name for name in names if name in stored], eras=judged + recipe.newest * recipe.every
    )
    return {
        **dict.fromkeys(STORED_FILES, history),
        **dict.fromkeys(OPTIONAL_FILES, Selection(columns=reference, eras=judged)),
    }
