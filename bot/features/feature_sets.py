"""Feature sets, groups and targets of a data version, as ``features.json`` lists them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.errors import DatasetIncomplete, SchemaMismatch

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
"""Names of the feature sets that are groups, one for each theme of features (v5.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMetadata:
    """
    Content of ``features.json``.

    Attributes:
        feature_sets: Features of every feature set, groups included.
        targets: Names of the targets.
    """

    feature_sets: Mapping[str, tuple[str, ...]]
    targets: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "FeatureMetadata":
        """
        Read ``features.json``.

        Raises:
            DatasetIncomplete: The file is damaged.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            sets = {name: tuple(members) for name, members in content["feature_sets"].items()}
            return cls(feature_sets=sets, targets=tuple(content["targets"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DatasetIncomplete(f"{path} is damaged; delete it and run `bot sync`") from None

    def members(self, feature_set: str) -> tuple[str, ...]:
        """
        Return the features of a set in the order of the file.

        Raises:
            SchemaMismatch: The data version has no such feature set.
        """
        try:
            return self.feature_sets[feature_set]
        except KeyError:
            known = ", ".join(sorted(self.feature_sets))
            raise SchemaMismatch(f"feature set {feature_set!r} is not in this data version; it has: {known}") from None

    def groups(self, features: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Return the positions in *features* of each group's members, without groups that have none there."""
        position = {name: index for index, name in enumerate(features)}
        found = {
            group: tuple(position[name] for name in self.feature_sets.get(group, ()) if name in position)
            for group in GROUPS
        }
        return {group: positions for group, positions in found.items() if positions}
