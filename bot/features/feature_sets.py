"""Feature sets, groups and targets of a data version, as ``features.json`` lists them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import DatasetIncomplete, SchemaMismatch, suggestion_or_all

SIZES = ("small", "medium", "all")
"""Feature sets by size. The others are groups of one theme each, except those of :data:`_DERIVED`."""

_DERIVED = "_features"
"""End of the names of sets that older versions list beside sizes and groups, such as ``v2_equivalent_features``."""

_OLDER_SETS = re.compile(r"v[0-9]{1,3}_equivalent_features|fncv[0-9]{1,3}_features")

_OLDEST_GROUPS = (
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
"""Groups of v5.3 in the order of the engineered columns; groups of later versions come after them."""


def known_sets() -> tuple[str, ...]:
    """Return the names of v5.3's sizes and groups, for a check before ``features.json`` is there."""
    return (*SIZES, *_OLDEST_GROUPS)


def why_unknown(name: str, path: Path) -> str:
    """
    Return why a data version has no feature set *name*, with the likely name or all; empty where it has one.

    Args:
        name: Name of the feature set.
        path: ``features.json`` in the folder of its version; where there is no such file, the names of v5.3 count.

    Raises:
        DatasetIncomplete: The file is damaged.
    """
    if path.is_file():
        known, version = tuple(FeatureMetadata.read(path).feature_sets), path.parent.name
    else:
        known, version = known_sets(), "v5.3"
    if name in known or (not path.is_file() and _OLDER_SETS.fullmatch(name)):
        return ""
    return f"feature set {name!r} is not in {version}{suggestion_or_all(name, known)}"


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
            DatasetIncomplete: The file is absent or damaged, or lists a name twice.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
            sets = {name: _names(members) for name, members in content["feature_sets"].items()}
            return cls(feature_sets=sets, targets=_names(content["targets"]))
        except RepeatedName as error:
            raise DatasetIncomplete(f"{path} lists {error} twice; delete it and run `bot sync`") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DatasetIncomplete(f"{path} is damaged; delete it and run `bot sync`") from None

    def members(self, feature_set: str) -> tuple[str, ...]:
        """
        Return the features of a set in the order of the file.

        Raises:
            SchemaMismatch: The data version has no such feature set; the message has the likely one, or all.
        """
        try:
            return self.feature_sets[feature_set]
        except KeyError:
            hint = suggestion_or_all(feature_set, self.feature_sets)
            raise SchemaMismatch(f"feature set {feature_set!r} is not in this data version{hint}") from None

    def groups(self, features: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """
        Return the positions in *features* of each group's members, without groups that have none there.

        Every set that is no size is a group, since a data version may rename groups or add some. Where none has a member,
        all features are one group: networks with a history and row aggregates need one.
        """
        position = {name: index for index, name in enumerate(features)}
        found = {
            group: tuple(position[name] for name in self.feature_sets.get(group, ()) if name in position)
            for group in (*_OLDEST_GROUPS, *(name for name in self.feature_sets if self._is_new_group(name)))
        }
        return {group: positions for group, positions in found.items() if positions} or {
            "all": tuple(range(len(features)))
        }

    @staticmethod
    def _is_new_group(name: str) -> bool:
        return name not in (*SIZES, *_OLDEST_GROUPS) and not name.endswith(_DERIVED)


class RepeatedName(ValueError):
    """A name is listed twice, and either entry may be the right one."""


def _names(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - any JSON
    """Return a list of different names as a tuple."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise TypeError(value)
    names = tuple(dict.fromkeys(value))
    if len(names) < len(value):
        raise RepeatedName(next(name for name in names if value.count(name) > 1))
    return names


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; JSON itself would keep the last of two equal keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedName(next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1))
    return found
