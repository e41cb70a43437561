"""BMC in two steps: the residual of a target after projection on a benchmark, and the score of predictions with it."""

import numpy as np
import numpy.typing as npt

from models.inference.ensemble import gaussianize

Floats = npt.NDArray[np.float32]


def bmc_of_residual(predictions: npt.NDArray[np.float64], residual: npt.NDArray[np.float64]) -> float:
    """
    Return the BMC of one era's predictions.

    It equals :func:`bot.scoring.metrics.bmc`, but the benchmark is taken out of the target instead of the predictions.

    Args:
        predictions: Predictions of one era. Shape ``(rows,)``.
        residual: Residual of the target, as :func:`residual` returns it, in rows where it is known. Shape ``(rows,)``.
    """
    return float(4 * (gaussianize(predictions) @ (residual - residual.mean())) / len(residual))


def residual(targets: Floats, benchmark: Floats) -> Floats:
    """
    Return the residual of one era's targets after projection on a benchmark.

    Args:
        targets: Targets, NaN where unknown. Shape ``(rows, T)``.
        benchmark: Predictions of the benchmark, NaN where missing. Shape ``(rows,)``.

    Returns:
        The residual, NaN where the target or the benchmark is. Shape ``(rows, T)``.
    """
    left = np.where(np.isfinite(benchmark)[:, None], targets, np.nan).astype(np.float64)
    for column in left.T:
        known = np.isfinite(column)
        if known.any():
            # As in BMC, the benchmark is ranked among the rows that have both.
            b = gaussianize(benchmark[known])
            column[known] -= (b @ (column[known] - column[known].mean())) / (b @ b) * b
    return left.astype(np.float32)
