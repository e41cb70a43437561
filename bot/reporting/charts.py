"""
Line, bar and heat charts as HTML with inline SVG, without a library or a request.

The drawing area stretches with the page, but text does not, so a chart is as legible on a phone as on a wide screen:
labels are HTML elements placed by percentages beside an SVG that holds no text. Colours are the CSS variables of
``templates/charts.css`` and follow the reader's light or dark mode. ``templates/charts.js`` adds a crosshair, tooltips
and a legend that hides series; without it the charts still show their lines, bars and cells.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from bot.reporting.chart_axes import TICKS, Floats, Mark, format_number, round_ticks, scale, x_marks, y_marks

WIDTH, HEIGHT = 1000, 250
"""Size of the drawing area in SVG units; the height is also its height in CSS pixels."""

_NOTHING = Markup('<p class="none">nothing to draw</p>')


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    A series of a line chart.

    Attributes:
        name: Name in the legend and in tooltips.
        values: One value for each label; NaN makes a gap.
        low: Lower edge of a band around the line; empty for a line without a band.
        high: Upper edge of the band.
        dashed: Whether the line is dashed, as references are.
        joined: Whether the line continues over labels without a value.
        shown: Whether the line is visible before the reader uses the legend.
    """

    name: str
    values: Floats
    low: Floats = ()
    high: Floats = ()
    dashed: bool = False
    joined: bool = False
    shown: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """
    A bar that starts at zero.

    Attributes:
        name: Name beside the bar.
        value: Length of the bar; NaN draws none.
        low: Lower end of the whisker; NaN draws none.
        high: Upper end of the whisker.
        note: Text added to the tooltip.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""


def line_chart(
    title: str,
    labels: Sequence[str],
    lines: Sequence[Line],
    *,
    x: Floats = (),
    decimals: int = 4,
    note: str = "",
    include: Floats = (0.0,),
) -> Markup:
    """
    Draw series over labelled positions, such as eras.

    Args:
        title: Title of the chart.
        labels: Labels of the positions, in order.
        lines: The series, at least one.
        x: Ascending coordinates of the positions; empty for evenly spaced ones.
        decimals: Decimals of the values in tooltips.
        note: Text under the title.
        include: Values that the vertical axis must cover.

    Returns:
        A ``figure`` element.
    """
    numbers = [value for line in lines for value in (*line.values, *line.low, *line.high) if math.isfinite(value)]
    ticks = round_ticks([*numbers, *include])
    if not numbers or not labels:
        return _figure(title, _NOTHING, note)
    positions = scale(x or range(len(labels)), WIDTH)
    low, high = ticks[0], ticks[-1]

    def at(value: float) -> float:
        return HEIGHT * (1 - (value - low) / (high - low))

    rules = [_rule(at(tick), strong=tick == 0) for tick in ticks]
    series = [_series(index, line, positions, at) for index, line in enumerate(lines)]
    tooltips = {
        "x": [round(position / WIDTH, 4) for position in positions],
        "labels": list(labels),
        "low": low,
        "high": high,
        "decimals": decimals,
        "series": [_tooltip_series(line, decimals) for line in lines],
    }
    # Without "<" no text in the data can close the script element.
    data = json.dumps(tooltips, separators=(",", ":")).replace("<", "\\u003c")
    plot = (
        f'<div class="plot" tabindex="0" role="img" aria-label="{escape(title)}">'
        f"{_svg([*rules, *series], WIDTH, HEIGHT)}"
        f"{_marks('y', y_marks(ticks))}{_marks('x', x_marks(labels, x))}</div>"
        f'<script type="application/json">{data}</script>'
    )
    return _figure(title, Markup(_legend(lines) + plot), note, kind="lines")  # noqa: S704 - all parts are escaped


def bar_chart(title: str, bars: Sequence[Bar], *, decimals: int = 4, note: str = "") -> Markup:
    """
    Draw one horizontal bar per row, all on one scale that includes zero.

    Args:
        title: Title of the chart.
        bars: The bars from top to bottom.
        decimals: Decimals of the values.
        note: Text under the title.

    Returns:
        A ``figure`` element.
    """
    numbers = [value for bar in bars for value in (bar.value, bar.low, bar.high) if math.isfinite(value)]
    if not numbers:
        return _figure(title, _NOTHING, note)
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    span = high - low or 1.0

    def at(value: float) -> float:
        return round(WIDTH * (value - low) / span, 1)

    rows = []
    for bar in bars:
        name = f'<span class="name">{escape(bar.name)}</span>'
        value = f'<span class="value">{format_number(bar.value, decimals)}</span>'
        tip = escape(_bar_tooltip(bar, decimals))
        rows.append(f'<div class="bar" tabindex="0" data-tip="{tip}">{name}{_bar(bar, at)}{value}</div>')
    return _figure(title, Markup("".join(rows)), note, kind="bars")  # noqa: S704 - all parts are escaped


def heat_chart(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Floats],
    *,
    decimals: int = 2,
    limit: float | None = None,
    note: str = "",
) -> Markup:
    """
    Draw a matrix with one colour for each sign; up to eight columns also show their numbers.

    Args:
        title: Title of the chart.
        rows: Names of the rows.
        columns: Names of the columns.
        values: Values row by row; NaN leaves a cell empty.
        decimals: Decimals of the numbers.
        limit: Absolute value drawn in full colour; by default the largest one in *values*.
        note: Text under the title.

    Returns:
        A ``figure`` element.
    """
    largest = max((abs(value) for row in values for value in row if math.isfinite(value)), default=0.0)
    full = limit or largest or 1.0
    cells, numbers = [], []
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if not math.isfinite(value):
                numbers.append("<span></span>")
                continue
            tip = f"{rows[y]} · {columns[x]}: {format_number(value, decimals)}"
            strength = min(abs(value) / full, 1.0)
            sign = "up" if value >= 0 else "down"
            cells.append(
                f'<rect class="{sign}" x="{x}" y="{y}" width="1" height="1" fill-opacity="{strength:.2f}"'
                f' data-tip="{escape(tip)}"/>'
            )
            strong = ' class="strong"' if strength > 0.6 else ""
            numbers.append(f"<span{strong}>{format_number(value, decimals)}</span>")
    small = len(columns) <= 8
    over = f'<div class="cells" style="--columns:{len(columns)}">{"".join(numbers)}</div>' if small else ""
    step = 1 if small else math.ceil(len(columns) / TICKS)
    under = _marks("x", [((index + 0.5) / len(columns), columns[index]) for index in range(0, len(columns), step)])
    names = "".join(f"<span>{escape(name)}</span>" for name in rows)
    body = (
        f'<div class="matrix" style="--rows:{len(rows)}"><div class="names">{names}</div>'
        f'<div class="area">{_svg(cells, len(columns), len(rows))}{over}<div class="under">{under}</div></div></div>'
    )
    return _figure(title, Markup(body), note, kind="heat")  # noqa: S704 - all parts are escaped


def _figure(title: str, body: Markup, note: str, kind: str = "empty") -> Markup:
    under = Markup('<p class="note">{}</p>').format(note) if note else ""
    return Markup('<figure class="chart {}"><figcaption>{}</figcaption>{}{}</figure>').format(kind, title, under, body)


def _svg(parts: Sequence[str], width: float, height: float) -> str:
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'


def _rule(y: float, *, strong: bool) -> str:
    return f'<path class="rule{" zero" if strong else ""}" d="M0 {y:.1f}H{WIDTH}"/>'


def _series(index: int, line: Line, positions: Floats, at: Callable[[float], float]) -> str:
    """Return one line and its band as an SVG group, which the legend shows and hides."""
    style = " dashed" if line.dashed else ""
    hidden = "" if line.shown else ' hidden=""'
    path = f'<path class="line{style}" d="{_path(positions, line, at)}"/>'
    return f'<g class="s{index}" data-series="{index}"{hidden}>{_band(positions, line, at)}{path}</g>'


def _tooltip_series(line: Line, decimals: int) -> dict[str, object]:
    values = [round(value, decimals) if math.isfinite(value) else None for value in line.values]
    return {"name": line.name, "values": values}


def _path(positions: Floats, line: Line, at: Callable[[float], float]) -> str:
    """Return an SVG path with a gap where a value is NaN; a single value between gaps is a short dash."""
    drawn, pen = [], "M"
    for x, value in zip(positions, line.values, strict=True):
        if not math.isfinite(value):
            pen = pen if line.joined else "M"
            continue
        drawn.append(f"{pen}{x:.1f} {at(value):.1f}")
        if pen == "M":
            drawn.append("h.1")
        pen = "L"
    return "".join(drawn)


def _band(positions: Floats, line: Line, at: Callable[[float], float]) -> str:
    edges = [
        (x, at(low), at(high))
        for x, low, high in zip(positions, line.low, line.high, strict=False)
        if math.isfinite(low) and math.isfinite(high)
    ]
    if not edges:
        return ""
    around = [(x, high) for x, _, high in edges] + [(x, low) for x, low, _ in reversed(edges)]
    return f'<path class="band" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in around)}Z"/>'


def _bar(bar: Bar, at: Callable[[float], float]) -> str:
    parts = []
    if math.isfinite(bar.value):
        start, end = sorted((at(0.0), at(bar.value)))
        sign = "up" if bar.value >= 0 else "down"
        parts.append(f'<rect class="{sign}" x="{start}" y="3" width="{end - start:.1f}" height="14"/>')
    if math.isfinite(bar.low) and math.isfinite(bar.high):
        low, high = at(bar.low), at(bar.high)
        parts.append(f'<path class="whisker" d="M{low} 10H{high}M{low} 6V14M{high} 6V14"/>')
    return _svg([*parts, f'<path class="rule zero" d="M{at(0.0)} 0V20"/>'], WIDTH, 20)


def _bar_tooltip(bar: Bar, decimals: int) -> str:
    known = math.isfinite(bar.low) and math.isfinite(bar.high)
    interval = f" ({format_number(bar.low, decimals)} to {format_number(bar.high, decimals)})" if known else ""
    return f"{bar.name}: {format_number(bar.value, decimals)}{interval}{' · ' if bar.note else ''}{bar.note}"


def _legend(lines: Sequence[Line]) -> str:
    """Return one button per line; a single line needs none."""
    if len(lines) == 1:
        return ""
    buttons = "".join(
        f'<button type="button" class="s{index}{" dashed" if line.dashed else ""}" data-toggle="{index}"'
        f' aria-pressed="{"true" if line.shown else "false"}">{escape(line.name)}</button>'
        for index, line in enumerate(lines)
    )
    return f'<div class="legend">{buttons}</div>'


def _marks(axis: str, marks: Iterable[Mark]) -> str:
    """Return the labels of an axis; the last label of the horizontal axis ends at its position instead of centring."""
    side = "top" if axis == "y" else "left"
    return "".join(
        f'<span class="{axis}{" end" if share > 0.99 and axis == "x" else ""}" style="{side}:{share:.2%}">{escape(text)}</span>'
        for share, text in marks
    )
