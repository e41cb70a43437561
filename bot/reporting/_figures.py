"""
Aggregation of per-era measurements into the figures of the report: means with intervals, thirds of the eras, worst eras.

Figures are numbers, texts, lists and mappings, ready for JSON; an unknown number is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.findings import Absent
from bot.reporting._era_measurements import EraMeasurements
from bot.reporting._error_analysis import BINS, by_level, costliest_features, mean_interval
from bot.reporting.report_page import Figures
from bot.scoring.bootstrap import Interval
from bot.scoring.summaries import RECENT, PayoutTerms, Summary, payout
from bot.serving.names import ENSEMBLE

WORST = 8
"""Number of worst eras in the report."""

COSTLIEST = 5
"""Number of features and groups named for each of the worst eras."""

Floats = npt.NDArray[np.float64]

REGIMES: Mapping[str, str] = {
    "time": "thirds of the eras, oldest first",
    "feature strength": "root mean square correlation of the features with the target in the era",
    "benchmark": "CORR of the benchmark model in the era: how difficult it was for a standard LightGBM",
    "exposure": "largest correlation of the ensemble with a feature in the era",
    "missing features": "share of features with one value in the whole era; Numerai writes missing features so",
    "rows": "rows in the era",
}
"""Measures by which eras are split into a low, a middle and a high third, and their descriptions."""


def member_figures(series: Floats, *, block: int, noise: Floats | None = None) -> dict[str, Any]:
    """
    Return mean, interval and risk of one member's per-era scores, over all eras and over the newest.

    *noise* is that of the scores' finite rows, see :func:`mean_interval`. Shape ``(E,)``.
    """
    newest = None if noise is None else noise[-RECENT:]
    recent = Summary.of(series, lag=block, newest=RECENT)
    return {
        **asdict(Summary.of(series, lag=block)),
        **_interval_figures(mean_interval(series, block=block, noise=noise)),
        "recent": {**asdict(recent), **_interval_figures(mean_interval(series[-RECENT:], block=block, noise=newest))},
    }


def target_figures(measured: EraMeasurements, *, block: int) -> Figures:
    """Return each member's CORR with each target."""
    noise = measured.noise("corr")
    return {
        target: {
            member: _interval_figures(mean_interval(series, block=block, noise=noise)) for member, series in by.items()
        }
        for target, by in measured.by_target.items()
    }


def pay_figures(measured: EraMeasurements, terms: PayoutTerms, target: str, *, block: int) -> Figures | Absent:
    """
    Return the expected payout of each member per era and NMR staked, by the payout factors of a round.

    A paid score is a measured one if it has the same name, or the same name followed by the horizon of *target*.
    """
    days = target.rsplit("_", 1)[-1]
    names = {one: one.removesuffix(days) for one in terms.multipliers}
    unknown = [one for one, name in names.items() if name not in measured.scores]
    if unknown:
        return Absent(f"{terms.source} pays for {', '.join(unknown)}, but there is no such score for {target}")
    multipliers = {names[one]: value for one, value in terms.multipliers.items()}
    payouts = {
        member: payout(
            {name: measured.scores[name][member] for name in multipliers},
            multipliers,
            clip=terms.clip,
            factor=terms.factor,
        )
        for member in measured.scores["corr"]
    }
    if not np.isfinite(payouts[ENSEMBLE]).any():
        return Absent("no era has every score that is paid for")
    # Its largest value: the noise of the scores may be one and the same.
    noise = terms.factor * np.sum([abs(value) * measured.noise(name) for name, value in multipliers.items()], axis=0)
    members = {member: member_figures(series, block=block, noise=noise) for member, series in payouts.items()}
    return {"terms": asdict(terms), "members": members}


def churn_figures(judgement: Figures, *, block: int) -> Figures | Absent:
    """Return the churn per era (1 - rank correlation) from the champion that the ensemble was judged against."""
    series = 1 - np.array(judgement["correlation"], dtype=np.float64)
    if not np.isfinite(series).any():
        return Absent(judgement["not_computed"].get("champion", "there was no champion to compare with"))
    return {"champion": judgement["champion_id"], **_interval_figures(mean_interval(series, block=block))}


def regime_figures(measured: EraMeasurements, *, block: int) -> dict[str, Figures | Absent]:
    """
    Return CORR by thirds of the eras for each of :data:`REGIMES`.

    Exposures to groups are regimes of their own, see :func:`group_regimes`.
    """
    found: dict[str, Figures | Absent] = {}
    values = era_measures(measured)
    for name, about in REGIMES.items():
        if name not in values:
            found[name] = Absent(measured.absent.get("bmc", "no predictions of it in these eras"))
            continue
        levels = _levels(values[name], measured, measured.scores["corr"], block)
        if levels:
            found[name] = {"name": name, "about": about, "levels": levels}
        else:
            found[name] = Absent("it is the same in all eras, or there are fewer than three")
    return found


def era_measures(measured: EraMeasurements) -> dict[str, Floats]:
    """Return the known measures of :data:`REGIMES`. Shape ``(E,)`` each."""
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


def group_regimes(measured: EraMeasurements, groups: Mapping[str, Sequence[int]], *, block: int) -> list[Figures]:
    """Return CORR in the thirds of eras with low, middle and high exposure to each group."""
    return [
        {"name": name, "levels": levels}
        for name, exposure in group_exposures(measured, groups).items()
        if (levels := _levels(exposure, measured, {ENSEMBLE: measured.scores["corr"][ENSEMBLE]}, block))
    ]


def bin_figures(measured: EraMeasurements, *, block: int) -> Figures:
    """Return the mean target in each bin of each member's predictions, lowest predictions first."""
    # A mean over a bin's rows, of a target whose steps are quarters.
    noise = np.sqrt(measured.target_variance / np.maximum(measured.rows / BINS, 1)) / 4
    return {
        member: [_interval_figures(mean_interval(column, block=block, noise=noise)) for column in table.T]
        for member, table in measured.bins.items()
    }


def correlation_figures(measured: EraMeasurements) -> list[Figures]:
    """Return the mean rank correlation of each pair; NaN if no era has predictions of both."""
    return [
        {"of": list(pair), "mean": float(np.nanmean(series)) if np.isfinite(series).any() else float("nan")}
        for pair, series in measured.alike.items()
    ]


def worst_eras(
    measured: EraMeasurements, features: Sequence[str], groups: Mapping[str, Sequence[int]]
) -> list[Figures]:
    """Return the eras with the ensemble's lowest CORR, each with its costliest features and groups."""
    series = measured.scores["corr"][ENSEMBLE]
    known = np.flatnonzero(np.isfinite(series))
    measures = era_measures(measured)
    found: list[Figures] = []
    for index in known[np.argsort(series[known], kind="stable")][:WORST]:
        exposure, returns = measured.exposure[index], measured.returns[index]
        cost = np.nan_to_num(exposure * returns)
        by_group = sorted((float(cost[list(positions)].mean()), name) for name, positions in groups.items())
        found.append(
            {
                "era": measured.eras[index],
                "corr": {member: float(values[index]) for member, values in measured.scores["corr"].items()},
                "measures": {name: float(values[index]) for name, values in measures.items() if name != "time"},
                "features": [list(one) for one in costliest_features(exposure, returns, features, count=COSTLIEST)],
                "groups": [[name, value] for value, name in by_group[:COSTLIEST] if value < 0],
            }
        )
    return found


def top_exposures(measured: EraMeasurements, features: Sequence[str], *, count: int) -> list[Figures]:
    """Return the features with the largest exposure of the ensemble, by absolute mean correlation over eras."""
    mean = measured.exposure.mean(axis=0)
    return [
        {"name": features[index], "mean": float(mean[index]), "most": float(np.abs(measured.exposure[:, index]).max())}
        for index in np.argsort(-np.abs(mean), kind="stable")[:count]
    ]


def _levels(measure: Floats, measured: EraMeasurements, scores: Mapping[str, Floats], block: int) -> list[Figures]:
    """Return the CORR of members in the thirds of the eras by a measure."""
    return [
        {
            "name": level.name,
            "start": level.start,
            "stop": level.stop,
            "eras": level.eras,
            "scores": {member: _interval_figures(interval) for member, interval in level.scores.items()},
        }
        for level in by_level(measure, scores, block=block, noise=measured.noise("corr"))
    ]


def _interval_figures(interval: Interval) -> dict[str, float]:
    return {"mean": interval.estimate, "low": interval.low, "high": interval.high}
