"""Ticks, places and words along the axes of a chart."""

import math
from collections.abc import Sequence

TICKS = 5
"""Labels an axis has, more or less."""

Floats = Sequence[float]
Mark = tuple[float, str]
"""A share of an axis's length, and what stands there."""


def number(value: float | None, decimals: int = 4) -> str:
    """Return a figure as text, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def round_ticks(values: Floats) -> list[float]:
    """Return round numbers, evenly spaced, from at or below the smallest value to at or above the largest."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def places(x: Floats, width: float) -> list[float]:
    """Return ascending positions on an axis of that width; a single one stands in the middle."""
    span = x[-1] - x[0]
    return [width * (place - x[0]) / span if span else width / 2 for place in x]


def y_marks(ticks: Floats) -> list[Mark]:
    """Return ticks as marks from the top, with as many decimals as tell them apart."""
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    last = len(ticks) - 1
    return [(1 - index / last, number(tick, decimals)) for index, tick in enumerate(ticks)]


def x_marks(labels: Sequence[str], x: Floats) -> list[Mark]:
    """Return round numbers where there is an ascending *x*, some of the evenly spread labels otherwise."""
    if x and x[0] < x[-1]:
        inside = [tick for tick in round_ticks([x[0], x[-1]]) if x[0] <= tick <= x[-1]]
        return [((tick - x[0]) / (x[-1] - x[0]), f"{tick:.4g}") for tick in inside]
    last = max(len(labels) - 1, 1)
    shown = range(0, len(labels), math.ceil(last / TICKS))
    return [(index / last if len(labels) > 1 else 0.5, labels[index]) for index in shown]
