"""Small drawings inside of text: a line of the cumulative score, and a figure beside its expected interval."""

import math
from collections.abc import Sequence
from itertools import accumulate

from markupsafe import Markup

POINTS = 60
"""Points of a small line."""

WIDTH, HEIGHT = 200, 48


def sparkline(values: Sequence[float | None], about: str) -> Markup:
    """
    Draw the cumulative sum of *values* as a small line with a line at zero; empty for fewer than two of them.

    Args:
        values: One value an era; ``None`` adds nothing.
        about: What it shows, for a reader who does not see it.
    """
    sums = list(accumulate(value or 0.0 for value in values))
    if len(sums) < 2:
        return Markup()
    step = math.ceil(len(sums) / POINTS)
    shown = [*sums[:-1:step], sums[-1]]
    low, high = min(0.0, *shown), max(0.0, *shown)
    span = high - low or 1.0
    points = [(WIDTH * at / (len(shown) - 1), HEIGHT * (high - value) / span) for at, value in enumerate(shown)]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    zero = f"{HEIGHT * high / span:.1f}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="rule" d="M0 {}H{}"/><path class="line" d="M{}"/></svg>'
    ).format(WIDTH, HEIGHT, about, zero, WIDTH, line)


def interval(*, mean: float, low: float, high: float, seen: float, scale: tuple[float, float], about: str) -> Markup:
    """
    Draw an expected interval as a band with its mean, zero as a rule, and what was seen as a dot, red outside of the band.

    Args:
        mean: Expected value.
        low: Lower end of its interval.
        high: Upper end.
        seen: Value that was seen.
        scale: Values at the left and the right edge, so that several drawings can be compared.
        about: What it shows, for a reader who does not see it.
    """
    left, right = scale
    span = right - left or 1.0

    def at(value: float) -> str:
        return f"{WIDTH * (value - left) / span:.1f}"

    outside = "" if low <= seen <= high else " outside"
    return Markup(
        '<svg class="span" viewBox="0 0 {} 20" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="range" d="M{} 10H{}"/><path class="rule" d="M{} 0V20"/><path class="mean" d="M{} 4V16"/>'
        '<path class="seen{}" d="M{} 10h.1"/></svg>'
    ).format(WIDTH, about, at(low), at(high), at(0.0), at(mean), outside, at(seen))
