"""Results of a study: a row for each trial, and whether the best one beats the recipe that the study began with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial, TrialState

from bot.research.trial_worker import BASE, DONE, SURPLUS, repeated
from bot.scoring.bootstrap import TooFewEras, newey_west_error

REASON = "reason"
"""User attribute of a trial that was pruned for another reason than a low value."""
PAY = "pay"
"""User attribute of a complete trial: its pay in each validated era, in the order of the folds."""
CORR = "corr"
"""User attribute: mean CORR of the finished folds."""
CONTRIBUTION = "contribution"
"""User attribute: mean MMC, or BMC in eras without a meta model, of the finished folds; absent where no era counts it."""

LEVEL = 0.05
"""Chance that a winner is called better although no trial is, shared among all trials (Bonferroni)."""
SHOWN = 3
"""Parameters of a trial in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """
    A trial of the table.

    Attributes:
        number: Its number.
        state: ``complete``, ``pruned``, ``failed``, ``running``, ``waiting``, or ``repeated`` by a later trial.
        value: Its value, that of the finished folds where it was pruned; NaN where there is none.
        corr: Mean CORR of its finished folds; NaN likewise.
        contribution: Mean MMC or BMC of its finished folds; NaN likewise.
        about: Parameters that differ most from the base, or the reason for its end.
    """

    number: int
    state: str
    value: float
    corr: float
    contribution: float
    about: str


def rows(trials: Sequence[FrozenTrial], base: Mapping[str, Any]) -> tuple[TrialRow, ...]:
    """Return a row for each trial that the study counted; *base* are the parameters of the recipe it began with."""
    again = repeated(trials)
    names = {TrialState.FAIL: "failed"}
    return tuple(
        TrialRow(
            number=one.number,
            state="repeated" if one.number in again else names.get(one.state, one.state.name.lower()),
            value=math.nan if one.state not in DONE or one.value is None else one.value,
            corr=one.user_attrs.get(CORR, math.nan),
            contribution=one.user_attrs.get(CONTRIBUTION, math.nan),
            about=one.user_attrs.get(REASON) or ("base" if BASE in one.user_attrs else _difference(one.params, base)),
        )
        for one in trials
        if SURPLUS not in one.user_attrs
    )


def verdict(trials: Sequence[FrozenTrial], *, lag: int) -> str:
    """
    Return one sentence: whether the best trial beats the base beyond noise.

    The difference in pay is paired by era, its error is that of Newey and West with *lag* lags. The best of many trials looks
    better than it is, so that the limit of noise grows with the number of trials.
    """
    complete = [one for one in trials if one.state == TrialState.COMPLETE and one.value is not None]
    base = next((one for one in complete if BASE in one.user_attrs), None)
    if base is None:
        return "the recipe that the study began with has no value, so nothing shows whether the best trial is better"
    best = max(complete, key=lambda one: one.value or -math.inf)
    others = len(complete) - 1
    if best is base:
        return f"none of the {others} other complete trials beats the recipe that the study began with"
    difference = _series(best) - _series(base)
    mean, began = float(difference.mean()), "the recipe that the study began with"
    try:
        error = newey_west_error(difference, lag=lag)
    except TooFewEras as short:
        return f"trial {best.number} pays {mean:+.5f} an era more than {began}, but {short} to measure the noise"
    noise = NormalDist().inv_cdf(1 - LEVEL / 2 / others) * error
    found = "beyond noise" if mean > noise else "which is noise"
    return (
        f"trial {best.number} pays {mean:+.5f} an era more than {began}, {found}"
        f" ({len(difference)} eras, error {error:.5f}, limit {noise:.5f} for the best of {others} trials)"
    )


def _series(trial: FrozenTrial) -> npt.NDArray[np.float64]:
    return np.array(trial.user_attrs[PAY], dtype=np.float64)


def _difference(parameters: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """Return the parameters that differ from the base by the largest factor, in few words."""
    changed = {name: value for name, value in parameters.items() if name in base and value != base[name]}
    first = sorted(changed, key=lambda name: _factor(changed[name], base[name]), reverse=True)
    words = [f"{name} {_short(base[name])}→{_short(changed[name])}" for name in first[:SHOWN]]
    return ", ".join(words) + (f", {len(first) - SHOWN} more" if len(first) > SHOWN else "")


def _factor(value: Any, own: Any) -> float:  # noqa: ANN401 - a value of any option
    if isinstance(value, str):
        return math.inf
    return abs(math.log(value / own)) if value * own > 0 else math.inf


def _short(value: Any) -> str:  # noqa: ANN401 - a value of any option
    return f"{value:.2g}" if isinstance(value, float) else str(value)
