"""Residual of a target after projection on a benchmark: a model that learns it contributes more than one that learns the target."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def residual(target: Floats, benchmark: Floats, *, share: float = 1.0) -> Floats:
    """
    Return one era's target less its projection on a benchmark; its mean stays.

    It is the label of :func:`models.training._losses.residual_labels`, for models that take labels and no loss.

    Args:
        target: Target, NaN where unknown. Shape ``(rows,)``.
        benchmark: Normal scores of the benchmark's predictions, NaN where missing. Shape ``(rows,)``.
        share: Share of the projection that is removed, 0 to 1.

    Returns:
        The residual, NaN where the target or the benchmark is. Shape ``(rows,)``.
    """
    known = np.isfinite(target) & np.isfinite(benchmark)
    left = np.full(len(target), np.nan, dtype=np.float32)
    if known.any():
        truth, against = target[known].astype(np.float64), benchmark[known].astype(np.float64)
        slope = ((truth - truth.mean()) @ against) / max(float(against @ against), 1e-12)
        left[known] = truth - share * slope * against
    return left
