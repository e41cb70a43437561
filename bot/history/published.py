"""The newest history that live rows may see, published by `bot sync` and read by the submitter."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import structlog

from bot.errors import ArtifactInvalid, SchemaMismatch
from bot.history.factor_history import FeatureReturns, HistoryState, Window, latest_window

log = structlog.get_logger()

FRESH_FOR = timedelta(days=28)
"""Eras are weekly: when none has resolved for four weeks, the history no longer looks as it did in training."""


def history_path(state_dir: Path, version: str) -> Path:
    """Return where the history of a data version is published."""
    return state_dir / "history" / f"{version}.npz"


def publish(
    path: Path, table: FeatureReturns, features: Sequence[str], *, lookback: int, now: datetime
) -> HistoryState:
    """
    Write the last resolved eras' feature returns as one small file, in one atomic step.

    The date of staleness moves only when a newer era has resolved: syncing old data again makes nothing fresh.

    Args:
        path: From :func:`history_path`.
        table: Realised feature returns.
        features: Names of its second axis.
        lookback: Most steps that any recipe looks back.
        now: Aware.
    """
    window, newest = latest_window(table, lookback)
    by_target = dict(zip(table.targets, newest, strict=True))
    before = read(path)
    known = before is not None and dict(before.newest_era) == by_target
    state = HistoryState(
        features=tuple(features),
        targets=table.targets,
        window=window,
        newest_era=by_target,
        built_from_era=table.eras[-1],
        stale_after=before.stale_after if known and before is not None else now + FRESH_FOR,
    )
    if known and before is not None and np.array_equal(before.window, state.window):
        return before
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".tmp")
    with staging.open("wb") as file:
        file.write(state.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)
    return state


def read(path: Path) -> HistoryState | None:
    """Return the published history, or ``None`` where there is none or it is damaged: the artifact has its own."""
    try:
        return HistoryState.from_bytes(path.read_bytes())
    except (OSError, ArtifactInvalid):
        return None


def choose(own: HistoryState | None, path: Path, *, now: datetime) -> Window:
    """
    Return what an artifact's network sees of the past in a live round.

    The newest history that is published and fits, else the artifact's own; nothing when that is stale, for which the
    network was trained too.

    Args:
        own: Of the artifact, ``None`` if its network has none.
        path: From :func:`history_path`.
        now: Aware.
    """
    if own is None:
        return "masked"
    state = newest(own, path)
    if state.stale_after is None or now <= state.stale_after:
        return state.window
    log.warning("history.stale", newest_era=dict(state.newest_era), stale_after=state.stale_after.isoformat())
    return "masked"


def newest(own: HistoryState, path: Path) -> HistoryState:
    """
    Return the published history as an artifact's network sees it, or the artifact's own where that is newer or does not fit.

    Args:
        own: Of the artifact.
        path: From :func:`history_path`.
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
