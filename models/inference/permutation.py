"""
Permutation importance: the loss of a score when the values of some columns are permuted.

Rows are permuted within one era, so that every era keeps its bins. All columns of a block move together, so that their
joint information is lost too. Source: L. Breiman, *Random Forests*, Machine Learning 45 (2001), section 10.
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
    Return the loss of each model's score of one era for each block of columns.

    Args:
        score: Function from the era's features to a score of each model. It must derive everything else from them.
        features: Codes of one era; not changed. Shape ``(rows, F)``, int8.
        blocks: Positions of the columns that are permuted together.
        seed: Seed of the permutations. Every block uses the same ones.
        repeats: Number of permutations to average over.

    Returns:
        By model and block: the score minus the mean score with the block's columns permuted.
    """
    whole = score(features)
    losses = {model: dict.fromkeys(blocks, value) for model, value in whole.items()}
    # Keep the memory order of the store's columns. Each block is written back, so that one copy is enough.
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
