"""
An evaluation as one page: everything about an artifact that a person should see, in a file that asks for nothing else.

The page is drawn from the figures of :mod:`bot.reporting.evaluate` alone, so it can be drawn again from their JSON at any time.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bot.reporting.chart_axes import format_number
from bot.reporting.charts import Bar, Line, bar_chart, heat_chart, line_chart

SCHEMA = 1
"""Form of the figures that this page is drawn from."""

ENSEMBLE = "ensemble"
SCORES = {"corr": "CORR", "mmc": "MMC", "bmc": "BMC", "fnc": "FNC"}
COLUMNS = 60
"""Most columns of a heat chart over eras; neighbouring eras are averaged to make them."""

SHOWN = 12
"""Features that a chart of importance or exposure shows."""

Floats = npt.NDArray[np.float64]
Content = Mapping[str, Any]


def render(content: Content) -> str:
    """
    Return the page of an evaluation as HTML.

    Args:
        content: What :meth:`bot.reporting.evaluate.Evaluator.evaluate` returned, or its JSON read back.
    """
    environment = Environment(
        loader=PackageLoader("bot"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = format_number
    environment.filters["spread"] = spread
    template = environment.get_template("report.html.j2")
    return template.render(one=content, charts=charts(content), scores=SCORES, ensemble=ENSEMBLE)


def write(content: Content, path: Path) -> None:
    """Write the page of an evaluation in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".tmp")
    staging.write_text(render(content), encoding="utf-8")
    staging.replace(path)


def charts(content: Content) -> dict[str, Markup]:
    """Return every chart of the page by name."""
    drawn = {**_over_eras(content), **_importance(content), **_calibration(content)}
    drawn["alike"] = _alike(content)
    drawn["weights"] = bar_chart("Weights", [Bar(name=name, value=value) for name, value in content["weights"].items()])
    drawn["bins"] = _bins(content)
    drawn["exposure"] = _exposure(content)
    drawn["leaning"] = bar_chart(
        "Features the ensemble leans on",
        [Bar(name=_short(one["name"]), value=one["mean"]) for one in content["exposure"]["features"][:SHOWN]],
        note="mean correlation of the ensemble with the feature over eras",
    )
    drawn["groups"] = _group_regimes(content)
    return drawn


def spread(figure: Content, decimals: int = 4) -> Markup:
    """Return a mean as text, its interval under it where there is one."""
    low, high = format_number(figure["low"], decimals), format_number(figure["high"], decimals)
    mean = format_number(figure["mean"], decimals)
    known = figure["low"] is not None and math.isfinite(figure["low"])
    return Markup("{}<small>{} to {}</small>").format(mean, low, high) if known else Markup(mean)  # noqa: S704 - digits


def _over_eras(content: Content) -> dict[str, Markup]:
    """Return the charts with one value per era."""
    eras = content["eras"]
    corr = _series(content, "corr")
    window = max(min(52, len(eras) // 4), 4)
    found = {
        "corr": line_chart(
            "Cumulative CORR",
            eras,
            [*_lines(corr, running_sum), *_compared(content)],
            decimals=3,
            note="sum of the eras' CORR; every era is one that these members have not seen",
        ),
        "drawdown": line_chart(
            "Drawdown", eras, _lines(corr, drawdown), decimals=3, note="cumulative CORR below its own peak"
        ),
        "sharpe": line_chart(
            "Rolling Sharpe",
            eras,
            _lines(corr, lambda series: rolling_sharpe(series, window)),
            decimals=2,
            note=f"mean over deviation of CORR in the last {window} eras",
        ),
        "era": line_chart("CORR by era", eras, _lines(corr, np.array), note="one value per era, not summed"),
        "most": line_chart(
            "Largest exposure",
            eras,
            [Line(name="largest", values=content["exposure"]["most"])],
            decimals=3,
            note="largest absolute correlation of the ensemble with one feature",
        ),
    }
    for score, reference in (("mmc", "meta model"), ("bmc", "benchmark model")):
        if score in content["series"]:
            found[score] = line_chart(
                f"Cumulative {SCORES[score]}",
                eras,
                _lines(_series(content, score), running_sum),
                decimals=3,
                note=f"contribution to the {reference}; eras without its predictions are gaps",
            )
    if rival := content["judgement"]["champion"]:
        found["rival"] = _rival(content["judgement"], rival)
    return found


def _rival(judgement: Content, rival: Content) -> Markup:
    """Draw challenger minus champion, summed over the eras that neither had seen."""
    ours = judgement["holdout"]
    place = [ours["eras"].index(era) for era in rival["eras"]]
    lines = []
    for score, members in rival["scores"].items():
        mine = _floats(ours["scores"][score][ENSEMBLE])[place]
        lines.append(Line(name=SCORES[score], values=running_sum(mine - _floats(members[ENSEMBLE])).tolist()))
    note = "sum of challenger minus champion; above zero the challenger is ahead"
    return line_chart("Challenger against champion", rival["eras"], lines, decimals=3, note=note)


def _compared(content: Content) -> list[Line]:
    """Return the benchmark and the champion beside which CORR is read."""
    lines = []
    if benchmark := content["others"].get("benchmark"):
        lines.append(Line(name="benchmark", values=running_sum(_floats(benchmark)).tolist(), dashed=True))
    judgement = content["judgement"]
    if rival := judgement["champion"]:
        known = dict(zip(rival["eras"], rival["scores"]["corr"][ENSEMBLE], strict=True))
        values = _floats([known.get(era) for era in content["eras"]])
        lines.append(Line(name="champion", values=running_sum(values).tolist(), dashed=True))
    return lines


def _importance(content: Content) -> dict[str, Markup]:
    """Return gain of the trees and permutation losses of every member."""
    found = {}
    importance = content["importance"]
    for name, parts in importance["gain"].items():
        for part, weights in parts.items():
            note = "share of all gain, with a bootstrap over runs of trees"
            found[f"gain {name} {part}"] = _weights(f"{name}: gain by {part[:-1]}", weights, 3, note)
    for name, parts in importance["permutation"].items():
        for part, weights in parts.items():
            note = f"CORR lost when permuted within eras, {importance['eras']} eras, 95 % interval"
            found[f"permutation {name} {part}"] = _weights(f"{name}: permutation by {part[:-1]}", weights, 4, note)
    return found


def _weights(title: str, weights: Sequence[Content], decimals: int, note: str) -> Markup:
    bars = [
        Bar(name=_short(one["name"]), value=_float(one["value"]), low=_float(one["low"]), high=_float(one["high"]))
        for one in weights[: max(SHOWN, 13)]
    ]
    return bar_chart(title, bars, decimals=decimals, note=note)


def _calibration(content: Content) -> dict[str, Markup]:
    """Return what the network's classes said and what was seen."""
    found = content["calibration"]
    if found is None:
        return {}
    said, seen = (np.array([_floats(row) for row in found[key]]) for key in ("said", "seen"))
    classes = [f"target {value:g}" for value in found["classes"]]
    x = sorted(value for value in said.ravel().tolist() if math.isfinite(value))
    lines = [Line(name="honest", values=x, dashed=True)]
    for name, places, shares in zip(classes, said.tolist(), seen.tolist(), strict=True):
        known = dict(zip(places, shares, strict=True))
        lines.append(Line(name=name, values=[known.get(place, math.nan) for place in x], joined=True))
    curve = line_chart(
        "Said and seen",
        [f"said {place:.3f}" for place in x],
        lines,
        x=x,
        decimals=3,
        note="each point is a tenth of an era's rows for one class; on the dashed line probabilities are honest",
    )
    gaps = heat_chart(
        "Seen minus said, by class and tenth",
        classes,
        [f"{one + 1}" for one in range(said.shape[1])],
        (seen - said).tolist(),
        decimals=3,
        note="columns from the least probable tenth of rows to the most; over zero the class came more often than said",
    )
    return {"curve": curve, "gaps": gaps}


def _alike(content: Content) -> Markup:
    """Draw the rank correlations of members, benchmark and meta model."""
    pairs = {tuple(one["of"]): _float(one["mean"]) for one in content["alike"]}
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    order = [*[name for name in names if name in content["weights"]], ENSEMBLE]
    order += [name for name in names if name not in order]
    values = [[1.0 if a == b else pairs.get((a, b), pairs.get((b, a), math.nan)) for b in order] for a in order]
    return heat_chart("Who agrees with whom", order, order, values, limit=1.0, note="mean rank correlation within eras")


def _bins(content: Content) -> Markup:
    """Draw the mean target by tenth of the predictions."""
    lines = [
        Line(
            name=name, values=_key(tenths, "mean"), low=_key(tenths, "low"), high=_key(tenths, "high"), shown=index == 0
        )
        for index, (name, tenths) in enumerate(_ensemble_first(content["bins"]).items())
    ]
    labels = [f"{index + 1}" for index in range(10)]
    note = "tenths of the predictions, lowest first, with 95 % intervals; a model that knows something rises"
    return line_chart("Mean target by tenth of the predictions", labels, lines, include=(0.5,), note=note)


def _exposure(content: Content) -> Markup:
    """Draw the ensemble's exposure to each group over time, neighbouring eras averaged."""
    groups, eras = content["exposure"]["groups"], content["eras"]
    parts = np.array_split(np.arange(len(eras)), min(COLUMNS, len(eras)))
    values = [[float(np.mean(_floats(series)[part])) for part in parts] for series in groups.values()]
    labels = [eras[part[0]] if len(part) == 1 else f"{eras[part[0]]} to {eras[part[-1]]}" for part in parts]
    note = "root mean square correlation of the ensemble with the group's features"
    return heat_chart("Exposure to groups", list(groups), labels, values, decimals=3, note=note)


def _group_regimes(content: Content) -> Markup:
    """Draw CORR where exposure to a group was low, middle and high."""
    regimes = content["group_regimes"]
    columns = ["low", "middle", "high"]
    values = [[_float(level["scores"][ENSEMBLE]["mean"]) for level in one["levels"]] for one in regimes]
    note = "CORR of the ensemble in thirds of the eras, by exposure to the group"
    return heat_chart(
        "CORR by exposure to a group", [one["name"] for one in regimes], columns, values, decimals=3, note=note
    )


def _lines(series: Mapping[str, Floats], change: Any) -> list[Line]:  # noqa: ANN401 - a function of one series
    return [Line(name=name, values=change(values).tolist()) for name, values in series.items()]


def _series(content: Content, score: str) -> dict[str, Floats]:
    return {name: _floats(values) for name, values in _ensemble_first(content["series"][score]).items()}


def _ensemble_first(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: members[name] for name in sorted(members, key=lambda name: name != ENSEMBLE)}


def running_sum(series: Floats) -> Floats:
    """Return the sum up to each era; an era without a value is a gap and adds nothing."""
    return np.where(np.isfinite(series), np.cumsum(np.nan_to_num(series)), np.nan)


def drawdown(series: Floats) -> Floats:
    """Return how far the running sum, which begins at 0, is below its own peak: 0 or less."""
    total = np.cumsum(np.nan_to_num(series))
    return np.asarray(total - np.maximum.accumulate(np.maximum(total, 0.0)))


def rolling_sharpe(series: Floats, window: int) -> Floats:
    """Return mean over deviation of the last *window* eras; NaN where one is missing or all are equal."""
    found = np.full(len(series), np.nan)
    for stop in range(window, len(series) + 1):
        part = series[stop - window : stop]
        deviation = part.std()
        if np.isfinite(deviation) and deviation > 0:
            found[stop - 1] = part.mean() / deviation
    return found


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([_float(value) for value in values], dtype=np.float64)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _key(figures: Sequence[Content], key: str) -> list[float]:
    return [_float(one[key]) for one in figures]


def _short(name: str) -> str:
    return name.removeprefix("feature_")
