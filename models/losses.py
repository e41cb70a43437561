"""
What training minimises, by name; targets that are not known (NaN) take no part.

Suffixes of tensors: B rows of one era, T targets, K classes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.classes import CORR_VALUES, TARGET_VALUES

Loss = Callable[[Tensor, Tensor], Tensor]


def expected_value(logits_BTK: Tensor, values: Sequence[float]) -> Tensor:
    """Return the mean of *values* under the predicted class distribution. Shapes ``[B, T, K]`` to ``[B, T]``."""
    return logits_BTK.softmax(dim=-1) @ logits_BTK.new_tensor(values)


def cross_entropy(logits_BTK: Tensor, targets_BT: Tensor) -> Tensor:
    """
    Return the mean negative log likelihood in nats over the known targets.

    A target between two classes counts for both, in proportion to its nearness, so that targets with seven bins need
    no head of their own.
    """
    known_BT = ~targets_BT.isnan()
    place_BT = targets_BT.nan_to_num(0.5).clamp(0, 1) * (len(TARGET_VALUES) - 1)
    below_BT = place_BT.floor()
    share_BT = place_BT - below_BT
    log_BTK = functional.log_softmax(logits_BTK, dim=-1)
    at_below = log_BTK.gather(-1, below_BT.long().unsqueeze(-1)).squeeze(-1)
    at_above = log_BTK.gather(-1, place_BT.ceil().long().unsqueeze(-1)).squeeze(-1)
    nats_BT = (share_BT - 1) * at_below - share_BT * at_above
    return (nats_BT * known_BT).sum() / known_BT.sum().clamp(min=1)


def mean_squared_error(logits_BTK: Tensor, targets_BT: Tensor) -> Tensor:
    """Return the mean squared difference of expected and realised target, both centred at 0.5, over the known ones."""
    known_BT = ~targets_BT.isnan()
    error_BT = expected_value(logits_BTK, [value - 0.5 for value in TARGET_VALUES]) - (targets_BT.nan_to_num(0.5) - 0.5)
    return (error_BT.square() * known_BT).sum() / known_BT.sum().clamp(min=1)


def pearson(logits_BTK: Tensor, targets_BT: Tensor) -> Tensor:
    """
    Return one minus the mean over targets of the correlation between CORR's score and the transformed target.

    Rows must be of one era: a correlation across eras would reward guessing the era.
    """
    known_BT = ~targets_BT.isnan()
    count_T = known_BT.sum(dim=0).clamp(min=1)
    centred_BT = targets_BT.nan_to_num(0.5) - 0.5
    actual_BT = centred_BT.sign() * centred_BT.abs() ** 1.5
    score_BT = expected_value(logits_BTK, CORR_VALUES)
    actual_BT = (actual_BT - (actual_BT * known_BT).sum(dim=0) / count_T) * known_BT
    score_BT = (score_BT - (score_BT * known_BT).sum(dim=0) / count_T) * known_BT
    # 1e-8 in the variance keeps the gradient finite while the head still says the same for every row.
    scale_T = torch.sqrt(
        (score_BT.square().sum(dim=0) + 1e-8 * count_T) * (actual_BT.square().sum(dim=0) + 1e-8 * count_T)
    )
    correlation_T = (score_BT * actual_BT).sum(dim=0) / scale_T
    usable_T = known_BT.any(dim=0)
    return 1 - (correlation_T * usable_T).sum() / usable_T.sum().clamp(min=1)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mean_squared_error, "pearson": pearson}
"""Every loss by the name settings use: ``loss(logits [B, T, K], targets [B, T]) -> scalar``."""


def loss(name: str, *, pearson_weight: float = 0.0) -> Loss:
    """
    Return the loss of that name, plus *pearson_weight* times the per-era correlation loss.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in LOSSES:
        raise ValueError(f"loss {name!r} is unknown; known: {', '.join(LOSSES)}")
    base = LOSSES[name]
    if not pearson_weight:
        return base
    return lambda logits_BTK, targets_BT: (
        base(logits_BTK, targets_BT) + pearson_weight * pearson(logits_BTK, targets_BT)
    )
