"""
Comparison of models on the same eras: mean of the per-era differences, its standard error and detectable difference.

An era is hard or easy for all models, so a paired difference is much more precise than the two scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import TooFewEras, detectable, newey_west_error
from bot.scoring.summaries import max_drawdown, sharpe

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """
    Scores of one model over all validated eras.

    Attributes:
        name: Name of the model.
        corr: Mean CORR.
        sharpe: Sharpe ratio of CORR.
        max_drawdown: Largest drawdown of the cumulative sum of CORR.
        bmc: Mean contribution to the benchmark model; NaN if no era has its predictions.
        eras: Number of scored eras.
    """

    name: str
    corr: float
    sharpe: float
    max_drawdown: float
    bmc: float
    eras: int

    @classmethod
    def of(cls, name: str, scores: Mapping[str, Floats]) -> "ModelSummary":
        """Summarize ``CORR`` and ``BMC`` of the same eras in order, NaN where missing. Shape ``(eras,)`` each."""
        series, contribution = (scores[score][np.isfinite(scores[score])] for score in ("CORR", "BMC"))
        return cls(
            name=name,
            corr=float(series.mean()) if len(series) else float("nan"),
            sharpe=sharpe(series),
            max_drawdown=max_drawdown(series),
            bmc=float(contribution.mean()) if len(contribution) else float("nan"),
            eras=len(series),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    A paired comparison of two models.

    Attributes:
        score: ``CORR`` or ``BMC``.
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
    found: Mapping[str, Mapping[str, Floats]], steps: Sequence[tuple[str, str]], *, lag: int
) -> tuple[Difference, ...]:
    """
    Compare pairs of models era by era, in the eras in which both have a score.

    Args:
        found: ``CORR`` and ``BMC`` of each model on the same eras in order, NaN where missing. Shape ``(eras,)`` each.
        steps: Pairs of models: the late one, and the early one it is compared with.
        lag: Number of lags of the Newey-West errors.

    Returns:
        The differences in CORR, then in BMC; without BMC of pairs with too few eras.

    Raises:
        TooFewEras: There are too few eras of CORR for the lag.
    """
    differences = []
    for score in ("CORR", "BMC"):
        for late, early in steps:
            difference = found[late][score] - found[early][score]
            difference = difference[np.isfinite(difference)]
            try:
                error = newey_west_error(difference, lag=lag)
            except TooFewEras:
                if score == "BMC":
                    continue
                raise
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
