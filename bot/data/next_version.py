"""Data versions other than the one in use: the columns they share, and the disk space a retrain needs."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog

from bot.data.data_facts import shown
from bot.data.download import fetch, offered
from bot.data.era_store import MANIFEST, EraStore, Manifest
from bot.errors import OperatorNeeded, RetryLater
from bot.features.feature_sets import FeatureMetadata
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import version_order

STORED = 2.8
"""Size of the era store in multiples of the parquet files: 26 GB and 9.3 GB for v5.3 at the end of 2026."""

log = structlog.get_logger()


def survey(client: NumeraiClient, listed: Sequence[str], store: EraStore, data: Path) -> tuple[str, ...]:
    """
    Return findings about the newest data version if it is newer than the store's. The version in use does not change.

    Args:
        client: Client of the API.
        listed: Names of all files that the server offers.
        store: Era store of the version in use.
        data: Folder of all data versions; ``features.json`` of the newer one is kept there.
    """
    pinned = store.manifest.data_version
    newest = max((name.partition("/")[0] for name in listed), key=version_order, default="")
    if version_order(newest) <= version_order(pinned):
        return ()
    move = f"`bot retrain --data-version {newest}`"
    found = [f"data version {newest} is offered; {pinned} stays pinned until {move} makes a champion of it"]
    try:
        names = offered(client, newest)
    except RetryLater as error:
        return (*found, str(error))
    try:
        found.append(_overlap(client, newest, store.manifest, data))
        needed = _bytes(client, [f"{newest}/{name}" for name in names])
    except RetryLater as error:
        log.warning("next_version.unread", version=newest, reason=str(error))
        return tuple(found)
    found.append(
        f"{move} would download {needed / 1e9:,.2f} GB and store about {needed * STORED / 1e9:,.2f} GB"
        f" beside {pinned}'s; {shutil.disk_usage(data).free / 1e9:,.2f} GB are free"
    )
    return tuple(found)


def check_trainable(client: NumeraiClient, state_dir: Path, version: str, *, champion: str | None) -> tuple[str, ...]:
    """
    Check that a retrain can use a data version, before anything large is downloaded.

    Args:
        client: Client of the API.
        state_dir: State directory, with ``data`` and ``store``.
        version: Data version to train on.
        champion: Data version of the recipe's champion, ``None`` where it has none.

    Returns:
        The columns shared with the champion's version as one message; empty where both are the same or unknown.

    Raises:
        OperatorNeeded: The server does not offer the version, or the disk has too little space.
        RetryLater: The version is not complete yet, or the server does not answer.
    """
    names, data, stores = offered(client, version), state_dir / "data", state_dir / "store"
    if EraStore.newest(stores, version) is None:
        data.mkdir(parents=True, exist_ok=True)
        download, free = absent_bytes(client, version, data), shutil.disk_usage(data).free
        present = [path for name in names if (path := data / version / name).is_file()]
        whole = download + sum(path.stat().st_size for path in present)
        needed = int(download + whole * STORED)
        if free < needed:
            raise OperatorNeeded(
                f"a retrain on {version} needs about {needed:,} bytes in {state_dir}, {free:,} are free; make room;"
                " nothing was fetched"
            )
    before = None if champion in (None, version) else EraStore.newest(stores, str(champion))
    return () if before is None else (_overlap(client, version, Manifest.read(before / MANIFEST), data),)


def absent_bytes(client: NumeraiClient, version: str, data: Path) -> int:
    """
    Return the size of the files of a data version that are not in the folder *data* yet.

    Raises:
        OperatorNeeded: The server does not offer the version.
        RetryLater: The version is not complete yet, or the server does not answer.
    """
    return _bytes(
        client, [f"{version}/{name}" for name in offered(client, version) if not (data / version / name).is_file()]
    )


def _overlap(client: NumeraiClient, version: str, own: Manifest, data: Path) -> str:
    """Return a message about the columns of the version in use that another version has and lacks."""
    path = data / version / "features.json"
    metadata = FeatureMetadata.read(fetch(client, f"{version}/features.json", path).path)
    features = {name for members in metadata.feature_sets.values() for name in members}
    gone = [name for name in own.features if name not in features]
    gone += [name for name in own.targets if name not in metadata.targets]
    shared = len(features.intersection(own.features))
    return (
        f"{version} has {shared:,} of the {len(own.features):,} features and"
        f" {len(set(own.targets).intersection(metadata.targets))} of the {len(own.targets)} targets of"
        f" {own.data_version}, and {len(features) - shared:,} features more; not in it: {shown(gone) or 'nothing'}"
    )


def _bytes(client: NumeraiClient, names: Sequence[str]) -> int:
    """Return the total size of files on the server."""
    total = 0
    for name in names:
        with client.download(name) as download:
            total += download.length or 0
    return total
