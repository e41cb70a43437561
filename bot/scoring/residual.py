"""What a benchmark leaves of a target, and what predictions earn with it: BMC in two steps."""

import numpy as np
import numpy.typing as npt

from models.inference.ensemble import gaussianize

Floats = npt.NDArray[np.float32]


def bmc_of_residual(predictions: npt.NDArray[np.float64], residual: npt.NDArray[np.float64]) -> float:
    """Return BMC from what the benchmark leaves of the target: what :func:`bot.scoring.metrics.bmc` computes at once."""
    return float(4 * (gaussianize(predictions) @ (residual - residual.mean())) / len(residual))


def residual(targets: Floats, benchmark: Floats) -> Floats:
    """Return targets less their projection on the benchmark, NaN where either is. Shapes ``(rows, T)``, ``(rows,)``."""
    left = np.where(np.isfinite(benchmark)[:, None], targets, np.nan).astype(np.float64)
    for column in left.T:
        known = np.isfinite(column)
        if known.any():
            # As BMC has it: ranked among the rows that count.
            opinion = gaussianize(benchmark[known])
            column[known] -= (opinion @ (column[known] - column[known].mean())) / (opinion @ opinion) * opinion
    return left.astype(np.float32)
