"""Feature returns of every era, kept beside the era store and computed again only for eras whose data changed."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bot.data.era_store import FEATURES, TARGETS, EraStore
from bot.history.factor_history import FeatureReturns, feature_returns
from bot.system.files import publish, seal, unseal
from bot.system.progress import CountCallback


def update(store: EraStore, targets: Sequence[str], *, on_progress: CountCallback | None = None) -> FeatureReturns:
    """
    Return the returns of all features for some targets, and keep them on disk.

    Returns that are on disk are read from there. An era is computed again when its features or targets have changed,
    which their digests show.

    Args:
        store: The complete history.
        targets: Full target names.
        on_progress: Called with eras done and eras in all.

    Raises:
        DatasetIncomplete: A block that has to be read differs from its recorded digest.
    """
    path, keys = _path(store, targets), _keys(store)
    known = _read(path, keys)
    columns = store.select(store.manifest.features, targets)
    values = np.empty((len(store.eras), len(columns.feature_names), len(targets)), dtype=np.float32)
    unknown = [position for position, key in enumerate(keys) if key not in known]
    blocks = {id(place.block): place.block for place in map(store.place, unknown)}
    if blocks:
        store.verify(blocks=blocks.values())
    for position, key in enumerate(keys):
        if key in known:
            values[position] = known[key]
            continue
        values[position] = feature_returns(columns.features(position), columns.targets(position))
        if on_progress is not None:
            on_progress(position + 1, len(keys))
    if unknown or len(known) != len(keys):
        _write(path, keys, values)
    return FeatureReturns(eras=store.eras, targets=tuple(targets), values=values)


def kept_returns(store: EraStore, targets: Sequence[str]) -> FeatureReturns | None:
    """Return the returns that :func:`update` has kept for all eras of a store; ``None`` where some are not there."""
    keys = _keys(store)
    known = _read(_path(store, targets), keys)
    if len(known) < len(set(keys)):
        return None
    return FeatureReturns(eras=store.eras, targets=tuple(targets), values=np.stack([known[key] for key in keys]))


def _path(store: EraStore, targets: Sequence[str]) -> Path:
    digest = hashlib.sha256("\n".join(targets).encode()).hexdigest()[:8]
    return store.folder / f"returns-{digest}.npz"


def _keys(store: EraStore) -> list[str]:
    """Return a key for each era: its label, the digest of its block's features, and the digest of its own targets."""
    keys = []
    for position, era in enumerate(store.eras):
        place = store.place(position)
        targets = np.ascontiguousarray(store.part(place.block, TARGETS)[:, place.rows])
        own = hashlib.sha256(targets.tobytes()).hexdigest()[:16]
        keys.append(f"{era} {place.block.files[FEATURES].sha256[:16]} {own}")
    return keys


def _read(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the stored returns of those *keys* that the file holds; none if it is absent or damaged."""
    try:
        with np.load(io.BytesIO(unseal(path.read_bytes())), allow_pickle=False) as archive:
            stored = json.loads(archive["keys"].tobytes())
            values = archive["values"]
    except (OSError, ValueError, KeyError):
        return {}
    wanted = set(keys)
    return {key: values[index] for index, key in enumerate(stored) if key in wanted}


def _write(path: Path, keys: Sequence[str], values: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, keys=np.frombuffer(json.dumps(list(keys)).encode(), dtype=np.uint8), values=values)
    publish(path, seal(buffer.getvalue()))
