"""
Models compared on the same eras: per-era differences, how sure their mean is, and what the eras could have shown at all.

Eras are hard or easy for all models alike, so a difference is far surer than the two scores it is made of.
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
    One model over all validated eras.

    Attributes:
        name: Of the model.
        corr: Mean CORR.
        sharpe: Of CORR.
        max_drawdown: Of the cumulative sum of CORR.
        bmc: Mean contribution to the benchmark model; NaN where no era has its predictions.
        eras: Scored eras.
    """

    name: str
    corr: float
    sharpe: float
    max_drawdown: float
    bmc: float
    eras: int

    @classmethod
    def of(cls, name: str, scores: Mapping[str, Floats]) -> "ModelSummary":
        """Summarize CORR and BMC of the same eras in order, NaN where there is none."""
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
    A paired comparison.

    Attributes:
        score: ``CORR`` or ``BMC``.
        late: The rung in question.
        early: What it is compared with.
        mean: Of the per-era differences.
        error: Newey-West error of the mean.
        detectable: Smallest difference that these eras would have shown with probability .8.
        eras: How many.
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
        """Return mean over error, 0 where nothing differs."""
        return self.mean / self.error if self.error else 0.0


def paired_differences(
    found: Mapping[str, Mapping[str, Floats]], steps: Sequence[tuple[str, str]], *, lag: int
) -> tuple[Difference, ...]:
    """
    Compare models era by era, leaving out eras that either could not be scored in.

    Args:
        found: Per model, CORR and BMC of the same eras in order, NaN where there is none. Shape ``(eras,)`` each.
        steps: Which model is compared with which earlier one.
        lag: Of the Newey-West errors.

    Raises:
        TooFewEras: There are too few eras for the lag. BMC of too few eras is left out.
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
