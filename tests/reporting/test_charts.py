"""Charts: positions, gaps, scales, tooltips and escaping."""

import json
import math
import re
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.reporting.charts import COARSE, Bar, Line, bar_chart, heat_chart, line_chart

FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)


def embedded(chart: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', chart).group(1))


def size(chart: str) -> tuple[int, int]:
    """Return width and height of the drawing area."""
    return tuple(int(one) for one in re.search(r'viewBox="0 0 (\d+) (\d+)"', chart).groups())


def points(path: str) -> list[list[tuple[int, int]]]:
    """Return the points of every unbroken stretch of a path: the first one, then distances."""
    found = []
    for stretch in path.split("M")[1:]:
        numbers = [int(one) for one in re.findall(r"-?\d+", stretch)]
        steps = zip(numbers[::2], numbers[1::2], strict=True)
        found.append(list(accumulate(steps, lambda at, step: (at[0] + step[0], at[1] + step[1]))))
    return found


def drawn(chart: str) -> list[list[tuple[int, int]]]:
    """Return the stretches of all lines."""
    return [one for path in re.findall(r'class="line[^"]*" d="([^"]*)"', chart) for one in points(path)]


def read(chart: str) -> list[float]:
    """Return the values of all points as the script reads them."""
    about = embedded(chart)
    return [about["high"] - y / 10 ** about["digits"] for stretch in drawn(chart) for _, y in stretch]


def test_a_line_runs_from_edge_to_edge_and_larger_values_are_higher():
    """The first and the last value are at the edges, and a larger value has a smaller y."""
    chart = line_chart("t", ["a", "b", "c"], [Line(name="n", values=[0.0, 2.0, 1.0])])
    (line,) = drawn(chart)
    width, height = size(chart)

    assert [x for x, _ in line] == [0, width / 2, width]
    assert line[1][1] < line[2][1] < line[0][1] == height


def test_a_missing_value_is_a_gap_and_not_a_zero():
    """A NaN splits the line."""
    chart = line_chart("t", list("abcde"), [Line(name="n", values=[1.0, 2.0, math.nan, 4.0, 5.0])])

    assert [[x for x, _ in stretch] for stretch in drawn(chart)] == [[0, 1], [3, 4]]


def test_a_single_value_is_a_dot():
    """A value between gaps is drawn as a dot of its own, and one value alone stands in the middle."""
    between = line_chart("t", list("abc"), [Line(name="n", values=[math.nan, 2.0, math.nan])])
    only = line_chart("t", ["a"], [Line(name="n", values=[2.0])])

    assert 'class="alone" d="M1 0l0 0"' in between
    assert 'class="alone" d="M1 0l0 0"' in only
    assert size(only)[0] == 2


def test_positions_may_be_uneven():
    """With *x*, the points are at its coordinates."""
    chart = line_chart("t", list("abc"), [Line(name="n", values=[1.0, 1.0, 1.0])], x=[0.0, 0.1, 1.0])
    (line,) = drawn(chart)

    assert [x / size(chart)[0] for x, _ in line] == [0.0, 0.1, 1.0]


@given(st.lists(FINITE, min_size=1, max_size=40), st.integers(0, 3))
def test_every_value_is_inside_the_drawing_area(values, gaps):
    """Any values and zero lie between the first and the last tick, and ticks are evenly spaced."""
    chart = line_chart("t", [str(one) for one in range(len(values) + gaps)], [
        Line(name="n", values=[*values, *[math.nan] * gaps]),
    ])  # fmt: skip
    data = embedded(chart)
    marks = [float(top) for top in re.findall(r'class="y[^"]*" style="top:([\d.]+)%', chart)]
    _, height = size(chart)

    rounding = 1e-6 * (data["high"] - data["low"])

    assert data["low"] <= min(0.0, *values) + rounding
    assert data["high"] >= max(0.0, *values) - rounding
    assert height <= COARSE
    assert all(0 <= y <= height for stretch in drawn(chart) for _, y in stretch)
    assert 2 <= len(marks) <= 9
    assert len({round(high - low, 1) for high, low in pairwise(marks)}) <= 2


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40), st.integers(2, 4))
def test_the_script_reads_every_decimal_from_the_path(values, decimals):
    """Values read back from the drawn path are the given ones to all decimals of the tooltip."""
    chart = line_chart(
        "t", [str(one) for one in range(len(values))], [Line(name="n", values=values)], decimals=decimals
    )

    assert embedded(chart)["decimals"] == decimals
    assert read(chart) == pytest.approx(values, abs=0.5000001 * 10**-decimals)


def test_a_band_follows_its_edges():
    """The band is one closed shape along both edges, without positions that lack an edge."""
    line = Line(name="n", values=[1.0, 2.0, 3.0], low=[0.0, math.nan, 2.0], high=[2.0, math.nan, 4.0])
    chart = line_chart("t", list("abc"), [line])
    ((*around,),) = points(re.search(r'class="band" d="(.*?)Z"', chart).group(1))
    unit = size(chart)[1] / 4

    assert [(x, y / unit) for x, y in around] == [(0, 2.0), (2, 0.0), (2, 2.0), (0, 4.0)]


def test_more_lines_than_colours_stay_apart():
    """A ninth line has the first colour, and is dashed."""
    chart = line_chart("t", ["a", "b"], [Line(name=str(one), values=[one, one]) for one in range(9)])

    assert chart.count('<g class="s0"') == 2
    assert chart.count("line dashed") == 1


def test_names_cannot_break_out_of_the_page():
    """Titles, names, labels and notes are escaped."""
    evil = '</script><img src=x onerror="boom">'
    charts = [
        line_chart(evil, [evil, "b"], [Line(name=evil, values=[1.0, 2.0])], note=evil, across=evil),
        bar_chart(evil, [Bar(name=evil, value=1.0, note=evil)], note=evil),
        heat_chart(evil, [evil], [evil], [[1.0]], note=evil, down=evil, across=evil, under=[evil]),
    ]

    for chart in charts:
        assert "<img" not in chart
        assert chart.count("</script>") == chart.count("<script")
    assert embedded(charts[0])["labels"][0] == evil


def test_bars_share_one_scale_with_zero_on_it():
    """Bars start at zero and are as long as their values; the tooltip has interval and note."""
    chart = bar_chart("t", [Bar(name="a", value=3.0, low=2.0, high=4.0, note="x"), Bar(name="b", value=-1.0)])
    (up,), (down,) = (re.findall(rf'class="{kind}" d="M(\d+) \d+H(\d+)', chart) for kind in ("up", "down"))

    assert (up, down) == (("200", "800"), ("0", "200"))
    assert embedded(chart)["notes"] == [" (2.0000 to 4.0000) · x", ""]


def test_a_bar_without_a_value_is_a_dash():
    """A NaN draws no bar and is written as a dash."""
    chart = bar_chart("t", [Bar(name="a", value=math.nan), Bar(name="b", value=1.0)])

    assert re.findall(r'class="(?:up|down)" d="([^"]*)"', chart)[0].count("M") == 1
    assert "<span>\N{EN DASH}</span>" in chart


def test_heat_is_strongest_at_the_largest_value():
    """Strength is the share of the largest absolute value, the sign decides the colour, and NaN is an empty cell."""
    chart = heat_chart("t", ["r", "q"], ["c", "d"], [[0.5, -1.0], [math.nan, 0.0]])

    assert re.findall(r'class="(\w+)" style="--strength:([\d.]+)" d="([^"]*)"', chart) == [
        ("down", "1", "M1 0h1v1h-1z"),
        ("up", "0.5", "M0 0h1v1h-1z"),
    ]
    assert embedded(chart)["values"] == [[0.5, -1.0], [None, 0.0]]


def test_heat_has_axis_titles_and_a_scale():
    """Both axes have their titles, and the scale reaches from minus to plus the largest value, or from zero."""
    both = heat_chart("t", ["r"], ["c", "d"], [[0.5, -1.0]], down="group", across="era")
    positive = heat_chart("t", ["r"], ["c", "d"], [[0.5, 1.0]])

    assert re.findall(r'class="axis (\w+)">(\w+)<', both) == [("down", "group"), ("across", "era")]
    scales = [
        re.sub(r"<.*?>", " ", re.search(r'class="scale">(.*?)</p>', one).group(1)).split() for one in (both, positive)
    ]
    assert scales == [["\N{MINUS SIGN}1.00", "0", "1.00"], ["0", "1.00"]]


def test_wide_heat_shows_numbers_only_in_tooltips():
    """With many columns, some names and no numbers are written, and every cell has a tooltip."""
    columns = [f"{one:04d}" for one in range(60)]
    chart = heat_chart("t", ["r"], columns, [[0.1] * 60])

    assert 'class="cells"' not in chart
    assert embedded(chart)["values"] == [[0.1] * 60]
    assert embedded(chart)["columns"] == columns
    assert len(re.findall(r'<span class="x[^"]*" style="left', chart)) <= 6


@pytest.mark.parametrize("chart", [line_chart("lines", [], []), bar_chart("bars", [Bar(name="a", value=math.nan)])])
def test_a_chart_without_values_has_a_text(chart):
    """A chart without a finite value has a text in place of a drawing."""
    assert "nothing to draw" in chart
    assert "<svg" not in chart
