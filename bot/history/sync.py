"""
`bot sync`: update the data files, the era store, the feature returns and the published history, in this order.

Each step reads files that the step before has published, so a sync can be interrupted anywhere and run again.
"""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import structlog

from bot.data.data_facts import DataFacts, compare_facts
from bot.data.download import STORED_FILES, fetch, offered, recorded, sync_files
from bot.data.era_store import EraStore
from bot.data.file_record import FileRecord
from bot.data.ingest import update
from bot.data.next_version import absent_bytes, survey
from bot.data.transfer.column_download import Selection, fetch_columns
from bot.features.feature_sets import FeatureMetadata
from bot.history import feature_returns, published
from bot.history.factor_history import FeatureReturns, HistoryState
from bot.history.synced import Synced
from bot.system.lock import state_lock
from bot.system.progress import CountCallback, ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import version_order

log = structlog.get_logger()


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
    Update everything that is derived from Numerai's files.

    Args:
        client: Client of the API.
        state_dir: State directory, with ``data``, ``store`` and ``history``.
        version: Data version.
        history_targets: Targets of the feature returns; targets that the data lack are left out.
        lookback: Longest lookback of any recipe, in eras.
        pinned: Stores and data versions that are needed; others that are older than *version* are removed.
        report_progress: Called with the step, its share done, and a note.

    Raises:
        StateLocked: Another process syncs.
        RetryLater: A download failed, or a file was damaged and is fetched again next time.
        SchemaMismatch: The files have columns or types that the bot does not know.
        OperatorNeeded: The disk is full.
    """
    with state_lock(state_dir, "sync"):
        data = state_dir / "data"
        report_progress("sync", 0.0, f"{version}, files of the server")
        # Of files that only grow, the new part is fetched: how large it is shows when it comes.
        expected = 0 if EraStore.newest(state_dir / "store", version) else absent_bytes(client, version, data)
        changed = sync_files(client, data, version, on_progress=_in_megabytes(report_progress, expected))
        report_progress("store", 0.0, "digests of the files")
        store = _update_store(state_dir, version, STORED_FILES, report_progress)
        report_progress("returns", 0.0, f"{len(store.eras):,} eras")
        returns, history = _derive(client, state_dir, store, history_targets, lookback, report_progress)
        facts = DataFacts.of(store)
        # The survey may fail, and what was compared once is not compared again.
        surveyed = survey(client, client.datasets(), store, data)
        findings = (*compare_facts(data / version / "truth.json", facts), *surveyed)
        for finding in findings:
            log.warning("data.finding", finding=finding)
        _remove_old(store, data, pinned)
    return Synced(changed=changed, store=store, returns=returns, history=history, facts=facts, findings=findings)


def sync_columns(
    client: NumeraiClient,
    state_dir: Path,
    version: str,
    choose: Callable[[FeatureMetadata], Mapping[str, Selection]],
    *,
    target: str,
    report_progress: ProgressCallback,
) -> Synced:
    """
    Update a store of some columns and the newest eras, which takes about a hundredth of a data version's bytes.

    Args:
        client: Client of the API.
        state_dir: Directory of this store alone; data, store and history of a whole data version lie in another one.
        version: Data version.
        choose: Returns the wanted part of each file.
        target: Target of the feature returns.
        report_progress: Called with the step, its share done, and a note.

    Raises:
        NoRanges: The server does not serve ranges; sync the whole data version.
        BotError: As :func:`sync_history`.
    """
    with state_lock(state_dir, "sync"):
        data = state_dir / "data"
        report_progress("sync", 0.0, f"columns of {version}")
        offered(client, version)  # refuses a version that is not there before anything is written
        about = fetch(client, f"{version}/features.json", data / version / "features.json").path
        wanted = choose(FeatureMetadata.read(about))
        names = fetch_columns(client, data, version, wanted, on_progress=_in_megabytes(report_progress))
        sources = [name for name in STORED_FILES if name in names]
        store = _update_store(state_dir, version, sources, report_progress)
        returns, history = _derive(client, state_dir, store, (target,), 1, report_progress)
        facts = DataFacts.of(store)
    return Synced(changed=names, store=store, returns=returns, history=history, facts=facts, findings=())


def _derive(
    client: NumeraiClient,
    state_dir: Path,
    store: EraStore,
    history_targets: Sequence[str],
    lookback: int,
    report_progress: ProgressCallback,
) -> tuple[FeatureReturns, HistoryState]:
    """Update the feature returns of a store, and publish its history."""
    returns = feature_returns.update(
        store,
        tuple(name for name in history_targets if name in store.manifest.targets),
        on_progress=lambda done, total: report_progress("returns", done / total, f"{done} of {total} eras"),
    )
    history = published.publish(
        published.history_path(state_dir, store.manifest.data_version),
        returns,
        store.manifest.features,
        lookback=lookback,
        now=client.server_now(),
    )
    return returns, history


def _in_megabytes(report_progress: ProgressCallback, expected: int = 0) -> CountCallback:
    """
    Return a callback of the download of several files, one after another.

    Args:
        report_progress: Receives the progress of all of them.
        expected: Bytes of all files; 0 where they are not known.
    """
    before = current = 0

    def report(done: int, total: int) -> None:
        nonlocal before, current
        if total != current:  # the next file; a second try of a file has the size of the first
            before, current = before + current, total
        done, total = before + done, max(expected, before + total)
        report_progress("sync", done / total, f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    return report


def _update_store(state_dir: Path, version: str, sources: Sequence[str], report_progress: ProgressCallback) -> EraStore:
    """Update the era store from the downloaded files, which must have the digests that they had on arrival."""
    folder = state_dir / "data" / version
    return update(
        state_dir / "store",
        [folder / name for name in sources],
        version=version,
        expected={name: FileRecord.from_entry(entry) for name, entry in recorded(folder).items()},
        on_progress=lambda done, total: report_progress("store", done / total, f"{done:,} of {total:,} rows"),
    )


def _remove_old(store: EraStore, data: Path, pinned: Collection[str]) -> None:
    """Remove stores and files that are older than *store*, except those of *pinned*, on which artifacts are scored."""
    current = store.manifest.data_version

    def is_old(version: str) -> bool:
        return version not in pinned and version_order(version) < version_order(current)

    for folder in store.folder.parent.iterdir():
        version = folder.name.rpartition("-")[0]
        if folder != store.folder and folder.name not in pinned and (version == current or is_old(version)):
            shutil.rmtree(folder)
            log.info("store.removed", store=folder.name)
    for folder in data.iterdir():
        if folder.is_dir() and any(version_order(folder.name)) and is_old(folder.name):
            shutil.rmtree(folder)
            log.info("data.removed", version=folder.name)
