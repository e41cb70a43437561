"""
Which features a model lives on: gain of the trees and permutation within eras, by feature and by group, with intervals.

Gain says what the trees used on the training eras; permutation says what a score on unseen eras loses without it, for
any model. Only the second can tell that something is useless.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import TooFewEras, block_bootstrap

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """
    How much something matters.

    Attributes:
        name: Of a feature or a group.
        value: Share of all gain, or loss of the score.
        low: Lower bound of its 95 % interval; NaN where there is too little to tell.
        high: Upper bound.
    """

    name: str
    value: float
    low: float
    high: float


def gain_shares(
    names: Sequence[str], gains: Floats, blocks: Mapping[str, Sequence[str]], *, draws: int = 500
) -> tuple[Weight, ...]:
    """
    Return each block's share of all gain, largest first.

    The interval is that of a bootstrap over runs of neighbouring trees: a share that comes from a few trees is wide.

    Args:
        names: Features of the trees in order.
        gains: Of each tree and feature, see :func:`models.trees.tree_text.split_gains`. Shape ``(trees, features)``.
        blocks: Features by block; those the trees do not know count nothing.
        draws: Of the bootstrap.
    """
    position = {name: index for index, name in enumerate(names)}
    total = gains.sum(axis=1, dtype=np.float64)
    found = []
    for block, members in blocks.items():
        columns = [position[name] for name in members if name in position]
        own = gains[:, columns].sum(axis=1, dtype=np.float64)
        if not total.sum():
            found.append(Weight(name=block, value=0.0, low=float("nan"), high=float("nan")))
            continue
        value, low, high = _interval(np.column_stack([own, total]), max(1, len(gains) // 20), draws)
        found.append(Weight(name=block, value=value, low=low, high=high))
    return _sorted(found)


def tree_blocks(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """
    Return the inputs of trees by feature group: its features and the row aggregates made of them.

    Args:
        names: Inputs of the trees.
        groups: Features by group. An aggregate is called ``<family>_<group>``.
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
        losses: One mapping from block to loss per era, in the order of eras; eras where it is NaN are left out.
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
            found.append(Weight(name=name, value=interval.estimate, low=interval.low, high=interval.high))
        except TooFewEras:
            found.append(Weight(name=name, value=float(series.mean()), low=float("nan"), high=float("nan")))
    return _sorted(found)


def _interval(pairs: npt.NDArray[np.float64], block: int, draws: int) -> tuple[float, float, float]:
    try:
        found = block_bootstrap(pairs, block=block, draws=draws, statistic=_share)
    except TooFewEras:
        return _share(pairs), float("nan"), float("nan")
    return found.estimate, found.low, found.high


def _share(pairs: npt.NDArray[np.float64]) -> float:
    own, total = pairs.sum(axis=0)
    return float(own / total) if total else 0.0


def _sorted(found: Sequence[Weight]) -> tuple[Weight, ...]:
    return tuple(sorted(found, key=lambda one: -one.value))
