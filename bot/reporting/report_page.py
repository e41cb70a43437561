"""
The page of an evaluation: one HTML file that loads nothing else.

The page is drawn from the figures of :mod:`bot.reporting.evaluate` alone, so it can be drawn again from their JSON.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bot.reporting._sentences import beside, decision_sentence, score_sentences, sections
from bot.reporting.chart_axes import format_number
from bot.reporting.charts import Bar, Line, bar_chart, heat_chart, is_drawn, line_chart
from bot.serving.names import ENSEMBLE
from bot.system.files import publish
from bot.tournament.columns import FEATURE_PREFIX

SCHEMA = 1
"""Version of the format of the figures."""

SCORES = {"corr": "CORR", "mmc": "MMC", "bmc": "BMC", "fnc": "FNC"}
COLUMNS = 60
"""Largest number of columns of a heat chart over eras; neighbouring eras are averaged to fit."""

SHOWN = 12
"""Number of features in a chart of importance or exposure."""

Floats = npt.NDArray[np.float64]
Figures = Mapping[str, Any]
"""The figures of an evaluation, or a part of them: JSON as Python values."""


def render_page(figures: Figures) -> str:
    """
    Return the page of an evaluation as HTML.

    Args:
        figures: Result of :meth:`bot.reporting.evaluate.Evaluator.evaluate`, or its JSON read back.
    """
    environment = Environment(
        loader=PackageLoader("bot"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = format_number
    environment.filters["spread"] = format_interval
    template, charts = environment.get_template("report.html.j2"), draw_charts(figures)
    return template.render(
        one=figures,
        charts=charts,
        scores=SCORES,
        ensemble=ENSEMBLE,
        decided=decision_sentence(figures["decision"]),
        reading=score_sentences(figures),
        beside=beside(figures),
        sections=sections(figures),
    )


def write(figures: Figures, path: Path) -> None:
    """Write the page of an evaluation in one atomic step."""
    publish(path, render_page(figures).encode())


def draw_charts(figures: Figures) -> dict[str, Markup]:
    """Return the charts of the page by name, without those that have nothing to draw."""
    charts = {
        **_era_charts(figures),
        **_importance_charts(figures),
        **_calibration_charts(figures),
        "correlations": _correlation_chart(figures),
        "weights": bar_chart("Weights", [Bar(name=name, value=value) for name, value in figures["weights"].items()]),
        "bins": _bin_chart(figures),
        "exposure": _exposure_chart(figures),
        "exposed_features": bar_chart(
            "Features with the largest exposure",
            [Bar(name=_short(one["name"]), value=one["mean"]) for one in figures["exposure"]["features"][:SHOWN]],
            note="mean correlation of the ensemble with the feature over eras",
        ),
        "group_regimes": _group_regime_chart(figures),
    }
    return {name: chart for name, chart in charts.items() if is_drawn(chart)}


def format_interval(figure: Figures, decimals: int = 4) -> Markup:
    """Return a mean as text, with its interval under it if the interval is known."""
    low, high = format_number(figure["low"], decimals), format_number(figure["high"], decimals)
    mean = format_number(figure["mean"], decimals)
    known = figure["low"] is not None and math.isfinite(figure["low"])
    return Markup("{}<small>{} to {}</small>").format(mean, low, high) if known else Markup(mean)  # noqa: S704 - digits


def _era_charts(figures: Figures) -> dict[str, Markup]:
    """Draw the series with one value per era."""
    eras = figures["eras"]
    corr = _series(figures, "corr")
    window = max(min(52, len(eras) // 4), 4)
    charts = {
        "corr": line_chart(
            "Cumulative CORR",
            eras,
            [*_lines(corr, running_sum), *_reference_lines(figures)],
            decimals=3,
            across="era",
            note="sum of CORR over eras that these members were not trained on",
        ),
        "drawdown": line_chart(
            "Drawdown",
            eras,
            _lines(corr, drawdown),
            decimals=3,
            across="era",
            note="cumulative CORR less its highest value so far",
        ),
        "sharpe": line_chart(
            "Rolling Sharpe",
            eras,
            _lines(corr, lambda series: rolling_sharpe(series, window)),
            decimals=2,
            across="era",
            note=f"mean over standard deviation of CORR in the last {window} eras",
        ),
        "era": line_chart("CORR by era", eras, _lines(corr, np.array), across="era", note="one value per era"),
        "largest_exposure": line_chart(
            "Largest exposure",
            eras,
            [Line(name="largest", values=figures["exposure"]["most"])],
            decimals=3,
            across="era",
            note="largest absolute correlation of the ensemble with one feature",
        ),
    }
    for score, reference in (("mmc", "meta model"), ("bmc", "benchmark model")):
        if score in figures["series"]:
            charts[score] = line_chart(
                f"Cumulative {SCORES[score]}",
                eras,
                _lines(_series(figures, score), running_sum),
                decimals=3,
                across="era",
                note=f"contribution to the {reference}; gaps are eras without its predictions",
            )
    if champion := figures["judgement"]["champion"]:
        charts["champion"] = _champion_chart(figures["judgement"]["holdout"], champion)
    return charts


def _champion_chart(challenger: Figures, champion: Figures) -> Markup:
    """Draw challenger minus champion, summed over the eras that neither was trained on."""
    positions = [challenger["eras"].index(era) for era in champion["eras"]]
    lines = []
    for score, members in champion["scores"].items():
        ours = _floats(challenger["scores"][score][ENSEMBLE])[positions]
        lines.append(Line(name=SCORES[score], values=running_sum(ours - _floats(members[ENSEMBLE])).tolist()))
    note = "sum of challenger minus champion; above zero the challenger is ahead"
    return line_chart("Challenger against champion", champion["eras"], lines, decimals=3, across="era", note=note)


def _reference_lines(figures: Figures) -> list[Line]:
    """Return cumulative CORR of the benchmark model and of the champion."""
    lines = []
    if benchmark := figures["others"].get("benchmark"):
        lines.append(Line(name="benchmark", values=running_sum(_floats(benchmark)).tolist(), dashed=True))
    if champion := figures["judgement"]["champion"]:
        known = dict(zip(champion["eras"], champion["scores"]["corr"][ENSEMBLE], strict=True))
        values = _floats([known.get(era) for era in figures["eras"]])
        lines.append(Line(name="champion", values=running_sum(values).tolist(), dashed=True))
    return lines


def _importance_charts(figures: Figures) -> dict[str, Markup]:
    """Draw gain of the trees and permutation losses of every member."""
    charts = {}
    importance = figures["importance"]
    for name, parts in importance["gain"].items():
        for part, weights in parts.items():
            note = "share of all gain, 95 % interval by bootstrap over runs of trees"
            charts[f"gain {name} {part}"] = _weight_chart(f"{name}: gain by {part[:-1]}", weights, 3, note)
    for name, parts in importance["permutation"].items():
        for part, weights in parts.items():
            title = f"{name}: permutation by {part[:-1]}"
            note = f"CORR lost when permuted within eras, {importance['eras']} eras, 95 % interval"
            charts[f"permutation {name} {part}"] = _weight_chart(title, weights, 4, note)
    return charts


def _weight_chart(title: str, weights: Sequence[Figures], decimals: int, note: str) -> Markup:
    bars = [
        Bar(name=_short(one["name"]), value=_float(one["value"]), low=_float(one["low"]), high=_float(one["high"]))
        for one in weights[: max(SHOWN, 13)]
    ]
    return bar_chart(title, bars, decimals=decimals, note=note)


def _calibration_charts(figures: Figures) -> dict[str, Markup]:
    """Draw predicted probabilities of the network's classes beside observed shares."""
    calibration = figures["calibration"]
    if calibration is None:
        return {}
    predicted, observed = (np.array([_floats(row) for row in calibration[key]]) for key in ("said", "seen"))
    classes = [f"target {value:g}" for value in calibration["classes"]]
    x = sorted(value for value in predicted.ravel().tolist() if math.isfinite(value))
    lines = [Line(name="calibrated", values=x, dashed=True)]
    for name, probabilities, shares in zip(classes, predicted.tolist(), observed.tolist(), strict=True):
        known = dict(zip(probabilities, shares, strict=True))
        lines.append(Line(name=name, values=[known.get(place, math.nan) for place in x], joined=True))
    curve = line_chart(
        "Predicted and observed shares",
        [f"{place:.3f}" for place in x],
        lines,
        x=x,
        decimals=3,
        across="predicted share",
        note="each point is a tenth of an era's rows for one class; calibrated probabilities lie on the dashed line",
    )
    gaps = heat_chart(
        "Observed minus predicted, by class and tenth",
        classes,
        [f"{one + 1}" for one in range(predicted.shape[1])],
        (observed - predicted).tolist(),
        decimals=3,
        down="class",
        across="tenth of the rows, least probable first",
        note="above zero the class is predicted too rarely",
    )
    return {"calibration": curve, "calibration_gaps": gaps}


def _correlation_chart(figures: Figures) -> Markup:
    """Draw the rank correlations of members, benchmark model and meta model."""
    pairs = {tuple(one["of"]): _float(one["mean"]) for one in figures["alike"]}
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    order = [*[name for name in names if name in figures["weights"]], ENSEMBLE]
    order += [name for name in names if name not in order]
    values = [[1.0 if a == b else pairs.get((a, b), pairs.get((b, a), math.nan)) for b in order] for a in order]
    note = "mean rank correlation within eras"
    title = "Correlation between members"
    return heat_chart(title, order, order, values, limit=1.0, note=note, down="model", across="model")


def _bin_chart(figures: Figures) -> Markup:
    """Draw the mean target by tenth of the predictions."""
    lines = [
        Line(
            name=name,
            values=_column(tenths, "mean"),
            low=_column(tenths, "low"),
            high=_column(tenths, "high"),
            shown=index == 0,
        )
        for index, (name, tenths) in enumerate(_ensemble_first(figures["bins"]).items())
    ]
    labels = [f"{index + 1}" for index in range(10)]
    note = "with 95 % intervals; the line of a useful model rises"
    across = "tenth of the predictions, lowest first"
    title = "Mean target by tenth of the predictions"
    return line_chart(title, labels, lines, include=(0.5,), note=note, across=across)


def _exposure_chart(figures: Figures) -> Markup:
    """Draw the ensemble's exposure to each group over time, averaged over neighbouring eras."""
    groups, eras = figures["exposure"]["groups"], figures["eras"]
    parts = np.array_split(np.arange(len(eras)), min(COLUMNS, len(eras)))
    values = [[float(np.mean(by_era[part])) for part in parts] for by_era in map(_floats, groups.values())]
    labels = [eras[part[0]] if len(part) == 1 else f"{eras[part[0]]} to {eras[part[-1]]}" for part in parts]
    note = "root mean square correlation of the ensemble with the group's features"
    first, title = [eras[part[0]] for part in parts], "Exposure to groups"
    return heat_chart(
        title, list(groups), labels, values, decimals=3, note=note, down="group", across="era", under=first
    )


def _group_regime_chart(figures: Figures) -> Markup:
    """Draw CORR in the thirds of eras with low, middle and high exposure to each group."""
    regimes = figures["group_regimes"]
    columns = ["low", "middle", "high"]
    values = [[_float(level["scores"][ENSEMBLE]["mean"]) for level in one["levels"]] for one in regimes]
    note = "CORR of the ensemble in thirds of the eras"
    across = "third of the eras by exposure to the group"
    names, title = [one["name"] for one in regimes], "CORR by exposure to a group"
    return heat_chart(title, names, columns, values, decimals=3, note=note, down="group", across=across)


def _lines(series: Mapping[str, Floats], change: Callable[[Floats], Floats]) -> list[Line]:
    return [Line(name=name, values=change(values).tolist()) for name, values in series.items()]


def _series(figures: Figures, score: str) -> dict[str, Floats]:
    return {name: _floats(values) for name, values in _ensemble_first(figures["series"][score]).items()}


def _ensemble_first(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: members[name] for name in sorted(members, key=lambda name: name != ENSEMBLE)}


def running_sum(series: Floats) -> Floats:
    """Return the sum up to each era; NaN stays NaN and adds nothing. Shape ``(eras,)``."""
    return np.where(np.isfinite(series), np.cumsum(np.nan_to_num(series)), np.nan)


def drawdown(series: Floats) -> Floats:
    """Return the running sum, which starts at 0, less its highest value so far: 0 or less. Shape ``(eras,)``."""
    total = np.cumsum(np.nan_to_num(series))
    return np.asarray(total - np.maximum.accumulate(np.maximum(total, 0.0)))


def rolling_sharpe(series: Floats, window: int) -> Floats:
    """
    Return mean over standard deviation of the last *window* eras. Shape ``(eras,)``.

    It is NaN if one of those eras has no value or all of them have the same.
    """
    found = np.full(len(series), np.nan)
    for stop in range(window, len(series) + 1):
        part = series[stop - window : stop]
        deviation = part.std()
        if np.isfinite(deviation) and deviation > 0:
            found[stop - 1] = part.mean() / deviation
    return found


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _column(figures: Sequence[Figures], key: str) -> list[float]:
    return [_float(one[key]) for one in figures]


def _short(name: str) -> str:
    return name.removeprefix(FEATURE_PREFIX)
