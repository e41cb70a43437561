"""Sync a data version for all recipes: the history that they need, and the stores and versions that must stay."""

from collections.abc import Collection
from pathlib import Path

from bot.history.sync import Synced, sync_history
from bot.serving.artifacts import ArtifactStore
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.training.recipe_file import history_needs


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
