"""
The next data version of a world: the same rows, ids and targets with other features.

One feature in twenty-five is removed, one in twenty is renamed, and ``ADDED`` features are new.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bot.tournament.columns import FEATURE_PREFIX
from models.bins import FEATURE_VALUES

NEXT = "v5.4"
GONE, RENAMED = 25, 20
"""One feature in this many is removed, or renamed."""

ADDED = 8
"""Number of new features, in the sets ``all``, ``medium`` and ``quantum``. Each is an old feature with reversed values."""

HOLDERS = ("all", "medium", "quantum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    Changes of the columns.

    Attributes:
        gone: Features that are removed.
        names: New names of renamed features by old name.
        added: Old feature that each new feature is made of, by the new name.
    """

    gone: frozenset[str]
    names: Mapping[str, str]
    added: Mapping[str, str]

    @classmethod
    def of(cls, features: Sequence[str]) -> "Change":
        """Choose features by position, so that every set has removed, renamed and unchanged ones."""
        sources = features[1 :: max(len(features) // ADDED, 1)][:ADDED]
        return cls(
            gone=frozenset(features[GONE // 2 :: GONE]),
            names={name: f"{name}_anew" for name in features[RENAMED // 4 :: RENAMED]},
            added={f"{FEATURE_PREFIX}next_{number}": source for number, source in enumerate(sources)},
        )

    def listed(self, sets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return the feature sets of the new version."""
        listed = {
            name: [self.names.get(one, one) for one in members if one not in self.gone]
            for name, members in sets.items()
        }
        return {name: [*members, *self.added] if name in HOLDERS else members for name, members in listed.items()}

    def table(self, table: pa.Table) -> pa.Table:
        """Return rows of any file of the old version with the columns of the new version."""
        old = [name for name in table.column_names if name.startswith(FEATURE_PREFIX)]
        place, about = table.column_names.index(old[-1]) + 1 if old else 0, table.schema.metadata
        for name, source in self.added.items() if old else ():
            turned = FEATURE_VALUES[-1] - table.column(source).to_numpy()
            table = table.add_column(place, name, pa.array(turned.astype(np.int8)))
        table = table.drop_columns([name for name in old if name in self.gone])
        table = table.rename_columns([self.names.get(name, _benchmark(name)) for name in table.column_names])
        return table.replace_schema_metadata(about)


def upgrade(source: Path, target: Path, features: Sequence[str]) -> Path:
    """
    Write the files of *source* in the next data version to *target*, atomically, unless *target* exists.

    Args:
        source: Folder of a data version, or of a live era.
        target: Folder to create.
        features: All features of the old version, in order.
    """
    if target.is_dir():
        return target
    change, staging = Change.of(features), target.with_name(f".{target.name}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for path in filter(Path.is_file, source.iterdir()):
        if path.suffix == ".parquet":
            _rewrite(path, staging / path.name, change)
        elif path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            content["feature_sets"] = change.listed(content["feature_sets"])
            (staging / path.name).write_text(json.dumps(content), encoding="utf-8")
        elif path.suffix == ".csv":
            shutil.copyfile(path, staging / path.name)
    staging.rename(target)
    return target


def _rewrite(path: Path, target: Path, change: Change) -> None:
    """Rewrite a parquet file row group by row group."""
    file = pq.ParquetFile(path)
    first = change.table(file.read_row_group(0))
    with pq.ParquetWriter(target, first.schema) as writer:
        writer.write_table(first)
        for number in range(1, file.num_row_groups):
            writer.write_table(change.table(file.read_row_group(number)))


def _benchmark(name: str) -> str:
    """Return a benchmark column's name in the next version; other names stay."""
    return name.replace("v53_", f"{NEXT.replace('.', '')}_", 1) if name.startswith("v53_") else name
