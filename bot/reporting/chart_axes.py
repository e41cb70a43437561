"""Ticks and labels of the axes of a chart, and numbers as text."""

import math
from collections.abc import Sequence

TICKS = 5
"""Approximate number of labels on an axis."""

Floats = Sequence[float]
Mark = tuple[float, str]
"""Position of a label as a share of the axis's length, and its text."""


def format_number(value: float | None, decimals: int = 4) -> str:
    """Return a number as text; a dash for ``None``, NaN and infinity."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def round_ticks(values: Floats) -> list[float]:
    """Return evenly spaced round numbers that cover all *values*."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def scale(x: Floats, width: float) -> list[float]:
    """Map ascending values to positions from 0 to *width*; a single value goes to the middle."""
    span = x[-1] - x[0]
    return [width * (value - x[0]) / span if span else width / 2 for value in x]


def y_marks(ticks: Floats) -> list[Mark]:
    """Return the labels of the vertical axis, measured from its top, with as many decimals as the ticks need."""
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    last = len(ticks) - 1
    return [(1 - index / last, format_number(tick, decimals)) for index, tick in enumerate(ticks)]


def x_marks(labels: Sequence[str], x: Floats) -> list[Mark]:
    """Return the labels of the horizontal axis: round numbers if *x* is given, else some of *labels*, evenly spaced."""
    if x and x[0] < x[-1]:
        inside = [tick for tick in round_ticks([x[0], x[-1]]) if x[0] <= tick <= x[-1]]
        return [((tick - x[0]) / (x[-1] - x[0]), f"{tick:.4g}") for tick in inside]
    last = max(len(labels) - 1, 1)
    shown = range(0, len(labels), math.ceil(last / TICKS))
    return [(index / last if len(labels) > 1 else 0.5, labels[index]) for index in shown]
