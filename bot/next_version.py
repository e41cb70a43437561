"""A newer data version on the server: what it shares with the pinned one, and what a retrain on it would take."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog

from bot.datasets import TRAINING_FILES, fetch
from bot.errors import RetryLater
from bot.feature_sets import FeatureMetadata
from bot.numerai import NumeraiClient
from bot.store import EraStore
from bot.truth import shown

_VERSION = re.compile(r"^v(\d+)\.(\d+)$")
log = structlog.get_logger()


def survey(client: NumeraiClient, offered: Sequence[str], store: EraStore, data: Path) -> tuple[str, ...]:
    """
    Say what is to be known about the newest data version, where that is newer than the store's; nothing is moved to it.

    Args:
        client: Of the API.
        offered: Names of all files the server offers.
        store: Of the pinned version.
        data: Folder of all versions; ``features.json`` of the newer one is kept there.
    """
    pinned = store.manifest.data_version
    newest = max((name.partition("/")[0] for name in offered), key=_order, default="")
    if _order(newest) <= _order(pinned):
        return ()
    found = [f"data version {newest} is offered; {pinned} stays pinned until BOT_DATA_VERSION and a retrain change it"]
    absent = [name for name in TRAINING_FILES if f"{newest}/{name}" not in offered]
    if absent:
        return (*found, f"{newest} is not complete: the server offers no {', '.join(absent)} of it")
    try:
        path = data / newest / "features.json"
        metadata = FeatureMetadata.read(fetch(client, f"{newest}/features.json", path).path)
        size = sum(_length(client, f"{newest}/{name}") for name in TRAINING_FILES)
    except RetryLater as error:
        log.warning("next_version.unread", version=newest, reason=str(error))
        return tuple(found)
    own = {name for members in metadata.feature_sets.values() for name in members}
    features, targets = store.manifest.features, store.manifest.targets
    gone = [name for name in features if name not in own] + [name for name in targets if name not in metadata.targets]
    shared = len(own.intersection(features))
    found.append(
        f"{newest} has {shared:,} of the {len(features):,} features and"
        f" {len(set(targets).intersection(metadata.targets))} of the {len(targets)} targets of {pinned},"
        f" and {len(own) - shared:,} features more; not in it: {shown(gone) or 'nothing'}"
    )
    held = sum(file.bytes for file in store.files())
    found.append(
        f"a retrain on {newest} (BOT_DATA_VERSION={newest} bot retrain) would download {size / 1e9:,.2f} GB and store"
        f" about {held * len(own) / len(features) / 1e9:,.2f} GB beside {pinned}'s;"
        f" {shutil.disk_usage(data).free / 1e9:,.2f} GB are free"
    )
    return tuple(found)


def _length(client: NumeraiClient, filename: str) -> int:
    with client.download(filename) as (response, _):
        return int(response.headers.get("Content-Length", 0))


def _order(version: str) -> tuple[int, int]:
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
