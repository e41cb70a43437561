"""
Score rows with a LightGBM model, equal to ``lightgbm.Booster.predict`` to the last bit, without importing lightgbm.

CPU milliseconds of one thread for 7,000 rows x 3,594 columns and 2,000 trees of depth 5 and 31 leaves, measured warm
on 2026-11-24 on two shared cores (a cold process adds 30 to the first line). All but the last give equal float64 sums:

====================================================  ====  =======  =====
way                                                   load  predict  both
====================================================  ====  =======  =====
:mod:`models.trees._tree_bits` (used up to depth 10)           79       86    165
:mod:`models.trees._lightgbm_c`, all rows as float32           26    1,055  1,081
:mod:`models.trees._lightgbm_c`, 512 rows at a time            26    1,077  1,103
onnxruntime, float32 (6,000 rows; off by up to 3e-6)    60      452    512
====================================================  ====  =======  =====
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.trees._lightgbm_c import NativeBooster
from models.trees._tree_bits import DEEPEST, BitForest
from models.trees.tree_text import Forest, parse

CHUNK = 512
"""Number of rows that are cast to float32 at a time for LightGBM's library."""

_PLAIN_OBJECTIVES = frozenset({"regression", "regression_l1", "huber", "fair", "quantile", "mape"})
"""Objectives whose prediction is the plain sum of the trees."""


class TreeModel:
    """
    A gradient-boosted regression from a LightGBM text file.

    Attributes:
        feature_names: Names of the inputs in order: features first, then engineered columns.

    Args:
        path: LightGBM's text file.
        threads: Number of threads of LightGBM's library. Bit evaluation uses one.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged, or it is not a regression on numeric splits.
        LightGbmError: The model needs LightGBM's library, which is missing or rejects it.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        text = Path(path).read_bytes()
        self._forest = parse(text)
        self.feature_names = self._forest.feature_names
        self._bits: BitForest | None = None
        self._native = None if _sums_plainly(self._forest) else NativeBooster(text, threads=threads)

    def predict(
        self, features: npt.NDArray[np.int8], engineered: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float64]:
        """
        Return the model's prediction for each row.

        Args:
            features: Codes as the model was trained on them, 0 to 4. Shape ``(rows, F)``, int8.
            engineered: Engineered columns, if any. Shape ``(rows, E)``, float32.

        Returns:
            Predictions. Shape ``(rows,)``, float64.

        Raises:
            ValueError: ``F + E`` is not the model's number of inputs, or an input has another type or is not finite.
        """
        made = np.empty((len(features), 0), dtype=np.float32) if engineered is None else engineered
        if features.dtype != np.int8 or made.dtype != np.float32 or len(made) != len(features):
            raise ValueError(f"expected int8 and float32 of the same rows, got {features.dtype} and {made.dtype}")
        if features.shape[1] + made.shape[1] != len(self.feature_names):
            raise ValueError(
                f"the model takes {len(self.feature_names)} columns, not {features.shape[1]} + {made.shape[1]}"
            )
        if not np.isfinite(made).all():
            raise ValueError("an engineered column holds values that are not finite")
        if self._native is not None:
            return _in_chunks(self._native, features, made)
        if self._bits is None or self._bits.features != features.shape[1]:
            self._bits = BitForest(self._forest, features.shape[1])
        return self._bits.predict(features, made)


def _sums_plainly(forest: Forest) -> bool:
    words = forest.objective.split()
    return (
        forest.depth <= DEEPEST
        and not forest.averaged
        and bool(words)
        and words[0] in _PLAIN_OBJECTIVES
        and "sqrt" not in words
    )


def _in_chunks(
    native: NativeBooster, features: npt.NDArray[np.int8], engineered: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    starts = range(0, len(features), CHUNK)
    pieces = [
        native.predict(
            np.concatenate(
                [features[start : start + CHUNK], engineered[start : start + CHUNK]], axis=1, dtype=np.float32
            )
        )
        for start in starts
    ]
    return np.concatenate(pieces) if pieces else np.empty(0)
