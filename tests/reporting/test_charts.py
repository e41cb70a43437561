"""Charts: positions, gaps, scales, tooltips and escaping."""

import json
import math
import re
from html import unescape
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.reporting.charts import HEIGHT, WIDTH, Bar, Line, bar_chart, heat_chart, line_chart

FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)


def embedded(chart: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', chart).group(1))


def points(chart: str) -> list[list[tuple[float, float]]]:
    """Return the points of every unbroken stretch of every line."""
    paths = re.findall(r'class="line[^"]*" d="([^"]*)"', chart)
    stretches = [stretch for path in paths for stretch in path.split("M") if stretch]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) (-?[\d.]+)", stretch)] for stretch in stretches]


def test_a_line_runs_from_edge_to_edge_and_larger_values_are_higher():
    """The first and the last value are at the edges, and a larger value has a smaller y."""
    (line,) = points(line_chart("t", ["a", "b", "c"], [Line(name="n", values=[0.0, 2.0, 1.0])]))

    assert [x for x, _ in line] == [0.0, WIDTH / 2, WIDTH]
    assert line[1][1] < line[2][1] < line[0][1] == HEIGHT


def test_a_missing_value_is_a_gap_and_not_a_zero():
    """A NaN splits the line, and the tooltip's data have ``null``."""
    chart = line_chart("t", list("abcde"), [Line(name="n", values=[1.0, 2.0, math.nan, 4.0, 5.0])])

    assert [len(stretch) for stretch in points(chart)] == [2, 2]
    assert embedded(chart)["series"][0]["values"] == [1.0, 2.0, None, 4.0, 5.0]


def test_positions_may_be_uneven():
    """With *x*, the points are at its coordinates."""
    (line,) = points(line_chart("t", list("abc"), [Line(name="n", values=[1.0, 1.0, 1.0])], x=[0.0, 0.1, 1.0]))

    assert [x for x, _ in line] == [0.0, 100.0, 1000.0]


@given(st.lists(FINITE, min_size=1, max_size=40), st.integers(0, 3))
def test_every_value_is_inside_the_drawing_area(values, gaps):
    """Any values and zero lie between the first and the last tick, and ticks are evenly spaced."""
    chart = line_chart("t", [str(one) for one in range(len(values) + gaps)], [
        Line(name="n", values=[*values, *[math.nan] * gaps]),
    ])  # fmt: skip
    data = embedded(chart)
    marks = [float(top) for top in re.findall(r'class="y" style="top:([\d.]+)%', chart)]

    rounding = 1e-6 * (data["high"] - data["low"])

    assert data["low"] <= min(0.0, *values) + rounding
    assert data["high"] >= max(0.0, *values) - rounding
    assert all(-0.05 <= y <= HEIGHT + 0.05 for stretch in points(chart) for _, y in stretch)
    assert 2 <= len(marks) <= 9
    assert len({round(high - low, 1) for high, low in pairwise(marks)}) <= 2


def test_a_band_follows_its_edges():
    """The band is one closed shape along both edges, without positions that lack an edge."""
    line = Line(name="n", values=[1.0, 2.0, 3.0], low=[0.0, math.nan, 2.0], high=[2.0, math.nan, 4.0])
    band = re.search(r'class="band" d="M(.*?)Z"', line_chart("t", list("abc"), [line])).group(1)

    assert band.split("L") == ["0.0 125.0", "1000.0 0.0", "1000.0 125.0", "0.0 250.0"]


def test_names_cannot_break_out_of_the_page():
    """Titles, names, labels and notes are escaped."""
    evil = '</script><img src=x onerror="boom">'
    charts = [
        line_chart(evil, [evil, "b"], [Line(name=evil, values=[1.0, 2.0])], note=evil),
        bar_chart(evil, [Bar(name=evil, value=1.0, note=evil)], note=evil),
        heat_chart(evil, [evil], [evil], [[1.0]], note=evil),
    ]

    for chart in charts:
        assert "<img" not in chart
        assert chart.count("</script>") == chart.count("<script")
    assert embedded(charts[0])["labels"][0] == evil


def test_bars_share_one_scale_with_zero_on_it():
    """Bars start at zero and are as long as their values; the tooltip has interval and note."""
    chart = bar_chart("t", [Bar(name="a", value=3.0, low=2.0, high=4.0, note="x"), Bar(name="b", value=-1.0)])
    starts = [
        (float(x), float(width))
        for x, width in re.findall(r'<rect class="\w+" x="([\d.]+)" y="3" width="([\d.]+)"', chart)
    ]

    assert starts == [(200.0, 600.0), (0.0, 200.0)]
    assert unescape(re.search(r'data-tip="(.*?)"', chart).group(1)) == "a: 3.0000 (2.0000 to 4.0000) · x"


def test_a_bar_without_a_value_is_a_dash():
    """A NaN draws no bar and is written as a dash."""
    chart = bar_chart("t", [Bar(name="a", value=math.nan), Bar(name="b", value=1.0)])

    assert len(re.findall("<rect", chart)) == 1
    assert '<span class="value">\N{EN DASH}</span>' in chart


def test_heat_is_strongest_at_the_largest_value():
    """Opacity is the share of the largest absolute value, the sign decides the colour, and NaN is an empty cell."""
    chart = heat_chart("t", ["r", "q"], ["c", "d"], [[0.5, -1.0], [math.nan, 0.0]])

    assert re.findall(r'<rect class="(\w+)".*?fill-opacity="([\d.]+)"', chart) == [
        ("up", "0.50"),
        ("down", "1.00"),
        ("up", "0.00"),
    ]


def test_wide_heat_shows_numbers_only_in_tooltips():
    """With many columns, some names and no numbers are written, and every cell has a tooltip."""
    columns = [f"{one:04d}" for one in range(60)]
    chart = heat_chart("t", ["r"], columns, [[0.1] * 60])

    assert 'class="cells"' not in chart
    assert chart.count("data-tip") == 60
    assert len(re.findall(r'<span style="left', chart)) <= 6


@pytest.mark.parametrize("chart", [line_chart("lines", [], []), bar_chart("bars", [Bar(name="a", value=math.nan)])])
def test_a_chart_without_values_has_a_text(chart):
    """A chart without a finite value has a text in place of a drawing."""
    assert "nothing to draw" in chart
    assert "<svg" not in chart
