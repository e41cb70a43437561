"""The published history: the newest window for live rows, written by `bot sync` and read by `bot submit`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import structlog

from bot.errors import ArtifactInvalid, SchemaMismatch
from bot.history.factor_history import FeatureReturns, HistoryState, latest_window
from bot.system import files

log = structlog.get_logger()

FRESH_FOR = timedelta(days=28)
"""Time after which a history without newer eras is stale: eras are weekly, and networks were trained on fresh ones."""


def history_path(state_dir: Path, version: str) -> Path:
    """Return the path of the published history of a data version."""
    return state_dir / "history" / f"{version}.npz"


def publish(
    path: Path, table: FeatureReturns, features: Sequence[str], *, lookback: int, now: datetime
) -> HistoryState:
    """
    Write the newest resolved feature returns as one small file, in one atomic step.

    ``stale_after`` moves only when a newer era has resolved: neither syncing the same data again nor recipes with other
    targets make them fresh.

    Args:
        path: Path from :func:`history_path`.
        table: Feature returns of all eras.
        features: Feature names along the table's second axis.
        lookback: Longest lookback of any recipe, in eras.
        now: Aware time.
    """
    latest = latest_window(table, lookback)
    before = read(path)
    fresh_until = now + FRESH_FOR
    if before is not None and before.stale_after is not None and not _is_newer(latest.newest_eras, table, before):
        # A clock that was ahead at an earlier sync must not keep the history fresh for longer than a sync now would.
        fresh_until = min(before.stale_after, fresh_until)
    state = HistoryState(
        features=tuple(features),
        targets=table.targets,
        window=latest.values,
        newest_era=latest.newest_eras,
        built_from_era=table.eras[-1],
        stale_after=fresh_until,
    )
    if before is not None and _is_same(before, state):
        return before
    files.publish(path, state.to_bytes())
    return state


def _is_newer(newest_eras: Mapping[str, str], table: FeatureReturns, before: HistoryState) -> bool:
    """Return whether an era has resolved since *before* was written, by the targets that both have."""
    shared = newest_eras.keys() & before.newest_era.keys()
    if not shared:
        return table.eras[-1] > before.built_from_era
    return any(newest_eras[name] > before.newest_era[name] for name in shared)


def _is_same(before: HistoryState, state: HistoryState) -> bool:
    same = (before.features, before.targets, dict(before.newest_era), before.stale_after)
    return same == (state.features, state.targets, dict(state.newest_era), state.stale_after) and np.array_equal(
        before.window, state.window
    )


def read(path: Path) -> HistoryState | None:
    """Return the published history, ``None`` where it is absent or damaged: each artifact has a history of its own."""
    try:
        return HistoryState.from_bytes(path.read_bytes())
    except (OSError, ArtifactInvalid):
        return None


def choose(own: HistoryState | None, path: Path, *, now: datetime) -> HistoryState | None:
    """
    Return the history of an artifact's networks in a live round; ``None`` masks it.

    The published history if it fits and is no older than the artifact's own, else the artifact's own. A stale history is
    masked: networks were trained without history as well.

    Args:
        own: History of the artifact, ``None`` if its models read none.
        path: Path from :func:`history_path`.
        now: Aware time.
    """
    if own is None:
        return None
    state = newest(own, path)
    if state.stale_after is None or now <= state.stale_after:
        return state
    log.warning("history.stale", newest_era=dict(state.newest_era), stale_after=state.stale_after.isoformat())
    return None


def newest(own: HistoryState, path: Path) -> HistoryState:
    """
    Return the published history with the artifact's features and targets, or the artifact's own if that is newer or fits alone.

    Args:
        own: History of the artifact.
        path: Path from :func:`history_path`.
    """
    published = read(path)
    if published is None or published.built_from_era < own.built_from_era:
        return own
    try:
        window = published.select(own.features, own.targets, len(own.window))
    except SchemaMismatch as error:
        log.warning("history.unfit", reason=str(error))
        return own
    return replace(
        own,
        window=window,
        newest_era={name: era for name, era in published.newest_era.items() if name in own.targets},
        built_from_era=published.built_from_era,
        stale_after=published.stale_after,
    )
