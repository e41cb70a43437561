"""
The labelled history as int8 features and float32 targets, era by era.

This first form holds the selected columns in memory; readers see eras, never files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bot.columns import DATA_TYPE, ERA
from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.preprocess import MISSING

CHUNK = 128
"""Feature columns decoded at a time: pandas' speed at a sixteenth of its memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMetadata:
    """What ``features.json`` says: members of every feature set (groups among them) and the targets."""

    feature_sets: Mapping[str, tuple[str, ...]]
    targets: tuple[str, ...]

    GROUPS = (
        "intelligence",
        "charisma",
        "strength",
        "dexterity",
        "constitution",
        "wisdom",
        "agility",
        "serenity",
        "sunshine",
        "rain",
        "midnight",
        "faith",
        "quantum",
    )

    @classmethod
    def read(cls, path: Path) -> "FeatureMetadata":
        """
        Read ``features.json``.

        Raises:
            DatasetIncomplete: The file is not what Numerai publishes.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            sets = {name: tuple(members) for name, members in content["feature_sets"].items()}
            return cls(feature_sets=sets, targets=tuple(content["targets"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DatasetIncomplete(f"{path} is damaged; delete it and run `bot sync`") from None

    def members(self, feature_set: str) -> tuple[str, ...]:
        """
        Return the features of a set in the file's order.

        Raises:
            SchemaMismatch: The data version has no such set.
        """
        try:
            return self.feature_sets[feature_set]
        except KeyError:
            known = ", ".join(sorted(self.feature_sets))
            raise SchemaMismatch(f"feature set {feature_set!r} is not in this data version; it has: {known}") from None

    def groups(self, features: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Return the positions in *features* of every group that has at least one member there."""
        position = {name: index for index, name in enumerate(features)}
        found = {
            group: tuple(position[name] for name in self.feature_sets.get(group, ()) if name in position)
            for group in self.GROUPS
        }
        return {group: positions for group, positions in found.items() if positions}


@dataclass(frozen=True, slots=True, kw_only=True)
class EraStore:
    """
    Rows of the history, sorted by era.

    Attributes:
        eras: Labels in order; ``E`` of them.
        offsets: First row of each era and the total. Shape ``(E + 1,)``.
        features: Raw codes 0 to 4, -1 where the file has no value. Shape ``(rows, F)``, int8.
        feature_names: Of the columns of ``features``.
        targets: NaN where unknown. Shape ``(rows, T)``, float32.
        target_names: Of the columns of ``targets``.
    """

    eras: tuple[str, ...]
    offsets: np.ndarray
    features: np.ndarray
    feature_names: tuple[str, ...]
    targets: np.ndarray
    target_names: tuple[str, ...]

    @classmethod
    def read(cls, paths: Sequence[Path], *, features: Sequence[str], targets: Sequence[str]) -> "EraStore":
        """
        Read the selected columns of the history's parquet files.

        Raises:
            SchemaMismatch: A file lacks a feature or target.
            DatasetIncomplete: Eras are not in order or a file is damaged.
        """
        parts = [_read(path, features=features, targets=targets) for path in paths]
        eras = np.concatenate([part[0] for part in parts])
        if len(eras) == 0:
            raise DatasetIncomplete(f"{', '.join(path.name for path in paths)}: no rows; run `bot sync` again")
        starts = np.flatnonzero(np.concatenate([[True], eras[1:] != eras[:-1]]))
        labels = tuple(str(label) for label in eras[starts])
        if list(labels) != sorted(set(labels)):
            raise DatasetIncomplete(
                "the history's eras are not in ascending order; delete the files and run `bot sync`"
            )
        return cls(
            eras=labels,
            offsets=np.append(starts, len(eras)),
            features=np.concatenate([part[1] for part in parts]),
            feature_names=tuple(features),
            targets=np.concatenate([part[2] for part in parts]),
            target_names=tuple(targets),
        )

    def rows(self, position: int) -> slice:
        """Return the rows of the era at *position*."""
        return slice(int(self.offsets[position]), int(self.offsets[position + 1]))

    def labelled(self, target: str) -> np.ndarray:
        """Say for each era whether *target* is known in it. Shape ``(E,)``, bool."""
        known = np.isfinite(self.targets[:, self.target_names.index(target)])
        return np.add.reduceat(known, self.offsets[:-1]) > 0


def _read(path: Path, *, features: Sequence[str], targets: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        file = pq.ParquetFile(path, memory_map=True)
        names = set(file.schema_arrow.names)
        absent = [name for name in (ERA, DATA_TYPE, *features, *targets) if name not in names]
        if absent:
            raise SchemaMismatch(f"{path.name} lacks {len(absent)} columns, among them {', '.join(absent[:5])}")
        eras = file.read(columns=[ERA]).column(0).cast(pa.string()).to_numpy()
        matrix = np.empty((len(eras), len(features)), dtype=np.int8)
        for start in range(0, len(features), CHUNK):
            chunk = file.read(columns=list(features[start : start + CHUNK]))
            for index, name in enumerate(features[start : start + CHUNK]):
                column = chunk.column(name)
                matrix[:, start + index] = pc.fill_null(column, MISSING).to_numpy()
        labels = np.empty((len(eras), len(targets)), dtype=np.float32)
        known = file.read(columns=list(targets))
        for index, name in enumerate(targets):
            labels[:, index] = known.column(name).to_numpy()
    except (OSError, pa.ArrowException) as error:
        raise DatasetIncomplete(f"{path} cannot be read ({error}); delete it and run `bot sync`") from None
    return eras.astype(str), matrix, labels
