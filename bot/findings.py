"""The result of one check: of a submission, of a challenger, of a hold-out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a gate says: its value, its limit, and for a refusal the way out."""

    gate: str
    ok: bool
    value: float | str
    limit: str
    message: str
