"""The live CORR that an artifact's hold-out lets expect, with the interval that so many overlapping rounds leave."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bot.scoring.bootstrap import TooFewEras, newey_west_error
from bot.tournament.columns import horizon, overlap_eras

EXTRA_ROUNDS = 4
"""Rounds beside those of the horizon whose scoring days overlap: scoring 60 market days takes 64 rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    Mean score that is expected of some rounds.

    Attributes:
        mean: Mean on the hold-out.
        low: Lower end of the interval that holds the mean of so many rounds in *level* of all cases.
        high: Upper end.
        eras: Eras of the hold-out with a score.
    """

    mean: float
    low: float
    high: float
    eras: int


def expect(holdout: Sequence[float | None], *, target: str, rounds: int, level: float = 0.95) -> Expected | None:
    """
    Return what the mean of consecutive live rounds is expected to be.

    The interval has two parts: the hold-out's own error (Newey-West), and the spread of a mean of *rounds* rounds, of which
    two that lie j rounds apart share 1 - j / (overlap + 1) of their scoring days and are correlated by as much.

    Args:
        holdout: Score of each era of the hold-out, ``None`` where there is none.
        target: Target of the scores; it gives the overlap.
        rounds: Number of live rounds, at least 1.
        level: Share of all cases.

    Returns:
        The expectation; ``None`` with fewer than two eras, or where the target has no horizon in its name.
    """
    series = np.array([value for value in holdout if value is not None], dtype=np.float64)
    try:
        lag, overlap = overlap_eras(target), horizon(target) + EXTRA_ROUNDS
    except ValueError:
        return None
    if len(series) < 2 or rounds < 1 or not np.isfinite(series).all():
        return None
    spread = float(series.std(ddof=1))
    try:
        error = newey_west_error(series, lag=lag)
    except TooFewEras:
        error = spread * math.sqrt(min(1.0, lag / len(series)))
    apart = np.arange(1, min(rounds - 1, overlap) + 1)
    shared = (1 - apart / rounds) * (1 - apart / (overlap + 1))
    variance = spread**2 * (1 + 2 * float(shared.sum())) / rounds
    width = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance + error**2)
    mean = float(series.mean())
    return Expected(mean=mean, low=mean - width, high=mean + width, eras=len(series))
