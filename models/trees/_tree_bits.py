"""
Evaluate a forest exactly, with one bit per row and split.

Every distinct test "column > threshold" is evaluated once for all rows and packed into bits, eight rows a byte. Numerai's
features have five values, so two thousand trees share a few thousand tests. A tree is padded to full depth and evaluated
as a multiplexer: the bits of a split select between the bits of its children, from the root down, for many rows at a
time. The selected bits of all levels form the number of the leaf. Leaf values are added in float64 in the order of the
trees, as LightGBM does, so the sums are equal to the last bit.

2,000 trees of depth 5, 7,000 rows x 3,594 columns, one thread: see :mod:`models.trees.trees` for the time of each way.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.trees.tree_text import Forest

Bits = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

DEEPEST = 10
"""Largest depth: a padded tree doubles with every level."""

ROWS = 8192
"""Number of rows evaluated together; a multiple of 64."""

CACHE_BYTES = 1 << 19
"""Bytes of the widest level that are processed at a time, so that they stay in the processor's cache."""


class BitForest:
    """
    A forest laid out for :meth:`predict`.

    Args:
        forest: A forest with numeric splits.
        features: Number of leading columns that are int8 codes. The others are float32.

    Raises:
        ValueError: The forest is deeper than :data:`DEEPEST`.
    """

    def __init__(self, forest: Forest, features: int) -> None:
        if forest.depth > DEEPEST:
            raise ValueError(f"the forest is {forest.depth} splits deep; bits are for at most {DEEPEST}")
        self.features = features
        self._depth = forest.depth
        threshold = forest.threshold.copy()
        coded = forest.split_feature < features
        # A code is greater than 1.5 if and only if it is greater than 1, so both tests are one.
        threshold[coded] = np.clip(np.floor(threshold[coded]), -128, 127)
        order = np.lexsort((threshold, forest.split_feature, np.where(coded, threshold, np.inf), ~coded))
        feature, level = forest.split_feature[order], threshold[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (feature[1:] != feature[:-1]) | (level[1:] != level[:-1])
        test = np.empty(len(order), dtype=np.int32)
        test[order] = np.cumsum(fresh) - 1
        self._test_feature, self._test_level = feature[fresh], level[fresh]
        self._coded = int(np.count_nonzero(self._test_feature < features))
        self._tests, self._values = _pad(forest, test)

    def predict(self, features: npt.NDArray[np.int8], engineered: npt.NDArray[np.float32]) -> Floats:
        """Return the sum of the trees. Shapes ``(rows, F)`` and ``(rows, E)`` in, ``(rows,)`` float64 out."""
        total = np.zeros(len(features))
        for start in range(0, len(features), ROWS):
            rows = slice(start, start + ROWS)
            self._add(self._test_bits(features[rows], engineered[rows]), total[rows])
        return total

    def _test_bits(self, features: npt.NDArray[np.int8], engineered: npt.NDArray[np.float32]) -> Bits:
        """Evaluate every test. Shape ``(tests, rows / 8)``, padded to whole 64-bit words."""
        rows = len(features)
        bits = np.zeros((max(len(self._test_feature), 1), (rows + 63) // 64 * 8), dtype=np.uint8)
        columns = np.empty((self.features, rows), dtype=np.int8)
        for start in range(0, rows, 256):  # pieces that fit the cache are transposed three times faster
            columns[:, start : start + 256] = features[start : start + 256].T
        coded = self._coded
        levels = self._test_level[:coded]
        for start, end in _runs(levels):
            for first in range(start, end, 64):
                chosen = slice(first, min(first + 64, end))
                passed = columns[self._test_feature[chosen]] > np.int8(levels[start])
                bits[chosen, : (rows + 7) // 8] = np.packbits(passed, axis=1, bitorder="little")
        for start, end in _runs(self._test_feature[coded:]):
            chosen = slice(coded + start, coded + end)
            column = engineered[:, self._test_feature[coded + start] - self.features].astype(np.float64)
            passed = column > self._test_level[chosen, None]
            bits[chosen, : (rows + 7) // 8] = np.packbits(passed, axis=1, bitorder="little")
        return bits

    def _add(self, bits: Bits, total: Floats) -> None:
        """Add every tree's leaf to *total*, in place."""
        words = bits.view(np.uint64)
        value = np.empty(len(total))
        at_once = max(1, CACHE_BYTES // (bits.shape[1] << max(self._depth - 1, 0)))
        for start in range(0, len(self._values), at_once):
            values = self._values[start : start + at_once]
            for leaf, leaf_values in zip(self._leaves(words, start, len(values), len(total)), values, strict=True):
                np.take(leaf_values, leaf, out=value, mode="clip")
                np.add(total, value, out=total)

    def _leaves(
        self, words: npt.NDArray[np.uint64], start: int, trees: int, rows: int
    ) -> npt.NDArray[np.unsignedinteger]:
        """Return the number of each row's leaf. Shape ``(trees, rows)``."""
        tests = self._tests[start : start + trees]
        path: list[npt.NDArray[np.uint64]] = []
        leaf = np.zeros((trees, rows), dtype=np.uint8 if self._depth <= 8 else np.uint16)
        for level in range(self._depth):
            chosen = words[tests[:, (1 << level) - 1 : (2 << level) - 1]]
            for went_right in path:
                half = chosen.shape[1] // 2
                left, right = chosen[:, :half], chosen[:, half:]
                np.bitwise_xor(right, left, out=right)
                np.bitwise_and(right, went_right[:, None], out=right)
                np.bitwise_xor(left, right, out=left)
                chosen = left
            path.append(np.ascontiguousarray(chosen[:, 0]))
            np.add(leaf, leaf, out=leaf)
            np.bitwise_or(leaf, np.unpackbits(path[-1].view(np.uint8), axis=1, count=rows, bitorder="little"), out=leaf)
        return leaf


def _pad(forest: Forest, test: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], Floats]:
    """
    Pad every tree to full depth: a leaf above it repeats its value below tests that do not matter.

    Returns:
        Tests in heap order, shape ``(trees, 2^depth - 1)``, and leaf values, ``(trees, 2^depth)``.
    """
    trees = len(forest.leaves)
    splits, leaves = forest.split_starts[:, None], forest.leaf_starts[:, None]
    node = np.where(forest.leaves > 1, 0, ~0).astype(np.int64)[:, None]
    tests = np.zeros((trees, (1 << forest.depth) - 1), dtype=np.int32)
    for level in range(forest.depth):
        inner = node >= 0
        at = np.where(inner, splits + node, 0)
        tests[:, (1 << level) - 1 : (2 << level) - 1] = np.where(inner, test[at], 0)
        children = np.stack([np.where(inner, forest.left[at], node), np.where(inner, forest.right[at], node)], axis=2)
        node = children.reshape(trees, -1)
    return tests, forest.leaf_value[leaves + ~node]


def _runs(values: npt.NDArray[np.generic]) -> list[tuple[int, int]]:
    """Return start and end of each run of equal values."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [(start, end) for start, end in pairwise(edges) if end > start]
