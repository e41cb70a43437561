"""Feature returns of every era, kept beside the era store and computed again only for eras whose data changed."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    path = _path(store, targets)
    kept = _read(path)
    keys, known = _keys(store, kept), kept.returns
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
    if unknown or len(known) != len(keys) or kept.places.keys() != set(_places(store)):
        _write(path, _places(store), keys, values)
    return FeatureReturns(eras=store.eras, targets=tuple(targets), values=values)


def kept_returns(store: EraStore, targets: Sequence[str]) -> FeatureReturns | None:
    """Return the returns that :func:`update` has kept for all eras of a store; ``None`` where some are not there."""
    kept = _read(_path(store, targets))
    keys = _keys(store, kept)
    if not kept.returns.keys() >= set(keys):
        return None
    return FeatureReturns(eras=store.eras, targets=tuple(targets), values=np.stack([kept.returns[key] for key in keys]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """
    Returns on disk.

    Attributes:
        returns: Returns of an era by its key, see :func:`_keys`.
        places: Key of each era by its place, see :func:`_places`.
    """

    returns: Mapping[str, np.ndarray]
    places: Mapping[str, str]


def _path(store: EraStore, targets: Sequence[str]) -> Path:
    digest = hashlib.sha256("\n".join(targets).encode()).hexdigest()[:8]
    return store.folder / f"returns-{digest}.npz"


def _places(store: EraStore) -> list[str]:
    """Return for each era its label, and the digests of its block's features and targets: files that never change."""
    places = []
    for position, era in enumerate(store.eras):
        files = store.place(position).block.files
        places.append(f"{era} {files[FEATURES].sha256[:16]} {files[TARGETS].sha256[:16]}")
    return places


def _keys(store: EraStore, kept: _Kept) -> list[str]:
    """
    Return a key for each era: its label, the digest of its block's features, and the digest of its own targets.

    A late target of one era changes the file of all targets of its block, and the key of that era alone. Targets are read
    only where the file has changed.
    """
    keys = []
    for position, (era, place) in enumerate(zip(store.eras, _places(store), strict=True)):
        key = kept.places.get(place)
        if key is None:
            block, rows = store.place(position).block, store.place(position).rows
            targets = np.ascontiguousarray(store.part(block, TARGETS)[:, rows])
            own = hashlib.sha256(targets.tobytes()).hexdigest()[:16]
            key = f"{era} {block.files[FEATURES].sha256[:16]} {own}"
        keys.append(key)
    return keys


def _read(path: Path) -> _Kept:
    """Return the stored returns; none if the file is absent or damaged."""
    try:
        with np.load(io.BytesIO(unseal(path.read_bytes())), allow_pickle=False) as archive:
            stored = json.loads(archive["keys"].tobytes())
            places = json.loads(archive["places"].tobytes()) if "places" in archive else []
            values = archive["values"]
    except (OSError, ValueError, KeyError):
        return _Kept(returns={}, places={})
    return _Kept(
        returns={key: values[index] for index, key in enumerate(stored)},
        places=dict(zip(places, stored, strict=False)),
    )


def _write(path: Path, places: Sequence[str], keys: Sequence[str], values: np.ndarray) -> None:
    buffer = io.BytesIO()
    listed = {
        name: np.frombuffer(json.dumps(list(texts)).encode(), dtype=np.uint8)
        for name, texts in (("keys", keys), ("places", places))
    }
    np.savez(buffer, values=values, **listed)  # type: ignore[arg-type]  # names of arrays
    publish(path, seal(buffer.getvalue()))
