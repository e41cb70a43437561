"""
Distributions of the feature values in the training eras, and their distance to those of a live era.

Numerai ranks every feature into five equal bins within an era, and writes the middle bin into all rows of an era without
the feature (in the first eras of a feature). So the shares of the five values hardly change from week to week, and the
training eras themselves show by how much. A live file with another coding, or without features that were there before,
is detected without targets.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.features.codes import Codes
from bot.system.files import seal, unseal
from models.bins import MISSING_CATEGORY

Floats = npt.NDArray[np.float32]

VALUES = MISSING_CATEGORY + 1
"""Number of distinct codes: five bins, and one for a missing value that is a category of its own."""

SAMPLED = 1024
"""Number of evenly spaced rows that are counted. Ids are random, and a bin's share among so many deviates by 0.012."""

FLOOR, SLACK = 0.02, 1.5
"""A feature has drifted if its distance exceeds ``SLACK`` times the largest distance of a training era, plus ``FLOOR``. One
in 50 eras of the same distribution is as far as the farthest, but none is half as far again."""

ROWS_SLACK = 0.2
"""Share by which an era may have fewer rows than the smallest training era, or more than the largest. Neighbouring eras
differ by 7 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """
    Distance of an era's features to those of the training eras.

    Attributes:
        share: Share of the features that have drifted beyond all training eras.
        worst: Name of the feature with the largest drift.
        distance: Total variation distance of its shares to the mean shares: the share of rows in other bins, 0 to 1.
        rows: Number of rows of the era.
        odd_rows: Whether the era has far fewer or far more rows than all training eras.
    """

    share: float
    worst: str
    distance: float
    rows: int
    odd_rows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDistributions:
    """
    Distributions of the feature values in the training eras.

    Attributes:
        features: Feature names in order.
        shares: Mean share of the rows with each value. Shape ``(F, 6)``, float32.
        reach: Largest total variation distance of an era to the mean shares. Shape ``(F,)``, float32.
        rows: Fewest and most rows of an era.
    """

    features: tuple[str, ...]
    shares: Floats
    reach: Floats
    rows: tuple[int, int]

    @classmethod
    def of(cls, features: Sequence[str], eras: Iterable[Codes], rows: Sequence[int]) -> "FeatureDistributions":
        """
        Measure the distributions of eras.

        Args:
            features: Names of the columns.
            eras: Preprocessed codes 0 to 5 of the rows that :func:`sample` returns. Shape ``(n, F)`` each.
            rows: Number of rows of each era before sampling.
        """
        counted = np.stack([value_shares(codes) for codes in eras])
        mean = counted.mean(axis=0)
        reach = _distance(counted, mean).max(axis=0)
        return cls(features=tuple(features), shares=mean, reach=reach, rows=(min(rows), max(rows)))

    def drift(self, codes: Codes) -> FeatureDrift:
        """Return the drift of an era. Shape of *codes*: ``(rows, F)``."""
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
        """Return the distributions as an npz archive without pickles and with a digest, about 60 kB for 3,555 features."""
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
        Read the distributions from the bytes of :meth:`to_bytes`.

        Raises:
            ValueError: The bytes are not such an archive, or are damaged.
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
            raise ValueError(f"not the distributions of features: {error}") from None
        if found.shares.shape != (len(found.features), VALUES) or found.reach.shape != (len(found.features),):
            raise ValueError(f"distributions of shape {found.shares.shape} do not fit {len(found.features)} features")
        return found


def sample(codes: Codes) -> Codes:
    """Return about :data:`SAMPLED` evenly spaced rows as a view, or all rows if there are fewer."""
    return codes[:: max(len(codes) // SAMPLED, 1)]


def value_shares(codes: Codes) -> Floats:
    """Return the share of rows with each value. From shape ``(rows, F)`` to ``(F, 6)``."""
    columns = np.ascontiguousarray(codes.T)
    counts = np.stack([np.count_nonzero(columns == value, axis=1) for value in range(VALUES)], axis=1)
    return (counts / np.float32(max(len(codes), 1))).astype(np.float32)


def _distance(shares: Floats, mean: Floats) -> Floats:
    """Return the total variation distance of shares, by feature. From shapes ``(..., F, 6)`` to ``(..., F)``."""
    return np.asarray(np.abs(shares - mean).sum(axis=-1) / 2)
