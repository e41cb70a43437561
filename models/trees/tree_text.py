"""
Parse a LightGBM model file into arrays, and check every number in it.

LightGBM's own reader follows the indices of a damaged file, even outside its memory. Here every number is parsed, every
count is compared and every child is visited once before anything is evaluated. Damage raises ``ValueError``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_CATEGORICAL = 1
_MISSING_ZERO = 4
"""Bits of a decision type: the split lists categories; zero is treated as missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """
    A regression forest with numeric splits. Arrays hold all trees, one after the other.

    Attributes:
        feature_names: Names of the inputs, in the order of the columns.
        objective: LightGBM's objective, as the file has it.
        averaged: Whether trees are averaged (random forest) instead of summed.
        leaves: Number of leaves of each tree. A tree has one split fewer.
        split_feature: Column of each split.
        threshold: Threshold of each split. A row goes right if its value is greater.
        left: Left child of each split within its tree: a split, or ``~leaf``.
        right: Right child, in the same form.
        leaf_value: Output of each leaf.
        depth: Number of splits from the root to the deepest leaf of any tree.
    """

    feature_names: tuple[str, ...]
    objective: str
    averaged: bool
    leaves: Ints
    split_feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    leaf_value: Floats
    depth: int

    @property
    def split_starts(self) -> npt.NDArray[np.int64]:
        """Return the position of each tree's first split."""
        return np.cumsum(self.leaves - 1, dtype=np.int64) - (self.leaves - 1)

    @property
    def leaf_starts(self) -> npt.NDArray[np.int64]:
        """Return the position of each tree's first leaf."""
        return np.cumsum(self.leaves, dtype=np.int64) - self.leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitGains:
    """
    Reduction of the training loss by each tree's splits on each feature.

    Attributes:
        feature_names: Names of the features.
        gains: Summed gain. Shape ``(trees, features)``, float32.
    """

    feature_names: tuple[str, ...]
    gains: npt.NDArray[np.float32]


def parse(data: bytes) -> Forest:
    """
    Parse the text that ``Booster.save_model`` writes.

    Raises:
        ValueError: The text is damaged, or the model is not a regression on numeric splits.
    """
    return _forest(_Sections.read(data))


def split_gains(data: bytes) -> SplitGains:
    """
    Return how much each tree's splits on each feature reduced the training loss.

    Args:
        data: The text that ``Booster.save_model`` writes.

    Returns:
        Gains of each tree and feature; their sum over trees is ``Booster.feature_importance("gain")``.

    Raises:
        ValueError: The text is damaged, or the model is not a regression on numeric splits.
    """
    sections = _Sections.read(data)
    forest, trees, names = _forest(sections), sections.trees, sections.feature_names
    splitting = [tree for tree, count in zip(trees, forest.leaves, strict=True) if count > 1]
    gained = np.zeros((len(trees), len(names)), dtype=np.float32)
    tree = np.repeat(np.arange(len(trees)), forest.leaves - 1)
    words = _words(splitting, b"split_gain", len(forest.split_feature))
    np.add.at(gained, (tree, forest.split_feature), _exact(words).astype(np.float32))
    return SplitGains(feature_names=names, gains=gained)


@dataclass(frozen=True, slots=True)
class _Sections:
    """The fields of the header, the names of the features, and the fields of each tree."""

    header: dict[bytes, bytes]
    feature_names: tuple[str, ...]
    trees: list[dict[bytes, bytes]]

    @classmethod
    def read(cls, data: bytes) -> "_Sections":
        """Split the text; raise ``ValueError`` if it is truncated or has several outputs."""
        head, _, _ = data.partition(b"\nTree=")
        header = _fields(head)
        sizes = _whole(_need(header, b"tree_sizes").split()).tolist()
        if _need(header, b"num_class") != b"1" or _need(header, b"num_tree_per_iteration") != b"1":
            raise ValueError("the model has several outputs; only a regression with one is served")
        names = tuple(_need(header, b"feature_names").decode("utf-8").split())
        if len(names) != int(_need(header, b"max_feature_idx")) + 1:
            raise ValueError(f"the model names {len(names)} features, but its highest is another")
        trees = []
        position = len(head) + 1
        for number, size in enumerate(sizes):
            block = data[position : position + size]
            if not block.startswith(b"Tree=%d\n" % number) or not block.endswith(b"\n"):
                raise ValueError(f"tree {number} of {len(sizes)} is damaged: it is not where the header says")
            trees.append(_fields(block))
            position += size
        if not trees or not data[position:].startswith(b"end of trees"):
            raise ValueError(f"the model does not end after its {len(sizes)} trees: it is truncated or damaged")
        return cls(header=header, feature_names=names, trees=trees)


def _forest(sections: _Sections) -> Forest:
    header, names, trees = sections.header, sections.feature_names, sections.trees
    if any(tree.get(b"num_cat") != b"0" or tree.get(b"is_linear", b"0") != b"0" for tree in trees):
        raise ValueError("the model has categorical splits or linear leaves; only numeric splits are served")
    leaves = _whole([_need(tree, b"num_leaves") for tree in trees])
    if leaves.min() < 1:
        raise ValueError("the model has a tree without leaves")
    splitting = [tree for tree, count in zip(trees, leaves, strict=True) if count > 1]
    splits = int((leaves - 1).sum())
    kinds = _whole(list(set(_words(splitting, b"decision_type", splits))))
    if (kinds & (_CATEGORICAL | _MISSING_ZERO)).any():
        raise ValueError("the model treats categories or zeros specially; only numeric splits are served")
    features = _whole(_words(splitting, b"split_feature", splits))
    if splits and not 0 <= features.min() <= features.max() < len(names):
        raise ValueError(f"a split looks at feature {features.max()} of {len(names)}")
    left = _whole(_words(splitting, b"left_child", splits))
    right = _whole(_words(splitting, b"right_child", splits))
    thresholds = _words(splitting, b"threshold", splits)
    distinct = list(set(thresholds))  # features have five values, so few thresholds are distinct: parse each once
    value = dict(zip(distinct, _exact(distinct).tolist(), strict=True))
    return Forest(
        feature_names=names,
        objective=header.get(b"objective", b"").decode("utf-8"),
        averaged=b"average_output" in header,
        leaves=leaves,
        split_feature=features,
        threshold=np.fromiter(map(value.__getitem__, thresholds), dtype=np.float64, count=splits),
        left=left,
        right=right,
        leaf_value=_exact(_words(trees, b"leaf_value", int(leaves.sum()))),
        depth=_depth(leaves, left, right),
    )


def _depth(leaves: Ints, left: Ints, right: Ints) -> int:
    """Return the number of levels of the deepest tree; raise ``ValueError`` if the splits do not form trees."""
    starts = np.cumsum(leaves - 1, dtype=np.int64) - (leaves - 1)
    tree = np.flatnonzero(leaves > 1)
    node = np.zeros(len(tree), dtype=np.int32)
    seen_splits = np.zeros(len(left), dtype=np.int32)
    reached = (leaves == 1).astype(np.int64)
    depth = 0
    while len(node):
        depth += 1
        at = starts[tree] + node
        np.add.at(seen_splits, at, 1)
        child = np.concatenate([left[at], right[at]])
        tree = np.concatenate([tree, tree])
        if (child >= leaves[tree] - 1).any() or (~child >= leaves[tree]).any() or seen_splits.max() > 1:
            raise ValueError("the splits of a tree do not form a tree")
        inner = child >= 0
        np.add.at(reached, tree[~inner], 1)
        tree, node = tree[inner], child[inner]
    if (reached != leaves).any() or not (seen_splits == 1).all():
        raise ValueError("the splits of a tree do not form a tree")
    return depth


def _fields(block: bytes) -> dict[bytes, bytes]:
    """Return the ``key=value`` lines of a block; a line without a value maps to an empty one."""
    return {key: value for key, _, value in (line.partition(b"=") for line in block.split(b"\n"))}


def _need(fields: dict[bytes, bytes], key: bytes) -> bytes:
    try:
        return fields[key]
    except KeyError:
        raise ValueError(f"not a LightGBM model, or a damaged one: {key.decode()} is missing") from None


def _words(trees: list[dict[bytes, bytes]], key: bytes, count: int) -> list[bytes]:
    """Return the numbers of one field of all trees as words."""
    words = b" ".join([_need(tree, key) for tree in trees]).split()
    if len(words) != count:
        raise ValueError(f"the model's {key.decode()} has {len(words)} numbers where {count} belong")
    return words


def _whole(words: list[bytes]) -> Ints:
    try:
        return np.fromiter(map(int, words), dtype=np.int32, count=len(words))
    except OverflowError:
        raise ValueError("the model counts beyond its own size") from None


def _exact(words: list[bytes]) -> Floats:
    """Parse decimals; ``float`` reads back exactly what LightGBM printed with 17 digits."""
    values = np.fromiter(map(float, words), dtype=np.float64, count=len(words))
    if not np.isfinite(values).all():
        raise ValueError("the model holds numbers that are not finite")
    return values
