"""An era as a network learns from it, and where eras come from; without torch, since what only scores reads eras too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class EraBatch:
    """
    All rows of one era.

    Attributes:
        era: Its name.
        features: int8 codes, shape ``[n, F]``.
        engineered: float32, shape ``[n, E]``; not read where the network takes none.
        targets: float32, shape ``[n, T]``; NaN where unknown.
        predictions: Another model's predictions of each target, float32, shape ``[n, T]``; ``None`` masks them.
        benchmark: Gaussianized predictions whose projection is taken out of the targets before they are learned,
            float32, shape ``[n]``; ``None`` learns the targets themselves.

    Raises:
        ValueError: A benchmark is not known for a row whose target is: it would be learned from as it is.
    """

    era: str
    features: npt.NDArray[np.int8]
    engineered: Floats | None
    targets: Floats
    predictions: Floats | None = None
    benchmark: Floats | None = None

    def __post_init__(self) -> None:
        """Refuse targets that a benchmark says nothing about."""
        if self.benchmark is not None and not np.isfinite(self.benchmark[np.isfinite(self.targets).any(axis=1)]).all():
            raise ValueError(f"era {self.era}: rows have targets but no benchmark; leave them out")


class EraSource(Protocol):
    """Eras by position; both methods are called from a second thread, one era ahead of training."""

    @property
    def eras(self) -> Sequence[str]:
        """Return the names of the eras, oldest first."""

    def batch(self, index: int) -> EraBatch:
        """Return the era at position *index*."""

    def window(self, index: int) -> Floats | None:
        """Return the feature returns resolved when that era was live, shape ``[L, F, K]``; ``None`` masks them."""
