"""Trees' predictions of each target, an input of a stacked network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.inference.ensemble import gaussianize
from models.trees.trees import TreeModel

Floats = npt.NDArray[np.float32]


class Stack:
    """
    One tree model for each target, in the network's order.

    Args:
        paths: LightGBM's text files.
        threads: Number of threads for scoring.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is damaged, or is not a regression on numeric splits.
    """

    def __init__(self, paths: Sequence[Path], *, threads: int = 1) -> None:
        self._models = [TreeModel(path, threads=threads) for path in paths]

    def predict(self, features: npt.NDArray[np.int8], engineered: Floats) -> Floats:
        """
        Return the network's ``predictions`` input for the rows of one era.

        Args:
            features: Prepared codes. Shape ``(rows, F)``, int8.
            engineered: Engineered columns. Shape ``(rows, E)``, float32.

        Returns:
            Each model's predictions as normal scores of their ranks within the era, mean 0. Shape ``(rows, T)``.
        """
        return stacked([model.predict(features, engineered) for model in self._models])


def stacked(predictions: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """Return predictions of one era, target by target, as normal scores of their ranks. Shape ``(rows, T)``, float32."""
    return np.stack([gaussianize(one) for one in predictions], axis=1).astype(np.float32)
