"""
Preprocessing of raw feature columns, the same for training and live rounds.

A :class:`Preprocess` is the manifest: feature names in order, treatment of missing values, scaling of the network's
inputs and row aggregates. :func:`prepare` applies it to the rows of one era. Its result depends on these rows only, and
not on their order.
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
"""Rows from which a column of nothing but the middle bin means "missing in this era": a feature has five equal bins."""

CHUNK = 128
"""Rows whose aggregates are computed at a time. It limits the float copy and changes no result."""

Missing = Literal["median_bin", "category"]
Normalize = Literal["centre", "standard", "none"]


@dataclass(frozen=True, kw_only=True)  # no slots: the digest is kept, because every era of a judgement asks for it
class Preprocess:
    """
    Manifest of a preprocessing. Equal manifests have equal digests.

    Attributes:
        features: Feature names in the order of the models' columns.
        groups: Positions in *features* of the members of each feature group.
        missing: ``median_bin`` replaces missing values by the middle bin, ``category`` keeps them as a code of their own.
        normalize: Input of the network: ``centre`` x - 2, ``standard`` x - 2 over the deviation of the bins, ``none`` x.
        engineered: Names of the row aggregates that are made for every group; see :data:`FAMILIES`.

    Raises:
        SchemaMismatch: A name or a position is unknown, repeated or missing.
    """

    features: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]
    missing: Missing = "median_bin"
    normalize: Normalize = "centre"
    engineered: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check names and positions."""
        if not self.features or len(set(self.features)) != len(self.features):
            raise SchemaMismatch("a preprocessing needs features, each named once")
        if self.missing not in get_args(Missing) or self.normalize not in get_args(Normalize):
            raise SchemaMismatch(f"missing {self.missing!r} or normalize {self.normalize!r} is unknown")
        unknown = [family for family in self.engineered if family not in FAMILIES]
        if unknown:
            raise SchemaMismatch(f"engineered features {', '.join(unknown)} are unknown; known: {', '.join(FAMILIES)}")
        for group, positions in self.groups.items():
            if not positions or min(positions) < 0 or max(positions) >= len(self.features):
                raise SchemaMismatch(f"group {group} has no members or a position outside the features")

    @property
    def engineered_names(self) -> tuple[str, ...]:
        """Return the names of the engineered columns in order, ``<family>_<group>``."""
        return tuple(f"{family}_{group}" for family in self.engineered for group in self.groups)

    @property
    def digest(self) -> str:
        """Return the sha256 of the manifest in canonical JSON."""
        # Kept by hand: cached_property holds a lock in Python 3.11, and a class with a lock does not travel in a hosted pickle.
        kept: dict[str, str] = self.__dict__
        if "_digest" not in kept:
            kept["_digest"] = hashlib.sha256(self.to_json().encode()).hexdigest()
        return kept["_digest"]

    def to_json(self) -> str:
        """Return the manifest as canonical JSON; groups are a list because their order is that of the columns."""
        content = {**asdict(self), "groups": [[group, list(positions)] for group, positions in self.groups.items()]}
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Preprocess":
        """
        Parse a manifest.

        Raises:
            SchemaMismatch: A key is missing or unknown, or the text is not a manifest.
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
    Preprocessed rows of one era, the input of the models.

    Attributes:
        features: Codes 0 to 4, and 5 for a missing value that is a category. They have the memory order of the raw
            values and are a view of them if no value changed. Shape ``(rows, F)``, int8.
        engineered: Row aggregates. Shape ``(rows, E)``, float32.
        missing: Number of absent values.
        out_of_range: Number of values outside 0 to 4, which are treated as absent.
        unchanged: Whether the features equal the raw codes.
        findings: Messages about missing values and values outside 0 to 4.
    """

    features: Codes
    engineered: Floats
    missing: int
    out_of_range: int
    unchanged: bool
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """
    Constants of ``(x - offset) / scale``, by which the network scales an input.

    Attributes:
        offset: Number to subtract.
        scale: Number to divide by.
    """

    offset: float
    scale: float


UNSCALED = Scaling(offset=0.0, scale=1.0)


def prepare(manifest: Preprocess, names: Sequence[str], values: Codes, *, unchanged: bool = False) -> Prepared:
    """
    Preprocess the raw columns of one era.

    Args:
        manifest: Manifest that the models were trained with.
        names: Column names of *values*. Columns that the manifest does not name are ignored.
        values: Raw codes, :data:`MISSING` where absent. They are not changed. Shape ``(rows, columns)``, int8.
        unchanged: Whether the same rows were :attr:`~Prepared.unchanged` before, which saves a search for missing values.

    Raises:
        SchemaMismatch: A feature is missing or comes twice, *names* and *values* do not fit, or there are no rows.
    """
    if values.ndim != 2 or values.shape[1] != len(names):
        raise SchemaMismatch(f"{len(names)} column names do not fit values of shape {values.shape}")
    if len(values) == 0:
        raise SchemaMismatch("there are no rows to prepare")
    raw = _select(manifest.features, names, values)
    filled = _Filled(features=raw) if unchanged else _fill(manifest, raw)
    findings = []
    if filled.missing:
        findings.append(f"{filled.missing} feature values are missing and count as {manifest.missing}")
    if filled.out_of_range:
        findings.append(f"{filled.out_of_range} feature values lie outside 0 to 4 and count as missing")
    return Prepared(
        features=filled.features,
        engineered=_aggregate(manifest, filled.features),
        missing=filled.missing,
        out_of_range=filled.out_of_range,
        unchanged=filled.features is raw,
        findings=tuple(findings),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """Codes without missing values, the raw ones if none was missing; numbers of replaced values, as in Prepared."""

    features: Codes
    missing: int = 0
    out_of_range: int = 0


def _fill(manifest: Preprocess, features: Codes) -> _Filled:
    """Replace missing values and values outside 0 to 4."""
    # As an unsigned number a negative code is a large one, so one comparison finds values outside on either side.
    unsigned = features.view(np.uint8)
    absent = unsigned > FEATURE_VALUES[-1] if unsigned.max() > FEATURE_VALUES[-1] else None
    code = MISSING_CATEGORY if manifest.missing == "category" else MIDDLE_BIN
    missing = replaced = 0
    if absent is not None:
        replaced, missing = int(np.count_nonzero(absent)), int(np.count_nonzero(features == MISSING))
    whole = np.zeros(0, dtype=np.bool_)
    if manifest.missing == "category" and len(features) >= WHOLE_ERA_ROWS:
        middle = features == MIDDLE_BIN
        whole = (middle if absent is None else middle | absent).all(axis=0)
    if replaced or whole.any():
        features = features.copy(order="K")
        if absent is not None:
            features[absent] = code
        if whole.any():
            features[:, whole] = code
    return _Filled(features=features, missing=missing, out_of_range=replaced - missing)


def network_scaling(manifest: Preprocess) -> Scaling:
    """Return the scaling of a feature's code."""
    if manifest.normalize == "none":
        return UNSCALED
    return Scaling(
        offset=float(MIDDLE_BIN), scale=float(np.sqrt(BIN_VARIANCE)) if manifest.normalize == "standard" else 1.0
    )


def engineered_scaling(manifest: Preprocess) -> tuple[Scaling, ...]:
    """
    Return the scaling of each engineered column, in order.

    The constants are those of independent features in five equal bins, so they depend on no era.
    """
    if manifest.normalize == "none":
        return (UNSCALED,) * len(manifest.engineered_names)
    exact = [
        FAMILIES[family].scaling(len(positions))
        for family in manifest.engineered
        for positions in manifest.groups.values()
    ]
    # Rounded to float32, as the network holds them.
    return tuple(Scaling(offset=float(np.float32(one.offset)), scale=float(np.float32(one.scale))) for one in exact)


def _select(wanted: Sequence[str], names: Sequence[str], values: Codes) -> Codes:
    """Return the *wanted* columns in their order, without a change of memory order; a view if they are neighbours."""
    if tuple(names) == tuple(wanted):
        return values
    position = {name: index for index, name in enumerate(names)}
    if len(position) < len(names):
        twice = sorted({name for index, name in enumerate(names) if position[name] != index}.intersection(wanted))
        if twice:  # either column may hold the values
            raise SchemaMismatch(f"{len(twice)} features come twice: {', '.join(twice[:10])}")
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
    Kind of row aggregate over the features of a group.

    Attributes:
        of: Function that returns the aggregate. Arguments: sums over the group of x - 2, of its square and of "x is 0 or
            4", shape ``(rows, groups)`` each, and the sizes of the groups, shape ``(groups,)``.
        scaling: Function that returns the network's scaling from the size of the group.
    """

    of: Callable[[Floats, Floats, Floats, Floats], Floats]
    scaling: Callable[[int], Scaling]


FAMILIES: Mapping[str, Family] = {
    "group_mean": Family(
        lambda x, _xx, _extreme, n: MIDDLE_BIN + x / n,
        lambda n: Scaling(offset=float(MIDDLE_BIN), scale=(BIN_VARIANCE / n) ** 0.5),
    ),
    "group_std": Family(
        lambda x, xx, _extreme, n: np.sqrt(np.maximum(xx / n - (x / n) ** 2, 0.0)),
        lambda n: Scaling(offset=(BIN_VARIANCE * (n - 1) / n) ** 0.5, scale=(0.35 / n) ** 0.5),
    ),
    # Two of five bins are extreme: a binomial count with p = 0.4 and variance 0.24 n.
    "group_extremes": Family(
        lambda _x, _xx, extreme, _n: extreme, lambda n: Scaling(offset=0.4 * n, scale=(0.24 * n) ** 0.5)
    ),
}
"""Row aggregates by name. A recipe may use every name listed here."""


def _aggregate(manifest: Preprocess, features: Codes) -> Floats:
    """Return the engineered columns; each sum over groups is one product with an indicator matrix. Shape ``(rows, E)``."""
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
        # Second and fourth power of a centred code differ only for -2 and 2, by 12.
        centred *= centred
        extremes = centred @ member
        extremes -= squares
        extremes /= 12
        blocks = [FAMILIES[family].of(sums, squares, extremes, size) for family in manifest.engineered]
        made[start : start + CHUNK] = np.concatenate(blocks, axis=1)
    return made
