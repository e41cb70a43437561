"""Rows of one era for training, and the protocol of their source. It needs no torch, because scoring reads eras too."""

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
        era: Name of the era.
        features: Codes. Shape ``[n, F]``, int8.
        engineered: Row aggregates; ignored if the network takes none. Shape ``[n, E]``, float32.
        targets: Targets, NaN where unknown. Shape ``[n, T]``, float32.
        predictions: Another model's predictions of each target; ``None`` masks them. Shape ``[n, T]``, float32.
        benchmark: Gaussianized benchmark predictions, NaN where unknown; ``None`` for an era without any. The options of
            the training decide their use. Shape ``[n]``, float32.
        weight: Weight of the era in the loss.
    """

    era: str
    features: npt.NDArray[np.int8]
    engineered: Floats | None
    targets: Floats
    predictions: Floats | None = None
    benchmark: Floats | None = None
    weight: float = 1.0


class EraSource(Protocol):
    """Eras by position. Both methods are called from a second thread, one era ahead of training."""

    @property
    def eras(self) -> Sequence[str]:
        """Return the names of the eras, oldest first."""

    def batch(self, index: int) -> EraBatch:
        """Return the era at position *index*."""

    def window(self, index: int) -> Floats | None:
        """Return the feature returns that were resolved when the era was live; ``None`` masks them. Shape ``[L, F, K]``."""
