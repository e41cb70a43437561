"""
Permutation importance: what a score loses when some columns no longer belong to their rows.

Rows change places inside one era only, so that every era keeps its own bins, and all columns of a block move together,
so that what they say jointly is lost too. Source: L. Breiman, *Random Forests*, Machine Learning 45 (2001), section 10.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]


def permutation_losses(
    score: Callable[[Codes], Mapping[str, float]],
    features: Codes,
    blocks: Mapping[str, Sequence[int]],
    *,
    seed: int,
    repeats: int = 1,
) -> dict[str, dict[str, float]]:
    """
    Return what each score of one era loses for each block of columns.

    Args:
        score: From the era's features to a score of each model; everything made from features must be made in here.
        features: Of one era, not changed. Shape ``(rows, F)``, int8.
        blocks: Positions of the columns that move together.
        seed: Of the permutations; the same permutation is used for every block.
        repeats: Permutations that are averaged.

    Returns:
        By model and block: the score as it is minus the mean score with the block's columns permuted.
    """
    whole = score(features)
    losses = {model: dict.fromkeys(blocks, value) for model, value in whole.items()}
    # In columns' memory order, as the store hands features out; written back after each block, so one copy is enough.
    moved = features.copy(order="K")
    for order in _orders(len(features), seed, repeats):
        for block, positions in blocks.items():
            columns = np.array(positions)
            moved[:, columns] = features[np.ix_(order, columns)]
            for model, value in score(moved).items():
                losses[model][block] -= value / repeats
            moved[:, columns] = features[:, columns]
    return losses


def _orders(rows: int, seed: int, repeats: int) -> list[npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    return [random.permutation(rows) for _ in range(repeats)]
