"""Values that checks and measurements return: a finding, or the reason for a missing result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    Result of a gate.

    Attributes:
        gate: Name of the gate.
        ok: Whether the gate passes.
        value: Measured value.
        limit: Limit of the value, in words.
        message: Reason of a refusal and the way to fix it.
        remedy: The way to fix it alone; empty where the message has it only as a part.
        setting: Name of the setting that holds the limit, such as ``BOT_MAX_EXPOSURE``; empty where none does.
    """

    gate: str
    ok: bool
    value: float | str
    limit: str
    message: str
    remedy: str = ""
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """
    A result that could not be computed.

    Attributes:
        reason: Why, in a few words.
    """

    reason: str
