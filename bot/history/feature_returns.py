"""What every feature earned in every era, kept beside the store: computed once, and again only where data changed."""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bot.data.era_store import TARGETS, EraStore
from bot.history.factor_history import FeatureReturns, feature_returns
from bot.system.files import seal, unseal
from bot.system.progress import CountCallback


def update(store: EraStore, targets: Sequence[str], *, on_progress: CountCallback | None = None) -> FeatureReturns:
    """
    Return the realised returns of all features for some targets, from disk where they are known already.

    An era is computed again when its features or targets have changed since, which the digests of its files tell.

    Args:
        store: The history.
        targets: Full names.
        on_progress: Called with the progress.

    Raises:
        DatasetIncomplete: A block that has to be read differs from what was written.
    """
    digest = hashlib.sha256("\n".join(targets).encode()).hexdigest()[:8]
    path = store.folder / f"returns-{digest}.npz"
    keys = _keys(store)
    known = _read(path, keys)
    columns = store.select(store.manifest.features, targets)
    values = np.empty((len(store.eras), len(columns.feature_names), len(targets)), dtype=np.float32)
    unknown = {position for position, key in enumerate(keys) if key not in known}
    needed = {id(block): block for block, _ in map(store.place, unknown)}
    if needed:
        store.verify(blocks=needed.values())
    fresh = 0
    for position, key in enumerate(keys):
        if key in known:
            values[position] = known[key]
            continue
        values[position] = feature_returns(columns.features(position), columns.targets(position))
        fresh += 1
        if on_progress is not None:
            on_progress(position + 1, len(keys))
    if fresh or len(known) != len(keys):
        _write(path, keys, values)
    return FeatureReturns(eras=store.eras, targets=tuple(targets), values=values)


def _keys(store: EraStore) -> list[str]:
    """Name the data of each era: its label, its block's features, and its own targets."""
    keys = []
    for position, era in enumerate(store.eras):
        block, rows = store.place(position)
        own = hashlib.sha256(np.ascontiguousarray(store.part(block, TARGETS)[:, rows]).tobytes()).hexdigest()[:16]
        keys.append(f"{era} {block.files['features'].sha256[:16]} {own}")
    return keys


def _read(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the stored returns of each key that is still wanted; a damaged table counts as none."""
    try:
        with np.load(io.BytesIO(unseal(path.read_bytes())), allow_pickle=False) as archive:
            held = json.loads(archive["keys"].tobytes())
            values = archive["values"]
    except (OSError, ValueError, KeyError):
        return {}
    wanted = set(keys)
    return {key: values[index] for index, key in enumerate(held) if key in wanted}


def _write(path: Path, keys: Sequence[str], values: np.ndarray) -> None:
    staging = path.with_suffix(".tmp")
    buffer = io.BytesIO()
    np.savez(buffer, keys=np.frombuffer(json.dumps(list(keys)).encode(), dtype=np.uint8), values=values)
    try:
        with staging.open("wb") as file:
            file.write(seal(buffer.getvalue()))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        staging.unlink(missing_ok=True)
        raise
    staging.replace(path)
