"""Ranges of numbers in a recipe."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """
    A range of numbers.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        open_low: Whether the lower end itself is refused.
        open_high: Whether the upper end itself is refused.
    """

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number: float) -> bool:
        """Return whether a number is in the range; NaN never is."""
        if math.isnan(number):
            return False
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"over {self.low:g}" if self.open_low else f"at least {self.low:g}"
        high = f"under {self.high:,.12g}" if self.open_high else f"at most {self.high:,.12g}"
        return f"{low} and {high}"


SHARE = Limit(low=0, high=1)
DROPPED = Limit(low=0, high=1, open_high=True)


def out_of_range(options: Any, limits: Mapping[str, Limit], prefix: str = "") -> Iterator[str]:  # noqa: ANN401 - a dataclass
    """
    Yield a line for each number of a dataclass that is outside its range: key, value, allowed range.

    Args:
        options: The dataclass; of a list of numbers, each is checked.
        limits: Range by name of a field.
        prefix: Keys around the fields in the recipe's file, such as ``network.``.
    """
    for one in fields(options):
        limit, value = limits.get(one.name), getattr(options, one.name)
        for number in value if isinstance(value, tuple) else (value,):
            if limit is not None and number is not None and number not in limit:
                yield f"{prefix}{one.name} = {shortened(number)} must be {limit}"


def shortened(value: float) -> str:
    """Return a number as text of a length that fits a line."""
    return f"{value:g}" if isinstance(value, float) or abs(value) < 10**12 else f"a number of {len(str(value))} digits"
