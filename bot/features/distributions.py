"""
How the values of each feature are spread over an era's rows: what a model learned from, and what it is asked about.

Numerai ranks every feature into five equal bins within the era, and writes the middle bin throughout where it has none
(in the first eras of a feature's life). So an era's shares of the five values hardly move from week to week, and what
they move by is measured here from the eras themselves. A live file that is coded otherwise, or in which features are
missing that were there before, is found without a single target.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.system.files import seal, unseal
from models.bins import MISSING_CATEGORY

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]

VALUES = MISSING_CATEGORY + 1
"""The five bins, and 5 where missing is a category of its own."""

SAMPLED = 1024
"""Evenly spaced rows that are counted: ids are random, and a bin's share of as many has a deviation of .012."""

FLOOR, SLACK = 0.02, 1.5
"""A feature is unlike itself beyond so many times the farthest that any training era was, and a bit: of eras that are
alike, one in 50 is as far as the farthest, but none half as far again."""

ROWS_SLACK = 0.2
"""Share by which an era may have fewer rows than the smallest, or more than the largest; neighbours differ by 7 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """
    How far an era's features are from those that were learned from.

    Attributes:
        share: Of the features, those that lie outside of all training eras.
        worst: The feature that is farthest.
        distance: Total variation distance of its shares from the mean ones: the share of rows in other bins, 0 to 1.
        rows: Rows of the era.
        odd_rows: Whether eras never had as few rows, or as many.
    """

    share: float
    worst: str
    distance: float
    rows: int
    odd_rows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDistributions:
    """
    Feature values of some eras.

    Attributes:
        features: Names in order.
        shares: Mean share of the rows with each value. Shape ``(F, 6)``, float32.
        reach: Largest total variation distance that an era has from them. Shape ``(F,)``, float32.
        rows: Fewest and most rows of an era.
    """

    features: tuple[str, ...]
    shares: Floats
    reach: Floats
    rows: tuple[int, int]

    @classmethod
    def of(cls, features: Sequence[str], eras: Iterable[Codes], rows: Sequence[int]) -> "FeatureDistributions":
        """
        Measure eras.

        Args:
            features: Names of the columns.
            eras: Codes 0 to 5 as the models see them, of rows taken by :func:`sample`. Shape ``(n, F)`` each.
            rows: Of each era, before sampling.
        """
        counted = np.stack([value_shares(codes) for codes in eras])
        mean = counted.mean(axis=0)
        reach = _distance(counted, mean).max(axis=0)
        return cls(features=tuple(features), shares=mean, reach=reach, rows=(min(rows), max(rows)))

    def drift(self, codes: Codes) -> FeatureDrift:
        """Hold an era's codes, shape ``(rows, F)``, beside what was learned from."""
        distance = _distance(value_shares(sample(codes)), self.shares)
        beyond = distance - (SLACK * self.reach + FLOOR)
        worst = int(beyond.argmax())
        low, high = self.rows
        return FeatureDrift(
            share=float((beyond > 0).mean()),
            worst=self.features[worst],
            distance=float(distance[worst]),
            rows=len(codes),
            odd_rows=not (1 - ROWS_SLACK) * low <= len(codes) <= (1 + ROWS_SLACK) * high,
        )

    def to_bytes(self) -> bytes:
        """Return them as a sealed npz archive without pickles, some 60 kB for 3,555 features."""
        about = {"features": self.features, "rows": self.rows}
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            shares=self.shares.astype(np.float32),
            reach=self.reach.astype(np.float32),
            about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        )
        return seal(buffer.getvalue())

    @classmethod
    def from_bytes(cls, content: bytes) -> "FeatureDistributions":
        """
        Read them back.

        Raises:
            ValueError: The bytes are no marginals.
        """
        try:
            archive = np.load(io.BytesIO(unseal(content)), allow_pickle=False)
            about = json.loads(archive["about"].tobytes())
            low, high = about["rows"]
            found = cls(
                features=tuple(about["features"]),
                shares=archive["shares"],
                reach=archive["reach"],
                rows=(int(low), int(high)),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no marginals: {error}") from None
        if found.shares.shape != (len(found.features), VALUES) or found.reach.shape != (len(found.features),):
            raise ValueError(f"marginals of shape {found.shares.shape} fit no {len(found.features)} features")
        return found


def sample(codes: Codes) -> Codes:
    """Return about :data:`SAMPLED` evenly spaced rows, a view; all of them where there are fewer."""
    return codes[:: max(len(codes) // SAMPLED, 1)]


def value_shares(codes: Codes) -> Floats:
    """Return the share of rows with each value. From shape ``(rows, F)`` to ``(F, 6)``."""
    columns = np.ascontiguousarray(codes.T)
    counts = np.stack([np.count_nonzero(columns == value, axis=1) for value in range(VALUES)], axis=1)
    return (counts / np.float32(max(len(codes), 1))).astype(np.float32)


def _distance(shares: Floats, mean: Floats) -> Floats:
    """Return the total variation distance of shares, by feature. From shapes ``(..., F, 6)`` to ``(..., F)``."""
    return np.asarray(np.abs(shares - mean).sum(axis=-1) / 2)
