"""Values that checks and measurements return: a finding, or the reason why there is no result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a gate says: its value, its limit, and for a refusal the way out."""

    gate: str
    ok: bool
    value: float | str
    limit: str
    message: str


@dataclass(frozen=True, slots=True)
class Absent:
    """
    A result that could not be computed.

    Attributes:
        reason: Why, in a few words.
    """

    reason: str
