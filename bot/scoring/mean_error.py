"""
Standard error of a mean over eras whose returns overlap, with the degrees of freedom to judge small probabilities by.

A percentile of the block bootstrap is good enough to show an interval of 95 %. It is too narrow to refuse one false
promotion in a thousand: with nine blocks of 12 eras, the bootstrap's error is three quarters of the true one, and it is
itself uncertain. So the overlap, which is known, enters here: the scores of eras that are *k* apart share
``1 - k / overlap`` of their days, and their correlation is that share (measured on Numerai's data at 20 days: .71, .45,
.26, .10 at lags 1 to 4, against .75, .50, .25, 0). Mean and variance of the sample variance follow from these
correlations, and with them the factor to the variance of the mean and its degrees of freedom (F. E. Satterthwaite, *An
approximate distribution of estimates of variance components*, Biometrics Bulletin 2, 1946).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import TooFewEras

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanError:
    """
    A mean with its standard error.

    Attributes:
        mean: Mean of the values.
        error: Standard error of the mean.
        freedom: Degrees of freedom of the error.
    """

    mean: float
    error: float
    freedom: float

    def low(self, confidence: float) -> float:
        """Return the one-sided lower bound: the true mean is over it with probability *confidence*."""
        return self.mean - self.error * student_quantile(confidence, self.freedom)

    def high(self, confidence: float) -> float:
        """Return the one-sided upper bound: the true mean is under it with probability *confidence*."""
        return self.mean + self.error * student_quantile(confidence, self.freedom)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overlap:
    """
    Properties of the sample variance of overlapping values.

    Attributes:
        factor: Variance of the mean, over the expected sample variance.
        freedom: Degrees of freedom of the sample variance.
    """

    factor: float
    freedom: float


def mean_error(values: Floats, noise: Floats, *, overlap: int) -> MeanError:
    """
    Return the mean of per-era values with the larger of two errors.

    - That of the known overlap, from the sample variance. It is never under the error of the block bootstrap with blocks of
      *overlap* eras, because means of blocks vary less than single values.
    - That of finite rows, which is known however few eras there are.

    Args:
        values: Values in order of eras, all finite. Shape ``(eras,)``.
        noise: Standard deviation of each value that comes from the era's finite rows. Shape ``(eras,)``.
        overlap: Eras that share returns (4 for a 20-day target, 12 for a 60-day target).

    Raises:
        TooFewEras: There are fewer than two blocks.
    """
    count = len(values)
    if count < 2 * overlap:
        raise TooFewEras(f"{count} eras are fewer than two blocks of {overlap}")
    known = _overlap(count, overlap)
    error = max(float(np.sqrt(values.var() * known.factor)), float(np.sqrt((noise**2).sum()) / count))
    return MeanError(mean=float(values.mean()), error=error, freedom=known.freedom)


def student_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t distribution."""
    # Late, because scipy takes .1 s to import and only a comparison with a champion needs it.
    from scipy.special import stdtrit  # noqa: PLC0415

    return float(stdtrit(freedom, probability))


@cache
def _overlap(count: int, overlap: int) -> _Overlap:
    """Return the properties of the sample variance of *count* values that share returns with *overlap* eras."""
    place = np.arange(count)
    shared = np.clip(1 - np.abs(place[:, None] - place) / overlap, 0, None)
    centred = shared - shared.mean(axis=0)
    expected = np.trace(centred) / count
    return _Overlap(
        factor=float(shared.mean() / expected),
        freedom=float(np.trace(centred) ** 2 / np.trace(centred @ centred)),
    )
