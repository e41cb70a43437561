"""
From measurements of eras to the figures a person reads: means with intervals, thirds of the eras, and the worst of them.

Everything returned is plain numbers, texts, lists and mappings, ready for JSON; a figure that cannot be told is ``nan``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.judging.judge import ENSEMBLE
from bot.reporting._era_measurements import EraMeasurements
from bot.reporting._error_analysis import by_level, culprits, mean_interval
from bot.scoring.bootstrap import Interval
from bot.scoring.summaries import RECENT, Summary, Terms, payout

WORST = 8
"""Eras that are looked at one by one."""

NAMED = 5
"""Features and groups named for each of them."""

Floats = npt.NDArray[np.float64]
Content = dict[str, Any]

REGIMES: Mapping[str, str] = {
    "time": "thirds of the eras, oldest first",
    "feature strength": "root mean square correlation of the features with the target in the era",
    "benchmark": "CORR of the benchmark model in the era: how hard it was for a standard LightGBM",
    "exposure": "largest correlation of the ensemble with a feature in the era",
    "missing features": "share of features that have one value in the whole era, which is how Numerai writes missing",
    "rows": "rows in the era",
}
"""What eras are split by, each into a low, a middle and a high third of their own values."""


def member_figures(series: Floats, *, block: int) -> Content:
    """Return mean, interval and risk of one member's per-era scores, over all eras and over the newest."""
    recent = Summary.of(series, lag=block, newest=RECENT)
    return {
        **asdict(Summary.of(series, lag=block)),
        **_spread(mean_interval(series, block=block)),
        "recent": {**asdict(recent), **_spread(mean_interval(series[-RECENT:], block=block))},
    }


def target_figures(measured: EraMeasurements, *, block: int) -> Content:
    """Return each member's CORR with each target."""
    return {
        target: {member: _spread(mean_interval(series, block=block)) for member, series in by.items()}
        for target, by in measured.by_target.items()
    }


def pay_figures(measured: EraMeasurements, terms: Terms, target: str, *, block: int) -> tuple[Content | None, str]:
    """
    Return what each member would have been paid per era for a stake of 1, by a round's own terms; or none, and why.

    A score counts as the one that was measured if its name is that, or that with the horizon of *target* behind it.
    """
    days = target.rsplit("_", 1)[-1]
    names = {one: one.removesuffix(days) for one in terms.multipliers}
    absent = [one for one, name in names.items() if name not in measured.scores]
    if absent:
        return None, f"{terms.source} pays for {', '.join(absent)}, which {target} has no score of here"
    multipliers = {names[one]: value for one, value in terms.multipliers.items()}
    paid = {
        member: payout(
            {name: measured.scores[name][member] for name in multipliers},
            multipliers,
            clip=terms.clip,
            factor=terms.factor,
        )
        for member in measured.scores["corr"]
    }
    if not np.isfinite(paid[ENSEMBLE]).any():
        return None, "no era has every score that is paid for"
    members = {member: member_figures(series, block=block) for member, series in paid.items()}
    return {"terms": asdict(terms), "members": members}, ""


def churn_figures(judgement: Content, *, block: int) -> tuple[Content | None, str]:
    """Return how much the ensemble differs from the champion it was judged against, per era; or none, and why."""
    series = 1 - np.array(judgement["correlation"], dtype=np.float64)
    if not np.isfinite(series).any():
        return None, judgement["not_computed"].get("champion", "there was no champion to compare with")
    return {"champion": judgement["champion_id"], **_spread(mean_interval(series, block=block))}, ""


def regimes(measured: EraMeasurements, *, block: int) -> tuple[list[Content], dict[str, str]]:
    """
    Return CORR by thirds of the eras under each of :data:`REGIMES`, and why some could not be told.

    Groups' exposures are regimes of their own, ``exposure to <group>``, made by :func:`group_regimes`.
    """
    found, absent = [], {}
    values = era_measures(measured)
    for name, about in REGIMES.items():
        if name not in values:
            absent[f"regime {name}"] = measured.absent.get("bmc", "no predictions of it in these eras")
            continue
        levels = _levels(values[name], measured.scores["corr"], block)
        if levels:
            found.append({"name": name, "about": about, "levels": levels})
        else:
            absent[f"regime {name}"] = "it is the same in all eras, or there are fewer than three"
    return found, absent


def era_measures(measured: EraMeasurements) -> dict[str, Floats]:
    """Return what eras are split by. Shape ``(E,)`` each."""
    values = {
        "time": np.arange(len(measured.eras), dtype=np.float64),
        "feature strength": np.sqrt(np.nanmean(measured.returns**2, axis=1)),
        "exposure": np.abs(measured.exposure).max(axis=1),
        "missing features": np.array([shape.constant for shape in measured.shapes]),
        "rows": np.array([float(shape.rows) for shape in measured.shapes]),
    }
    benchmark = measured.others.get("benchmark")
    if benchmark is not None and np.isfinite(benchmark).any():
        values["benchmark"] = benchmark
    return values


def group_exposures(measured: EraMeasurements, groups: Mapping[str, Sequence[int]]) -> dict[str, Floats]:
    """Return the root mean square exposure of the ensemble to each group's features. Shape ``(E,)`` each."""
    return {
        name: np.sqrt((measured.exposure[:, list(positions)] ** 2).mean(axis=1)) for name, positions in groups.items()
    }


def group_regimes(measured: EraMeasurements, groups: Mapping[str, Sequence[int]], *, block: int) -> list[Content]:
    """Return CORR in the thirds of eras with low, middle and high exposure to each group."""
    return [
        {"name": name, "levels": levels}
        for name, exposure in group_exposures(measured, groups).items()
        if (levels := _levels(exposure, {ENSEMBLE: measured.scores["corr"][ENSEMBLE]}, block))
    ]


def bin_figures(measured: EraMeasurements, *, block: int) -> Content:
    """Return the mean target in each bin of each member's predictions, lowest predictions first."""
    return {
        member: [_spread(mean_interval(column, block=block)) for column in table.T]
        for member, table in measured.bins.items()
    }


def alike(measured: EraMeasurements) -> list[Content]:
    """Return the mean rank correlation of each pair that was measured, NaN where no era had both."""
    return [
        {"of": list(pair), "mean": float(np.nanmean(series)) if np.isfinite(series).any() else float("nan")}
        for pair, series in measured.alike.items()
    ]


def worst_eras(
    measured: EraMeasurements, features: Sequence[str], groups: Mapping[str, Sequence[int]]
) -> list[Content]:
    """Return the eras in which the ensemble scored least, each with what its features and groups cost."""
    series = measured.scores["corr"][ENSEMBLE]
    known = np.flatnonzero(np.isfinite(series))
    measures = era_measures(measured)
    found = []
    for index in known[np.argsort(series[known], kind="stable")][:WORST]:
        exposure, returns = measured.exposure[index], measured.returns[index]
        cost = np.nan_to_num(exposure * returns)
        by_group = sorted((float(cost[list(positions)].mean()), name) for name, positions in groups.items())
        found.append(
            {
                "era": measured.eras[index],
                "corr": {member: float(values[index]) for member, values in measured.scores["corr"].items()},
                "measures": {name: float(values[index]) for name, values in measures.items() if name != "time"},
                "features": [list(one) for one in culprits(exposure, returns, features, count=NAMED)],
                "groups": [[name, value] for value, name in by_group[:NAMED] if value < 0],
            }
        )
    return found


def top_exposures(measured: EraMeasurements, features: Sequence[str], *, count: int) -> list[Content]:
    """Return the features that the ensemble leans on most, by mean correlation over eras."""
    mean = measured.exposure.mean(axis=0)
    return [
        {"name": features[index], "mean": float(mean[index]), "most": float(np.abs(measured.exposure[:, index]).max())}
        for index in np.argsort(-np.abs(mean), kind="stable")[:count]
    ]


def _levels(measure: Floats, scores: Mapping[str, Floats], block: int) -> list[Content]:
    return [
        {
            "name": level.name,
            "start": level.start,
            "stop": level.stop,
            "eras": level.eras,
            "scores": {member: _spread(interval) for member, interval in level.scores.items()},
        }
        for level in by_level(measure, scores, block=block)
    ]


def _spread(interval: Interval) -> Content:
    return {"mean": interval.estimate, "low": interval.low, "high": interval.high}
