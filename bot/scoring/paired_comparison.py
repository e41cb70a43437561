"""
Comparison of models on the same eras: mean of the per-era differences, its standard error and detectable difference.

An era is hard or easy for all models, so a paired difference is much more precise than the two scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import TooFewEras, detectable, newey_west_error

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    A paired comparison of two models.

    Attributes:
        score: Name of the score.
        late: Name of the model in question.
        early: Name of the model it is compared with.
        mean: Mean of the per-era differences, late minus early.
        error: Newey-West standard error of the mean.
        detectable: Smallest true difference that a test on these eras detects with probability 0.8.
        eras: Number of eras in which both models have a score.
    """

    score: str
    late: str
    early: str
    mean: float
    error: float
    detectable: float
    eras: int

    @property
    def t(self) -> float:
        """Return mean over error, 0 if no era differs."""
        return self.mean / self.error if self.error else 0.0


def paired_differences(
    found: Mapping[str, Mapping[str, Floats]],
    steps: Sequence[tuple[str, str]],
    *,
    lag: int,
    scores: Sequence[str] = ("CORR", "BMC"),
) -> tuple[Difference, ...]:
    """
    Compare pairs of models era by era, in the eras in which both have a score.

    Args:
        found: Scores of each model on the same eras in order, NaN where missing. Shape ``(eras,)`` each.
        steps: Pairs of models: the late one, and the early one it is compared with.
        lag: Number of lags of the Newey-West errors.
        scores: Names of the scores.

    Returns:
        The differences in each score; without those of pairs with too few eras, except of the first score.

    Raises:
        TooFewEras: There are too few eras of the first score for the lag.
    """
    differences = []
    for score in scores:
        for late, early in steps:
            difference = found[late][score] - found[early][score]
            difference = difference[np.isfinite(difference)]
            try:
                error = newey_west_error(difference, lag=lag)
            except TooFewEras:
                if score == scores[0]:
                    raise
                continue
            differences.append(
                Difference(
                    score=score,
                    late=late,
                    early=early,
                    mean=float(difference.mean()),
                    error=error,
                    detectable=detectable(difference, lag=lag),
                    eras=len(difference),
                )
            )
    return tuple(differences)
