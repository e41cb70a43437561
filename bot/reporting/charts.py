"""
Line, bar and heat charts as HTML with inline SVG, without a library or a request.

The drawing area stretches with the page, but text does not, so a chart is as legible on a phone as on a wide screen:
labels are HTML elements placed by percentages beside an SVG that holds no text. Colours are the CSS variables of
``templates/charts.css`` and follow the reader's light or dark mode. ``templates/charts.js`` adds tooltips, zoom, full
screen and a legend that hides series; without it the charts still show their lines, bars and cells.

Coordinates are whole numbers. One unit of a line chart's height is a unit of the last decimal, so the script reads exact
values from the drawn path, and a page holds each number once.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from bot.reporting.chart_axes import TICKS, Floats, Mark, format_number, round_ticks, scale, x_marks, y_marks

COLOURS = 8
"""Number of colours of lines; a ninth line has the first colour again, and is dashed."""

FINE, COARSE = 1_000, 1_000_000
"""Least and largest number of units in the height of a line chart."""

UNEVEN = 100_000
"""Units in the width of a line chart whose positions are not evenly spaced."""

BAR = 24
"""Height of a bar's row in SVG units; its width is :data:`WIDTH`."""

WIDTH = 1_000
"""Units in the width of a bar chart."""

LEVELS = 20
"""Number of strengths of a colour in a heat chart."""

NUMBERED = 8
"""Largest number of columns of a heat chart that shows its numbers."""

TURNED = 4
"""Largest number of columns whose names are not turned on a narrow screen."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Whole units of a line chart: positions from left to right, and values from *high* downwards."""

    x: Sequence[int]
    width: int
    low: float
    high: float
    digits: int

    @property
    def height(self) -> int:
        return round((self.high - self.low) * 10.0**self.digits)

    def y(self, value: float) -> int:
        return round((self.high - value) * 10.0**self.digits)


def is_drawn(chart: Markup) -> bool:
    """Return whether a chart has anything to draw."""
    return not chart.startswith('<figure class="chart empty"')


def line_chart(
    title: str,
    labels: Sequence[str],
    lines: Sequence[Line],
    *,
    x: Floats = (),
    decimals: int = 4,
    note: str = "",
    include: Floats = (0.0,),
    across: str = "",
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
        across: Title of the horizontal axis.

    Returns:
        A ``figure`` element.
    """
    numbers = [value for line in lines for value in (*line.values, *line.low, *line.high) if math.isfinite(value)]
    if not numbers or not labels:
        return _figure(title, _NOTHING, note)
    ticks = round_ticks([*numbers, *include])
    grid = _grid(labels, x, ticks, decimals)
    series = [_series(index, line, grid) for index, line in enumerate(lines)]
    about: dict[str, object] = {
        "labels": list(labels),
        "names": [line.name for line in lines],
        "across": across,
        "high": grid.high,
        "low": grid.low,
        "digits": grid.digits,
        "decimals": max(min(decimals, grid.digits), 0),
    }
    if x or len(labels) == 1:
        about |= {"x": list(grid.x), "range": [x[0], x[-1]] if x else []}
    plot = (
        f'<div class="plot" tabindex="0" role="group" aria-label="{escape(title)}">'
        f"{_marks('y', y_marks(ticks))}{_marks('x', x_marks(labels, x))}{_svg(series, grid.width, grid.height)}</div>"
    )
    body = _legend(lines) + plot + _title("across", across) + _data(about)
    return _figure(title, Markup(body), note, kind="lines")  # noqa: S704 - all parts are escaped


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

    def at(value: float) -> int:
        return round(WIDTH * (value - low) / span)

    height = BAR * len(bars)
    shapes = [_bar_shapes(bar, index * BAR, at) for index, bar in enumerate(bars)]
    paths = [
        f'<path class="{kind}" d="{drawn}"/>'
        for kind in ("up", "down", "whisker")
        if (drawn := "".join(one.get(kind, "") for one in shapes))
    ]
    zero = f'<path class="zero" d="M{at(0.0)} 0V{height}"/>'
    values = "".join(f"<span>{format_number(bar.value, decimals)}</span>" for bar in bars)
    area = _area(title, _svg([*paths, zero], WIDTH, height))
    body = (
        f'<div class="matrix" style="--rows:{len(bars)}">{_names([bar.name for bar in bars])}{area}'
        f'<div class="values">{values}</div></div>{_data({"notes": [_bar_note(bar, decimals) for bar in bars]})}'
    )
    return _figure(title, Markup(body), note, kind="bars")  # noqa: S704 - all parts are escaped


def heat_chart(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Floats],
    *,
    decimals: int = 2,
    limit: float | None = None,
    note: str = "",
    down: str = "",
    across: str = "",
    under: Sequence[str] = (),
) -> Markup:
    """
    Draw a matrix with one colour for each sign, and its scale; up to eight columns also show their numbers.

    Args:
        title: Title of the chart.
        rows: Names of the rows.
        columns: Names of the columns in tooltips.
        values: Values row by row; NaN leaves a cell empty.
        decimals: Decimals of the numbers.
        limit: Absolute value drawn in full colour; by default the largest one in *values*.
        note: Text under the title.
        down: Title of the vertical axis.
        across: Title of the horizontal axis.
        under: Names of the columns under the matrix; by default *columns*.

    Returns:
        A ``figure`` element.
    """
    finite = [value for row in values for value in row if math.isfinite(value)]
    if not finite:
        return _figure(title, _NOTHING, note)
    full = limit or max(map(abs, finite)) or 1.0
    numbered, below = len(columns) <= NUMBERED, under or columns
    cells = _cells(values, decimals) if numbered else ""
    step = 1 if numbered else math.ceil(len(columns) / TICKS)
    shares = [((index + 0.5) / len(columns), below[index]) for index in range(0, len(columns), step)]
    named = "".join(f"<span>{escape(name)}</span>" for name in below) if numbered else _marks("x", shares)
    kind = ("every many" if len(columns) > TURNED else "every") if numbered else "some"
    area = _area(title, _svg(_heat_paths(values, full), len(columns), len(rows)) + cells)
    rounded = [[round(value, decimals) if math.isfinite(value) else None for value in row] for row in values]
    body = (
        f'{_title("down", down)}<div class="matrix" style="--rows:{len(rows)};--columns:{len(columns)}">{_names(rows)}{area}'
        f'<div class="under {kind}">{named}</div>{_title("across", across)}</div>'
        f"{_scale(min(finite), full, decimals)}"
        f"{_data({'columns': list(columns), 'values': rounded, 'decimals': decimals})}"
    )
    kinds = "heat numbered" if numbered else "heat"
    return _figure(title, Markup(body), note, kind=kinds)  # noqa: S704 - all parts are escaped


def _figure(title: str, body: Markup, note: str, kind: str = "empty") -> Markup:
    below = Markup('<p class="note">{}</p>').format(note) if note else ""
    return Markup('<figure class="chart {}"><figcaption>{}</figcaption>{}{}</figure>').format(kind, title, below, body)


def _svg(parts: Sequence[str], width: float, height: float) -> str:
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'


def _data(about: object) -> str:
    """Return what the script needs as JSON; without ``<`` no text in it can close the element."""
    data = json.dumps(about, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json">{data}</script>'


def _title(axis: str, text: str) -> str:
    return f'<p class="axis {axis}">{escape(text)}</p>' if text else ""


def _names(names: Sequence[str]) -> str:
    return f'<div class="names">{"".join(f"<span>{escape(name)}</span>" for name in names)}</div>'


def _area(title: str, drawn: str) -> str:
    return f'<div class="area" tabindex="0" role="group" aria-label="{escape(title)}">{drawn}</div>'


def _grid(labels: Sequence[str], x: Floats, ticks: Floats, decimals: int) -> _Grid:
    """Return units so that both the screen and the decimals are exact, as far as :data:`COARSE` allows."""
    low, high = ticks[0], ticks[-1]
    size = math.log10(high - low)
    digits = min(max(decimals, math.ceil(math.log10(FINE) - size)), math.floor(math.log10(COARSE) - size))
    if x:
        return _Grid(x=[round(at) for at in scale(x, UNEVEN)], width=UNEVEN, low=low, high=high, digits=digits)
    single = len(labels) == 1
    return _Grid(
        x=[1] if single else range(len(labels)),
        width=2 if single else len(labels) - 1,
        low=low,
        high=high,
        digits=digits,
    )


def _series(index: int, line: Line, grid: _Grid) -> str:
    """Return one line and its band as an SVG group, which the legend shows and hides."""
    style = " dashed" if line.dashed or index >= COLOURS else ""
    hidden = "" if line.shown else ' hidden=""'
    stretches = _stretches(line, grid)
    alone = "".join(_path(one) for one in stretches if len(one) == 1)
    dots = f'<path class="alone" d="{alone}"/>' if alone else ""
    path = f'<path class="line{style}" d="{"".join(map(_path, stretches))}"/>'
    return f'<g class="s{index % COLOURS}" data-series="{index}"{hidden}>{_band(line, grid)}{path}{dots}</g>'


def _stretches(line: Line, grid: _Grid) -> list[list[tuple[int, int]]]:
    """Return the points of every unbroken stretch of a line."""
    found: list[list[tuple[int, int]]] = []
    broken = True
    for x, value in zip(grid.x, line.values, strict=True):
        if not math.isfinite(value):
            broken = broken or not line.joined
            continue
        if broken:
            found.append([])
        found[-1].append((x, grid.y(value)))
        broken = False
    return found


def _path(points: Sequence[tuple[int, int]]) -> str:
    """Return a path: the first point, then the distance from point to point; a single point gets a line of length 0."""
    (x, y), *rest = points
    drawn = [f"M{x} {y}l"]
    for next_x, next_y in rest or [(x, y)]:
        drawn.append(f"{next_x - x} {next_y - y} ")
        x, y = next_x, next_y
    return "".join(drawn).rstrip().replace(" -", "-")


def _band(line: Line, grid: _Grid) -> str:
    edges = [
        (x, grid.y(low), grid.y(high))
        for x, low, high in zip(grid.x, line.low, line.high, strict=False)
        if math.isfinite(low) and math.isfinite(high)
    ]
    if not edges:
        return ""
    around = [(x, high) for x, _, high in edges] + [(x, low) for x, low, _ in reversed(edges)]
    return f'<path class="band" d="{_path(around)}Z"/>'


def _bar_shapes(bar: Bar, top: int, at: Callable[[float], int]) -> dict[str, str]:
    """Return the paths of a bar and its whisker by their class."""
    shapes = {}
    if math.isfinite(bar.value):
        start, end = sorted((at(0.0), at(bar.value)))
        shapes["up" if bar.value >= 0 else "down"] = f"M{start} {top + 5}H{end}v14H{start}z"
    if math.isfinite(bar.low) and math.isfinite(bar.high):
        low, high = at(bar.low), at(bar.high)
        shapes["whisker"] = f"M{low} {top + 12}H{high}M{low} {top + 8}v8M{high} {top + 8}v8"
    return shapes


def _bar_note(bar: Bar, decimals: int) -> str:
    known = math.isfinite(bar.low) and math.isfinite(bar.high)
    interval = f" ({format_number(bar.low, decimals)} to {format_number(bar.high, decimals)})" if known else ""
    return f"{interval}{' · ' if bar.note else ''}{bar.note}"


def _heat_paths(values: Sequence[Floats], full: float) -> list[str]:
    """Return one path for each sign and strength of colour; a cell is a unit square of the path of its strength."""
    squares: dict[tuple[str, int], list[str]] = {}
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if math.isfinite(value):
                level = round(LEVELS * min(abs(value) / full, 1.0))
                squares.setdefault(("up" if value >= 0 else "down", level), []).append(f"M{x} {y}h1v1h-1z")
    return [
        f'<path class="{sign}" style="--strength:{level / LEVELS:g}" d="{"".join(drawn)}"/>'
        for (sign, level), drawn in sorted(squares.items())
        if level
    ]


def _cells(values: Sequence[Floats], decimals: int) -> str:
    """Return the numbers of a heat chart as text over its cells."""
    cells = (
        f"<span>{format_number(value, decimals) if math.isfinite(value) else ''}</span>"
        for row in values
        for value in row
    )
    return f'<div class="cells">{"".join(cells)}</div>'


def _scale(least: float, full: float, decimals: int) -> str:
    """Return the scale of a heat chart's colours, from zero if no value is negative."""
    start = f'<span>{format_number(-full, decimals)}</span><i class="down"></i>' if least < 0 else ""
    return f'<p class="scale">{start}<span>0</span><i class="up"></i><span>{format_number(full, decimals)}</span></p>'


def _legend(lines: Sequence[Line]) -> str:
    """Return one button per line; a single line needs none."""
    if len(lines) == 1:
        return ""
    buttons = "".join(
        f'<button type="button" class="s{index % COLOURS}{" dashed" if line.dashed or index >= COLOURS else ""}"'
        f' data-toggle="{index}" aria-pressed="{"true" if line.shown else "false"}">{escape(line.name)}</button>'
        for index, line in enumerate(lines)
    )
    return f'<div class="legend">{buttons}</div>'


def _marks(axis: str, marks: Iterable[Mark]) -> str:
    """Return the labels of an axis; the last label of the horizontal axis ends at its position instead of centring."""
    if axis == "y":
        return "".join(
            f'<span class="y{"" if text.strip("0.") else " zero"}" style="top:{share:.2%}"><b>{escape(text)}</b></span>'
            for share, text in marks
        )
    return "".join(
        f'<span class="x{" end" if share > 0.99 else ""}" style="left:{share:.2%}">{escape(text)}</span>'
        for share, text in marks
    )
