"""
`bot sync`: data, era store, feature returns and the published history brought up to date, in this order.

Each step builds on files the one before has published, so it can be interrupted anywhere and run again.
"""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from bot.data.data_facts import DataFacts, compare_facts
from bot.data.download import STORED_FILES, recorded, sync_files
from bot.data.era_store import EraStore
from bot.data.ingest import update
from bot.data.next_version import survey
from bot.history import feature_returns, published
from bot.history.factor_history import FeatureReturns, HistoryState
from bot.system.lock import state_lock
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import version_order

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """
    What there is now.

    Attributes:
        changed: Names of the files that were fetched.
        store: The complete history.
        returns: Realised returns of all features for the history targets.
        history: What live rows may see.
        facts: Facts read from the data.
        findings: What somebody should know about the data, in words.
    """

    changed: tuple[str, ...]
    store: EraStore
    returns: FeatureReturns
    history: HistoryState
    facts: DataFacts
    findings: tuple[str, ...]


def sync_history(
    client: NumeraiClient,
    state_dir: Path,
    version: str,
    *,
    history_targets: Sequence[str],
    lookback: int,
    pinned: Collection[str],
    report_progress: ProgressCallback,
) -> Synced:
    """
    Bring everything that is derived from Numerai's files up to date.

    Args:
        client: Of the API.
        state_dir: Holds ``data``, ``store`` and ``history``.
        version: Data version.
        history_targets: Whose returns live rows see; those the data lack are left out.
        lookback: Most eras that any recipe looks back.
        pinned: Names of stores, and data versions, that somebody needs; older ones than the current are removed.
        report_progress: Called with the progress.

    Raises:
        StateLocked: Another process is at it.
        RetryLater: Something could not be fetched, or was damaged and is fetched again next time.
        SchemaMismatch: The files are of a kind that the bot does not know.
        OperatorNeeded: The disk is full.
    """
    with state_lock(state_dir, "sync"):
        home = state_dir / "data" / version
        report_progress("sync", 0.0, version)
        changed = sync_files(
            client,
            state_dir / "data",
            version,
            on_progress=lambda done, total: report_progress(
                "sync", done / total, f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
            ),
        )
        digests = {name: str(about["sha256"]) for name, about in recorded(home).items()}
        store = update(
            state_dir / "store",
            [home / name for name in STORED_FILES],
            version=version,
            expected=digests,
            on_progress=lambda done, total: report_progress("store", done / total, f"{done:,} of {total:,} rows"),
        )
        targets = tuple(name for name in history_targets if name in store.manifest.targets)
        table = feature_returns.update(
            store,
            targets,
            on_progress=lambda done, total: report_progress("returns", done / total, f"{done} of {total} eras"),
        )
        state = published.publish(
            published.history_path(state_dir, version),
            table,
            store.manifest.features,
            lookback=lookback,
            now=client.server_now(),
        )
        facts = DataFacts.of(store)
        findings = (
            *compare_facts(home / "truth.json", facts),
            *survey(client, client.datasets(), store, state_dir / "data"),
        )
        for finding in findings:
            log.warning("data.finding", finding=finding)
        _let_go(store, state_dir / "data", pinned)
    return Synced(changed=changed, store=store, returns=table, history=state, facts=facts, findings=findings)


def _let_go(store: EraStore, data: Path, pinned: Collection[str]) -> None:
    """Remove older stores, and files of older data versions, that nobody needs: artifacts are still scored on theirs."""
    current = store.manifest.data_version

    def is_old(version: str) -> bool:
        return version not in pinned and version_order(version) < version_order(current)

    for one in store.folder.parent.iterdir():
        version = one.name.rpartition("-")[0]
        if one != store.folder and one.name not in pinned and (version == current or is_old(version)):
            shutil.rmtree(one)
            log.info("store.removed", store=one.name)
    for one in data.iterdir():
        if one.is_dir() and any(version_order(one.name)) and is_old(one.name):
            shutil.rmtree(one)
            log.info("data.removed", version=one.name)
