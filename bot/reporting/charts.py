"""
Charts as strings of HTML with inline SVG: lines, bars and heat, drawn here, with no library and no request.

A chart's drawing area stretches with the page and its words do not, so it is as legible on a phone as on a screen:
labels are HTML, placed by percentages beside an SVG without any text. Colours are the CSS variables of
``templates/charts.css``, which follow the reader's light or dark mode; ``templates/charts.js`` adds crosshair,
tooltips and a legend that hides series. Without the script everything but those still shows.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from bot.reporting.chart_axes import TICKS, Floats, Mark, number, places, round_ticks, x_marks, y_marks

WIDTH, HEIGHT = 1000, 250
"""Units of the drawing area; the height is also its CSS pixels."""

_NOTHING = Markup('<p class="none">nothing to draw</p>')


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    A series of a line chart.

    Attributes:
        name: For legend and tooltip.
        values: One for each label; a gap where NaN.
        low: Lower edge of a band around it, if there is one; *high* is the upper one.
        dashed: For what is only there to be compared with.
        joined: Whether neighbours that have a value are joined over labels that have none.
        shown: Whether the legend begins with it switched on.
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
    """A bar from zero, with an interval where *low* and *high* are given; NaN draws none. *note* goes on the tooltip."""

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
    Draw series over eras, or over *x*.

    Args:
        title: What is shown.
        labels: Of the positions, in order.
        lines: At least one.
        x: Where the positions are, ascending; evenly spread when empty.
        decimals: Of the values in tooltips.
        note: A line under the title.
        include: Values that the vertical axis must reach.

    Returns:
        A ``figure``.
    """
    numbers = [value for line in lines for value in (*line.values, *line.low, *line.high) if math.isfinite(value)]
    ticks = round_ticks([*numbers, *include])
    if not numbers or not labels:
        return _figure(title, _NOTHING, note)
    where = places(x or range(len(labels)), WIDTH)
    low, high = ticks[0], ticks[-1]

    def at(value: float) -> float:
        return HEIGHT * (1 - (value - low) / (high - low))

    drawn = [_rule(at(tick), strong=tick == 0) for tick in ticks]
    for index, line in enumerate(lines):
        band = _band(where, line, at)
        style = " dashed" if line.dashed else ""
        hidden = "" if line.shown else ' hidden=""'
        path = f'<path class="line{style}" d="{_path(where, line, at)}"/>'
        drawn.append(f'<g class="s{index}" data-series="{index}"{hidden}>{band}{path}</g>')
    about = {
        "x": [round(place / WIDTH, 4) for place in where],
        "labels": list(labels),
        "low": low,
        "high": high,
        "decimals": decimals,
        "series": [
            {
                "name": line.name,
                "values": [round(value, decimals) if math.isfinite(value) else None for value in line.values],
            }
            for line in lines
        ],
    }
    # Nothing in the data ends the element that carries them.
    data = json.dumps(about, separators=(",", ":")).replace("<", "\\u003c")
    plot = (
        f'<div class="plot" tabindex="0" role="img" aria-label="{escape(title)}">{_svg(drawn, WIDTH, HEIGHT)}'
        f"{_marks('y', y_marks(ticks))}{_marks('x', x_marks(labels, x))}</div>"
        f'<script type="application/json">{data}</script>'
    )
    return _figure(title, Markup(_legend(lines) + plot), note, kind="lines")  # noqa: S704 - all parts are escaped


def bar_chart(title: str, bars: Sequence[Bar], *, decimals: int = 4, note: str = "") -> Markup:
    """Draw one horizontal bar a row, all on one scale that includes zero, with whiskers where intervals are given."""
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
        value = f'<span class="value">{number(bar.value, decimals)}</span>'
        tip = escape(_said(bar, decimals))
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
    Draw a matrix in two colours around zero; small ones also show their numbers.

    Args:
        title: What is shown.
        rows: Names.
        columns: Names.
        values: Row by row; NaN leaves a cell empty.
        decimals: Of the numbers.
        limit: The value of the full colour; the largest there is when absent.
        note: A line under the title.
    """
    largest = max((abs(value) for row in values for value in row if math.isfinite(value)), default=0.0)
    full = limit or largest or 1.0
    cells, numbers = [], []
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if not math.isfinite(value):
                numbers.append("<span></span>")
                continue
            tip = f"{rows[y]} · {columns[x]}: {number(value, decimals)}"
            strength = min(abs(value) / full, 1.0)
            sign = "up" if value >= 0 else "down"
            cells.append(
                f'<rect class="{sign}" x="{x}" y="{y}" width="1" height="1" fill-opacity="{strength:.2f}"'
                f' data-tip="{escape(tip)}"/>'
            )
            strong = ' class="strong"' if strength > 0.6 else ""
            numbers.append(f"<span{strong}>{number(value, decimals)}</span>")
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


def _path(where: Floats, line: Line, at: Callable[[float], float]) -> str:
    """Return an SVG path with a gap where a value is NaN; a value alone between gaps is a short dash."""
    drawn, pen = [], "M"
    for place, value in zip(where, line.values, strict=True):
        if not math.isfinite(value):
            pen = pen if line.joined else "M"
            continue
        drawn.append(f"{pen}{place:.1f} {at(value):.1f}")
        if pen == "M":
            drawn.append("h.1")
        pen = "L"
    return "".join(drawn)


def _band(where: Floats, line: Line, at: Callable[[float], float]) -> str:
    edges = [
        (place, at(low), at(high))
        for place, low, high in zip(where, line.low, line.high, strict=False)
        if math.isfinite(low) and math.isfinite(high)
    ]
    if not edges:
        return ""
    around = [(place, high) for place, _, high in edges] + [(place, low) for place, low, _ in reversed(edges)]
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


def _legend(lines: Sequence[Line]) -> str:
    if len(lines) == 1:
        return ""
    buttons = "".join(
        f'<button type="button" class="s{index}{" dashed" if line.dashed else ""}" data-toggle="{index}"'
        f' aria-pressed="{"true" if line.shown else "false"}">{escape(line.name)}</button>'
        for index, line in enumerate(lines)
    )
    return f'<div class="legend">{buttons}</div>'


def _marks(axis: str, marks: Iterable[Mark]) -> str:
    """Return words along an axis, each at its share of the length; the last of a horizontal one ends at its place."""
    side = "top" if axis == "y" else "left"
    return "".join(
        f'<span class="{axis}{" end" if share > 0.99 and axis == "x" else ""}" style="{side}:{share:.2%}">{escape(text)}</span>'
        for share, text in marks
    )


def _said(bar: Bar, decimals: int) -> str:
    known = math.isfinite(bar.low) and math.isfinite(bar.high)
    interval = f" ({number(bar.low, decimals)} to {number(bar.high, decimals)})" if known else ""
    return f"{bar.name}: {number(bar.value, decimals)}{interval}{' · ' if bar.note else ''}{bar.note}"
