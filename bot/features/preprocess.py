"""
One way from raw columns to what the models see, shared by training and live.

A :class:`Preprocess` is the manifest: feature names in order, value set, what missing means, how features enter the
network and which row aggregates are made. :func:`prepare` applies it to the rows of one era; it looks at nothing but
those rows, and at their order not at all.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from bot.errors import SchemaMismatch
from bot.features.codes import MISSING, Codes
from models.bins import BIN_VARIANCE, FEATURE_VALUES, MIDDLE_BIN, MISSING_CATEGORY

Floats = npt.NDArray[np.float32]


WHOLE_ERA_ROWS = 5
"""Rows from which on a column that is 2 throughout means "missing in this era": five bins would otherwise show."""

CHUNK = 128
"""Rows whose aggregates are made together; bounds the float copy, changes no result."""

Missing = Literal["median_bin", "category"]
Normalize = Literal["centre", "standard", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """
    The manifest of a preprocessing; equal manifests have equal digests.

    Attributes:
        features: Names in the order the models know them.
        groups: Positions in *features* of each feature group's members.
        missing: ``median_bin`` fills with the middle bin, ``category`` keeps missing apart as code 5.
        normalize: ``centre`` feeds the network x - 2, ``standard`` also divides by the bins' deviation, ``none`` feeds x.
        engineered: Families of row aggregates per group, by name; see :data:`FAMILIES`.

    Raises:
        SchemaMismatch: A name or position that makes no sense.
    """

    features: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]
    missing: Missing = "median_bin"
    normalize: Normalize = "centre"
    engineered: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        if not self.features or len(set(self.features)) != len(self.features):
            raise SchemaMismatch("a preprocessing needs features, each named once")
        if self.missing not in get_args(Missing) or self.normalize not in get_args(Normalize):
            raise SchemaMismatch(f"missing {self.missing!r} or normalize {self.normalize!r} is unknown")
        unknown = [family for family in self.engineered if family not in FAMILIES]
        if unknown:
            raise SchemaMismatch(f"engineered features {', '.join(unknown)} are unknown; known: {', '.join(FAMILIES)}")
        for group, positions in self.groups.items():
            if not positions or min(positions) < 0 or max(positions) >= len(self.features):
                raise SchemaMismatch(f"group {group} has no members or names a feature that is not there")

    @property
    def engineered_names(self) -> tuple[str, ...]:
        """Return the names of the engineered columns in order, ``<family>_<group>``."""
        return tuple(f"{family}_{group}" for family in self.engineered for group in self.groups)

    @property
    def digest(self) -> str:
        """Return the sha256 of the manifest in canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the manifest as canonical JSON; groups are a list, because their order is that of the columns."""
        content = {**asdict(self), "groups": [[group, list(positions)] for group, positions in self.groups.items()]}
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Preprocess":
        """
        Read a manifest back.

        Raises:
            SchemaMismatch: A key is missing or unknown, or the text is no manifest.
        """
        try:
            content = json.loads(text)
            return cls(
                features=tuple(content.pop("features")),
                groups={str(group): tuple(positions) for group, positions in content.pop("groups")},
                engineered=tuple(content.pop("engineered")),
                **content,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SchemaMismatch(f"the preprocessing manifest is not usable: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    Rows of one era as the models see them.

    Attributes:
        features: Codes 0 to 4, and 5 where missing is a category; in the memory order of the raw values, and a view of
            them where nothing had to be changed. Shape ``(rows, F)``, int8.
        engineered: Row aggregates. Shape ``(rows, E)``, float32.
        missing: Values that were absent.
        out_of_range: Values outside 0 to 4, treated as absent.
        unchanged: The features are the raw codes.
        findings: What somebody should know, in words.
    """

    features: Codes
    engineered: Floats
    missing: int
    out_of_range: int
    unchanged: bool
    findings: tuple[str, ...]


def prepare(manifest: Preprocess, names: Sequence[str], values: Codes, *, unchanged: bool = False) -> Prepared:
    """
    Turn the raw columns of one era into what the models see.

    Args:
        manifest: What the models were trained on.
        names: Columns of *values*; those the manifest does not know are ignored.
        values: Raw codes, :data:`MISSING` where absent. Shape ``(rows, columns)``, int8; not changed.
        unchanged: The same rows came out :attr:`~Prepared.unchanged` before; saves reading them once more.

    Raises:
        SchemaMismatch: A feature is missing, or there are no rows.
    """
    if len(values) == 0:
        raise SchemaMismatch("there are no rows to prepare")
    features = _select(manifest.features, names, values)
    missing = strange = 0
    if not unchanged:
        raw = features
        features, missing, strange = _filled(manifest, raw)
        unchanged = features is raw
    findings = []
    if missing:
        findings.append(f"{missing} feature values are missing and count as {manifest.missing}")
    if strange > missing:
        findings.append(f"{strange - missing} feature values lie outside 0 to 4 and count as missing")
    return Prepared(
        features=features,
        engineered=_aggregate(manifest, features),
        missing=missing,
        out_of_range=strange - missing,
        unchanged=unchanged,
        findings=tuple(findings),
    )


def _filled(manifest: Preprocess, features: Codes) -> tuple[Codes, int, int]:
    """Return the codes with every value in place, themselves where nothing lacks; how many were absent, and strange."""
    # Seen as unsigned, a negative code is a large one: the largest says whether there is anything at either end.
    seen = features.view(np.uint8)
    absent = seen > FEATURE_VALUES[-1] if seen.max() > FEATURE_VALUES[-1] else None
    code = MISSING_CATEGORY if manifest.missing == "category" else MIDDLE_BIN
    missing = strange = 0
    if absent is not None:
        strange, missing = int(np.count_nonzero(absent)), int(np.count_nonzero(features == MISSING))
    whole = np.zeros(0, dtype=np.bool_)
    if manifest.missing == "category" and len(features) >= WHOLE_ERA_ROWS:
        middle = features == MIDDLE_BIN
        whole = (middle if absent is None else middle | absent).all(axis=0)
    if strange or whole.any():
        features = features.copy(order="K")
        if absent is not None:
            features[absent] = code
        if whole.any():
            features[:, whole] = code
    return features, missing, strange


def network_scaling(manifest: Preprocess) -> tuple[float, float]:
    """Return what the network subtracts from a code and divides by; five equal bins have deviation sqrt(2)."""
    return {
        "none": (0.0, 1.0),
        "centre": (float(MIDDLE_BIN), 1.0),
        "standard": (float(MIDDLE_BIN), float(np.sqrt(BIN_VARIANCE))),
    }[manifest.normalize]


def engineered_scaling(manifest: Preprocess) -> tuple[Floats, Floats]:
    """
    Return what the network subtracts from each engineered column and divides by. Shape ``(E,)`` each.

    The constants are those of independent features in five equal bins, so they never depend on an era.
    """
    if manifest.normalize == "none":
        count = len(manifest.engineered_names)
        return np.zeros(count, dtype=np.float32), np.ones(count, dtype=np.float32)
    pairs = [
        FAMILIES[family].scaling(len(positions))
        for family in manifest.engineered
        for positions in manifest.groups.values()
    ]
    offsets, scales = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(offsets, dtype=np.float32), np.array(scales, dtype=np.float32)


def _select(wanted: Sequence[str], names: Sequence[str], values: Codes) -> Codes:
    """Return the wanted columns in their order and the order in memory they have; a view where they are neighbours."""
    if tuple(names) == tuple(wanted):
        return values
    position = {name: index for index, name in enumerate(names)}
    absent = [name for name in wanted if name not in position]
    if absent:
        shown = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
        raise SchemaMismatch(
            f"{len(absent)} of {len(wanted)} features are missing: {shown}; retrain on this data version"
        )
    chosen = np.array([position[name] for name in wanted])
    if (np.diff(chosen) == 1).all():
        return values[:, chosen[0] : chosen[-1] + 1]
    by_column = values.strides[0] < values.strides[1]
    return values.T[chosen].T if by_column else np.take(values, chosen, axis=1)


@dataclass(frozen=True, slots=True)
class Family:
    """
    A kind of row aggregate over a group's features.

    Attributes:
        of: From sums over the group of x - 2, of its square and of "x is 0 or 4", and the group's size, to the aggregate.
        scaling: From the group's size to the offset and scale that the network applies.
    """

    of: Callable[[Floats, Floats, Floats, Floats], Floats]
    scaling: Callable[[int], tuple[float, float]]


FAMILIES: Mapping[str, Family] = {
    "group_mean": Family(
        lambda x, _xx, _extreme, n: MIDDLE_BIN + x / n, lambda n: (float(MIDDLE_BIN), (BIN_VARIANCE / n) ** 0.5)
    ),
    "group_std": Family(
        lambda x, xx, _extreme, n: np.sqrt(np.maximum(xx / n - (x / n) ** 2, 0.0)),
        lambda n: ((BIN_VARIANCE * (n - 1) / n) ** 0.5, (0.35 / n) ** 0.5),
    ),
    "group_extremes": Family(lambda _x, _xx, extreme, _n: extreme, lambda n: (0.4 * n, (0.24 * n) ** 0.5)),
}
"""Engineered features by name; add one here to make it available to recipes."""


def _aggregate(manifest: Preprocess, features: Codes) -> Floats:
    """Make the engineered columns by one product with the groups' indicator matrix per sum. Shape ``(rows, E)``."""
    made = np.empty((len(features), len(manifest.engineered_names)), dtype=np.float32)
    if made.shape[1] == 0:
        return made
    groups = list(manifest.groups.values())
    member = np.zeros((len(manifest.features), len(groups)), dtype=np.float32)
    for index, positions in enumerate(groups):
        member[list(positions), index] = 1.0
    size = member.sum(axis=0)
    for start in range(0, len(features), CHUNK):
        rows = features[start : start + CHUNK]
        centred = rows.astype(np.float32)
        centred -= MIDDLE_BIN
        if manifest.missing == "category":
            centred[rows == MISSING_CATEGORY] = 0.0
        sums = centred @ member
        centred *= centred
        squares = centred @ member
        # Of the centred codes only -2 and 2 differ in second and fourth power: by 12.
        centred *= centred
        extremes = centred @ member
        extremes -= squares
        extremes /= 12
        blocks = [FAMILIES[family].of(sums, squares, extremes, size) for family in manifest.engineered]
        made[start : start + CHUNK] = np.concatenate(blocks, axis=1)
    return made
