"""
Losses by name. Unknown targets (NaN) are ignored.

A loss learns the targets. Given a benchmark's gaussianized predictions of the same rows, it learns the targets less a
share of their projection on the benchmark. MMC and BMC are covariances with exactly this residual, without CORR's power
1.5, so losses leave the power out too. :func:`loss` decides which of the two is learned, and adds further terms.

Suffixes of tensors: B rows of one era, T targets, K classes.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from models.bins import CORR_VALUES, TARGET_RANKS, TARGET_VALUES
from models.network.network import expected_value


class Loss(Protocol):
    """A function of logits ``[B, T, K]``, targets ``[B, T]`` and an optional benchmark ``[B]`` to a scalar."""

    def __call__(self, logits_BTK: Tensor, targets_BT: Tensor, benchmark_B: Tensor | None = None) -> Tensor:
        """Return the mean over the known targets."""


def residual_labels(labels_BT: Tensor, known_BT: Tensor, benchmark_B: Tensor | None, share: float = 1.0) -> Tensor:
    """
    Return labels less *share* of their projection on the benchmark, over the known rows of each target; the mean stays.

    Args:
        labels_BT: Labels, finite even where unknown.
        known_BT: Mask of the known labels.
        benchmark_B: Benchmark predictions, finite where a label is known, with mean near 0; ``None`` returns the labels
            unchanged.
        share: Share of the projection, 0 to 1.
    """
    if benchmark_B is None:
        return labels_BT
    benchmark_BT = benchmark_B.nan_to_num(0.0).unsqueeze(1) * known_BT
    mean_T = (labels_BT * known_BT).sum(dim=0) / known_BT.sum(dim=0).clamp(min=1)
    slope_T = ((labels_BT - mean_T) * benchmark_BT).sum(dim=0) / benchmark_BT.square().sum(dim=0).clamp(min=1e-12)
    return labels_BT - (slope_T if share == 1 else share * slope_T) * benchmark_BT


def cross_entropy(
    logits_BTK: Tensor, targets_BT: Tensor, benchmark_B: Tensor | None = None, *, share: float = 1.0
) -> Tensor:
    """
    Return the mean negative log likelihood in nats over the known targets.

    A target between two classes counts for both, in proportion to its nearness, so that targets with seven bins need no
    head of their own. Residuals of a benchmark mostly lie between two classes. A target outside the classes counts for
    the outermost one.
    """
    known_BT = ~targets_BT.isnan()
    labels_BT = residual_labels(targets_BT.nan_to_num(0.5), known_BT, benchmark_B, share)
    place_BT = labels_BT.clamp(0, 1) * (len(TARGET_VALUES) - 1)
    below_BT = place_BT.floor()
    share_BT = place_BT - below_BT
    log_BTK = functional.log_softmax(logits_BTK, dim=-1)
    at_below = log_BTK.gather(-1, below_BT.long().unsqueeze(-1)).squeeze(-1)
    at_above = log_BTK.gather(-1, place_BT.ceil().long().unsqueeze(-1)).squeeze(-1)
    nats_BT = (share_BT - 1) * at_below - share_BT * at_above
    return (nats_BT * known_BT).sum() / known_BT.sum().clamp(min=1)


def centred_ranks(targets_BT: Tensor) -> Tensor:
    """
    Return each target's tie-kept rank among its known rows, ``(average rank - 0.5) / n - 0.5``; 0 where unknown.

    The ranks of a Numerai target are those of its bins (``TARGET_RANKS``); a target with other shares keeps its order
    and gets the same spread. Shapes ``[B, T]``.
    """
    known_BT = ~targets_BT.isnan()
    columns_TB = targets_BT.nan_to_num(torch.inf).T.contiguous()
    sorted_TB = columns_TB.sort(dim=1).values
    below_TB = torch.searchsorted(sorted_TB, columns_TB)
    not_above_TB = torch.searchsorted(sorted_TB, columns_TB, right=True)
    count_T1 = known_BT.sum(dim=0).clamp(min=1).unsqueeze(1)
    ranks_TB = (below_TB + not_above_TB).to(targets_BT.dtype) / (2 * count_T1) - 0.5
    return torch.where(known_BT, ranks_TB.T, 0.0)


def mean_squared_error(
    logits_BTK: Tensor, targets_BT: Tensor, benchmark_B: Tensor | None = None, *, share: float = 1.0
) -> Tensor:
    """
    Return the mean squared difference of expected and realised centred rank over the known targets.

    Rows must be of one era, because labels are ranks within it. An era that is split into parts is ranked in each part.
    """
    known_BT = ~targets_BT.isnan()
    labels_BT = residual_labels(centred_ranks(targets_BT), known_BT, benchmark_B, share)
    error_BT = expected_value(logits_BTK, TARGET_RANKS) - labels_BT
    return (error_BT.square() * known_BT).sum() / known_BT.sum().clamp(min=1)


def pearson(logits_BTK: Tensor, targets_BT: Tensor, benchmark_B: Tensor | None = None, *, share: float = 1.0) -> Tensor:
    """
    Return one minus the mean over targets of the correlation between CORR's score and the transformed target.

    With a benchmark it is the correlation between MMC's score and the residual of the target. Rows must be of one era: a
    correlation across eras would reward predictions of the era.
    """
    known_BT = ~targets_BT.isnan()
    centred_BT = targets_BT.nan_to_num(0.5) - 0.5
    if benchmark_B is None:
        actual_BT = centred_BT.sign() * centred_BT.abs() ** 1.5
        score_BT = expected_value(logits_BTK, CORR_VALUES)
    else:
        actual_BT = residual_labels(centred_BT, known_BT, benchmark_B, share)
        score_BT = expected_value(logits_BTK, TARGET_VALUES)
    return 1 - mean_over_targets(correlation(score_BT, actual_BT, known_BT), known_BT)


def benchmark_correlation(logits_BTK: Tensor, targets_BT: Tensor, benchmark_B: Tensor) -> Tensor:
    """
    Return the mean over targets of the squared correlation between CORR's score, the served one, and the benchmark.

    A penalty on it leaves the prediction less of the benchmark's part, and so more MMC for its CORR (a study of October
    2026: .3 x the square raised BMC of a perceptron from .0068 to .0081). Rows need a target and the benchmark; rows must
    be of one era. The benchmark is NaN where unknown.
    """
    known_BT = ~targets_BT.isnan() & ~benchmark_B.isnan().unsqueeze(1)
    benchmark_BT = benchmark_B.nan_to_num(0.0).unsqueeze(1).expand_as(targets_BT)
    correlation_T = correlation(expected_value(logits_BTK, CORR_VALUES), benchmark_BT, known_BT)
    return mean_over_targets(correlation_T.square(), known_BT)


def correlation(score_BT: Tensor, actual_BT: Tensor, known_BT: Tensor) -> Tensor:
    """Return the correlation of each target's columns over its known rows, 0 without any. Shape ``[T]``."""
    count_T = known_BT.sum(dim=0).clamp(min=1)
    actual_BT = (actual_BT - (actual_BT * known_BT).sum(dim=0) / count_T) * known_BT
    score_BT = (score_BT - (score_BT * known_BT).sum(dim=0) / count_T) * known_BT
    # 1e-8 in the variance keeps the gradient finite while the head still predicts the same for every row.
    scale_T = torch.sqrt(
        (score_BT.square().sum(dim=0) + 1e-8 * count_T) * (actual_BT.square().sum(dim=0) + 1e-8 * count_T)
    )
    return (score_BT * actual_BT).sum(dim=0) / scale_T


def mean_over_targets(value_T: Tensor, known_BT: Tensor) -> Tensor:
    """Return the mean over the targets that have a known row."""
    usable_T = known_BT.any(dim=0)
    return (value_T * usable_T).sum() / usable_T.sum().clamp(min=1)


LOSSES = {"cross_entropy": cross_entropy, "mse": mean_squared_error, "pearson": pearson}
"""Every loss by its name in settings."""


def loss(
    name: str, *, pearson_weight: float = 0.0, residual: float | None = None, benchmark_penalty: float = 0.0
) -> Loss:
    """
    Return the loss of that name, plus *pearson_weight* times the per-era correlation loss, plus the penalty.

    Args:
        name: A name in :data:`LOSSES`.
        pearson_weight: Weight of the correlation loss.
        residual: Share of the projection on the benchmark that labels lose; ``None`` learns the targets.
        benchmark_penalty: Weight of :func:`benchmark_correlation`; it is left out where there is no benchmark.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in LOSSES:
        raise ValueError(f"loss {name!r} is unknown; known: {', '.join(LOSSES)}")
    base, share = LOSSES[name], residual or 0.0

    def total(logits_BTK: Tensor, targets_BT: Tensor, benchmark_B: Tensor | None = None) -> Tensor:
        removed_B = None if residual is None else benchmark_B
        value = base(logits_BTK, targets_BT, removed_B, share=share)
        if pearson_weight:
            value = value + pearson_weight * pearson(logits_BTK, targets_BT, removed_B, share=share)
        if benchmark_penalty and benchmark_B is not None:
            value = value + benchmark_penalty * benchmark_correlation(logits_BTK, targets_BT, benchmark_B)
        return value

    return total
