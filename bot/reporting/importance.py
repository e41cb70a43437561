"""
Importance of features and feature groups with intervals: gain of the trees, and permutation within eras.

Gain measures how much the trees used a feature on the training eras. Permutation measures the loss of a score on unseen
eras without the feature, for any model; only permutation can show that a feature is useless.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import Interval, TooFewEras, block_bootstrap

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """
    Importance of a feature or group.

    Attributes:
        name: Name of the feature or group.
        value: Share of all gain, or loss of the score.
        low: Lower bound of the 95 % interval; NaN if there are too few trees or eras.
        high: Upper bound.
    """

    name: str
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, name: str, interval: Interval) -> "Weight":
        """Return the importance of *name* with its interval."""
        return cls(name=name, value=interval.estimate, low=interval.low, high=interval.high)


def gain_shares(
    names: Sequence[str], gains: Floats, blocks: Mapping[str, Sequence[str]], *, draws: int = 500
) -> tuple[Weight, ...]:
    """
    Return each block's share of all gain, largest first.

    The interval is a bootstrap over runs of neighbouring trees, so it is wide for a share that few trees make up.

    Args:
        names: Features of the trees, in order.
        gains: Gain of each tree and feature, see :func:`models.trees.tree_text.split_gains`. Shape ``(trees, features)``.
        blocks: Features by block; unknown features are ignored.
        draws: Draws of the bootstrap.
    """
    position = {name: index for index, name in enumerate(names)}
    total = gains.sum(axis=1, dtype=np.float64)
    found = []
    for block, members in blocks.items():
        columns = [position[name] for name in members if name in position]
        own = gains[:, columns].sum(axis=1, dtype=np.float64)
        if not total.sum():
            found.append(Weight.of(block, _without_bounds(0.0)))
            continue
        pairs = np.column_stack([own, total])
        try:
            interval = block_bootstrap(pairs, block=max(1, len(gains) // 20), draws=draws, statistic=_share)
        except TooFewEras:
            interval = _without_bounds(float(_share(pairs.sum(axis=0, keepdims=True), len(pairs))[0]))
        found.append(Weight.of(block, interval))
    return _sorted(found)


def tree_blocks(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """
    Return the inputs of trees by feature group: the group's features and the row aggregates made of them.

    Args:
        names: Inputs of the trees.
        groups: Features by group. The name of an aggregate is ``<family>_<group>``.
    """
    members = {group: set(features) for group, features in groups.items()}
    return {
        group: tuple(
            name for name in names if name in members[group] or ("feature" not in name and name.endswith(f"_{group}"))
        )
        for group in groups
    }


def permutation_weights(losses: Sequence[Mapping[str, float]], *, block: int) -> tuple[Weight, ...]:
    """
    Return the mean loss of each block of columns over eras with its interval, largest first.

    Args:
        losses: One mapping from block to loss per era, in the order of eras; NaN losses are left out.
        block: Neighbours in *losses* that share returns, see :func:`bot.scoring.bootstrap.block_bootstrap`.
    """
    found = []
    for name in losses[0] if losses else ():
        series = np.array([era[name] for era in losses], dtype=np.float64)
        series = series[np.isfinite(series)]
        if not len(series):
            continue
        try:
            interval = block_bootstrap(series, block=block)
        except TooFewEras:
            interval = _without_bounds(float(series.mean()))
        found.append(Weight.of(name, interval))
    return _sorted(found)


def _without_bounds(value: float) -> Interval:
    return Interval(estimate=value, low=float("nan"), high=float("nan"))


def _share(sums: npt.NDArray[np.float64], _trees: int) -> npt.NDArray[np.float64]:
    own, total = sums.T
    return np.asarray(np.divide(own, total, out=np.zeros_like(own), where=total > 0))


def _sorted(weights: Sequence[Weight]) -> tuple[Weight, ...]:
    return tuple(sorted(weights, key=lambda weight: -weight.value))
