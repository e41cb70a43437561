"""Sizes, feature names, groups and feature sets of a generated world, in the proportions of v5.3."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bot.tournament.columns import ALIAS, EMBARGO, FEATURE_PREFIX, HORIZONS

TARGET_NAMES = (
    "agnes", "alpha", "bravo", "caroline", "charlie", "claudia", "cyrusd", "delta", "echo", "ender",
    "jasper", "jeremy", "ralph", "rowan", "sam", "teager2b", "tyler", "victor", "waldo", "xerxes",
)  # fmt: skip
TARGETS = (ALIAS, *(f"target_{name}_{days}" for name in TARGET_NAMES for days in HORIZONS))

GROUP_SIZES = {
    "intelligence": 35, "charisma": 290, "strength": 135, "dexterity": 51, "constitution": 335, "wisdom": 140,
    "agility": 145, "serenity": 95, "sunshine": 325, "rain": 666, "midnight": 244, "faith": 372, "quantum": 807,
}  # fmt: skip
"""Members of each feature group of v5.3 (facts of 2026-08)."""

_SYLLABLES = (
    "ba",
    "co",
    "di",
    "fe",
    "gu",
    "ha",
    "jo",
    "ki",
    "lo",
    "mu",
    "na",
    "po",
    "ri",
    "se",
    "tu",
    "vo",
    "wa",
    "zi",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSize:
    """
    Size of a world and strength of its signal.

    Attributes:
        train_eras: Eras of train.parquet.
        validation_eras: Eras of validation.parquet, the unresolved ones included.
        rows: Stocks in the first and in the last era; the number grows linearly between them.
        small: Features in the small set.
        medium: Features in the medium set.
        all: Features in the whole set.
        signal: Weekly correlation of returns with the fixed signal. Published models have a CORR of .021 to .025 on 20D targets,
            which takes .013 to .015.
        factors: Standard deviation of the part of weekly returns that the features' factor returns explain.
        medium_weight: Standard deviation of the weights that the fixed signal gives to the features of the medium set, where
            it is 1 for the others. Numerai chooses its sets by what features are worth.
        small_weight: The same for the features of the small set.
    """

    train_eras: int
    validation_eras: int
    rows: tuple[int, int]
    small: int
    medium: int
    all: int
    signal: float
    factors: float
    medium_weight: float = 1.0
    small_weight: float = 1.0

    def __post_init__(self) -> None:
        """Raise ``ValueError`` if all validation eras would be unresolved, or if the feature sets are not nested."""
        if self.validation_eras <= EMBARGO[60] or not len(GROUP_SIZES) <= self.small <= self.medium <= self.all:
            raise ValueError("a world needs more than 16 validation eras, and small <= medium <= all features")


SIZES: Mapping[str, WorldSize] = {
    "tiny": WorldSize(
        train_eras=160, validation_eras=100, rows=(190, 230), small=42, medium=84, all=120, signal=0.06, factors=0.10
    ),
    "small": WorldSize(
        train_eras=180, validation_eras=120, rows=(900, 1100), small=42, medium=240, all=600, signal=0.03, factors=0.06
    ),
    "full": WorldSize(
        train_eras=574,
        validation_eras=657,
        rows=(2314, 7200),
        small=42,
        medium=780,
        all=3555,
        signal=0.012,
        factors=0.03,
        medium_weight=4.0,
        small_weight=8.0,
    ),
}
"""
``tiny`` is far easier than real data, so that a minute of training is enough.

``full`` has the width and eras of v5.3, and 85 % of its rows. The best linear model of its 60D main target has a CORR of
.015 on ``small``, .027 on ``medium`` and .029 on all features (calculated); of published models that were fitted, those on
``small`` have .013 to .014 and those on ``medium`` .025.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """
    Features of a world.

    Attributes:
        features: Feature names in file order.
        group: Index of each feature's group. Shape ``(F,)``.
        sets: Feature sets of ``features.json`` by name.
        first_era: Number of eras at the start in which a feature is missing, with 2 in all rows. Shape ``(F,)``.
    """

    features: tuple[str, ...]
    group: np.ndarray
    sets: Mapping[str, tuple[str, ...]]
    first_era: np.ndarray


def make_schema(size: WorldSize, seed: int) -> Schema:
    """Return features, groups and sets of a world; the same *size* and *seed* give the same schema."""
    random = np.random.default_rng([seed, 1])
    features = _names(size.all, random)
    group = np.sort(_spread(size.all))
    sets: dict[str, tuple[str, ...]] = {}
    for name, count in (("small", size.small), ("medium", size.medium), ("all", size.all)):
        chosen = _nested(group, count)
        sets[name] = tuple(features[index] for index in chosen)
    for index, name in enumerate(GROUP_SIZES):
        members = [features[position] for position in np.flatnonzero(group == index)]
        if name == "sunshine":
            # Real groups overlap; charisma and sunshine have the most features in common.
            members += [features[position] for position in np.flatnonzero(group == 1)[: max(size.all // 65, 1)]]
        sets[name] = tuple(members)
    sets["fncv3_features"] = tuple(features[index] for index in _nested(group, min(400, size.medium)))
    sets["v2_equivalent_features"] = tuple(features[index] for index in _nested(group, min(304, size.medium)))
    sets["v3_equivalent_features"] = tuple(features[index] for index in _nested(group, min(1000, size.all)))
    return Schema(features=features, group=group, sets=sets, first_era=_beginnings(size, random))


def _names(count: int, random: np.random.Generator) -> tuple[str, ...]:
    words: set[str] = set()
    names: list[str] = []
    while len(names) < count:
        parts = ["".join(random.choice(_SYLLABLES, size=3)) for _ in range(3)]
        name = FEATURE_PREFIX + "_".join(parts)
        if name not in words:
            words.add(name)
            names.append(name)
    return tuple(sorted(names))


def _spread(count: int) -> np.ndarray:
    """Return the group of each feature: in proportion to the real sizes, at least three a group where the width allows it."""
    shares = np.array(list(GROUP_SIZES.values()), dtype=float)
    least = min(3, count // len(shares))
    counts = least + np.floor((count - least * len(shares)) * shares / shares.sum()).astype(int)
    counts[-1] += count - counts.sum()
    return np.repeat(np.arange(len(shares)), counts)


def _nested(group: np.ndarray, count: int) -> list[int]:
    """Return *count* features in file order, so that every group is present and smaller sets lie inside larger ones."""
    rank = np.zeros(len(group))
    for index in range(len(GROUP_SIZES)):
        members = np.flatnonzero(group == index)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
        rank[members[:2]] -= 2.0
    return sorted(np.argsort(rank, kind="stable")[:count].tolist())


def _beginnings(size: WorldSize, random: np.random.Generator) -> np.ndarray:
    """Return the first era of each feature: over half begin late, a few only after the training eras, as in v5.3."""
    share = random.random(size.all)
    late = random.integers(1, max(size.train_eras // 2, 2), size=size.all)
    beginnings = np.where(share < 0.44, 0, late)
    return np.where(share > 0.97, size.train_eras + random.integers(0, 10, size=size.all), beginnings)
