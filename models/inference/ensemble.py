"""Blend raw scores of members into predictions, one era at a time; numpy only."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.bins import CORR_VALUES, TARGET_VALUES
from models.inference.ranks import double_ranks, normal_scores

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]
Neutralize = Callable[..., Floats]
"""``neutralize(scores, features, proportion=...)``, see :func:`bot.scoring.neutralize.neutralize`."""

_VALUES = {"corr": np.array(CORR_VALUES), "mmc": np.array(TARGET_VALUES)}


def rank(values: Array) -> Floats:
    """Return ``(average rank - 0.5) / n``, which keeps ties. Shape ``(rows,)``, between 0 and 1."""
    return (double_ranks(values) - 1) / (2 * len(values))


def gaussianize(values: Array) -> Floats:
    """Return the normal quantile of each value's tie-kept rank. Shape ``(rows,)``, mean 0."""
    return normal_scores(len(values))[double_ranks(values)]


def expected_score(logits_NTC: npt.NDArray[np.floating], kind: Literal["corr", "mmc"] = "corr") -> Floats:
    """
    Return each row's expected contribution to a score: class probabilities times class values.

    A network with a single output for each target has no classes; its output is returned.

    Args:
        logits_NTC: Logits of rows, targets and the five classes, or single outputs. Shape ``(N, T, 5)`` or ``(N, T, 1)``.
        kind: Name of the score. CORR rewards the outer classes by the power 1.5, MMC linearly.

    Returns:
        Expected values. Ties are as rare as in the logits. Shape ``(N, T)``, float64.
    """
    if logits_NTC.shape[-1] == 1:
        return logits_NTC[..., 0].astype(np.float64)
    weight = np.subtract(logits_NTC, logits_NTC.max(axis=-1, keepdims=True), dtype=np.float64)
    np.exp(weight, out=weight)
    return np.asarray((weight @ _VALUES[kind]) / weight.sum(axis=-1))


def blend(
    members: Mapping[str, Array],
    weights: Mapping[str, float],
    *,
    neutralizers: Array | None = None,
    proportion: float = 0.0,
    neutralize: Neutralize | None = None,
) -> Floats:
    """
    Return the ensemble of one era: rank, gaussianize, weighted sum, neutralize, rank again.

    The result depends only on the order of each member's scores.

    Args:
        members: Raw scores by member. Shape ``(rows,)`` each.
        weights: Weight of each member. Both mappings must have the same names.
        neutralizers: Values to neutralize to, such as features; ``None`` skips neutralization. First axis ``rows``.
        proportion: Share of the linear part that *neutralize* removes, 0 to 1.
        neutralize: Function that neutralizes.

    Returns:
        Ranks divided by rows + 1, inside (0, 1). Shape ``(rows,)``, float64.

    Raises:
        ValueError: A member is constant, not finite, missing or without weight; or *neutralize* is missing.
    """
    if set(members) != set(weights) or not any(weights.values()):
        raise ValueError(f"members {sorted(members)} need one weight each, not all zero; weights are {dict(weights)}")
    total = np.zeros(len(next(iter(members.values()))))
    for name, weight in weights.items():
        scores = members[name]
        if scores.shape != total.shape:
            raise ValueError(f"member {name!r} scored {scores.shape} where {total.shape} was expected")
        if not np.isfinite(scores).all():
            raise ValueError(f"member {name!r} gave {int((~np.isfinite(scores)).sum())} scores that are not finite")
        if (scores == scores[0]).all():
            raise ValueError(f"member {name!r} is constant ({scores[0]!s} in all {len(scores)} rows): it ranks nothing")
        total += weight * gaussianize(scores)
    if neutralizers is not None and proportion:
        if neutralize is None:
            raise ValueError("neutralizers are given, but no function to neutralize with")
        total = neutralize(total, neutralizers, proportion=proportion)
    return double_ranks(total) / (2 * (len(total) + 1))
