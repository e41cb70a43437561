"""Search spaces: the choices that a kind offers to `bot tune`, around the values of a member."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from bot.members.limits import Limit

Value = TypeVar("Value", int, float, str)


class Choices(Protocol):
    """
    Chooses values of a member's options; a trial of a study does.

    A key is the name of an option, each once. The member's own value is always among the values to choose from. An option that
    has no other value, or whose own value is 0 where a range is a multiple of it, keeps its value.
    """

    def one_of(self, key: str, own: Value, choices: Sequence[Value]) -> Value:
        """Choose one of some values."""
        ...

    def between(self, key: str, own: float, low: float, high: float) -> float:
        """Choose a number of a range."""
        ...

    def scaled(self, key: str, own: float, *, times: float, limit: Limit) -> float:
        """Choose a number from ``own / times`` to ``own * times`` within *limit*, on a logarithmic scale."""
        ...

    def scaled_whole(self, key: str, own: int, *, times: float, limit: Limit) -> int:
        """Choose a whole number from ``own / times`` to ``own * times`` within *limit*, on a logarithmic scale."""
        ...
