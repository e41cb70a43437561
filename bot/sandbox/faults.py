"""Ways in which the sandbox misbehaves on request."""

import threading
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["before", "after"]


@dataclass(slots=True, kw_only=True)
class Fault:
    """
    One misbehaviour.

    Attributes:
        operation: A GraphQL field in snake case, ``GET`` or ``PUT``.
        kind: ``status``, ``hang``, ``reset``, ``graphql_error``, ``html``, ``empty``; on GET also ``truncate`` (cut
            off), ``short`` (cut, and its length says so), ``drip``, ``ignore_range``, ``xml``, ``stale_live``,
            ``drop_features``.
        phase: Whether the operation has had its effect when it misbehaves.
        times: How often.
        status: For ``status``.
        seconds: For ``hang`` and, in all, for ``drip``.
        message: For ``graphql_error``.
        headers: Added to the answer of ``status``.
    """

    operation: str
    kind: str
    phase: Phase = "before"
    times: int = 1
    status: int = 500
    seconds: float = 30.0
    message: str = "Internal server error"
    headers: dict[str, str] = field(default_factory=dict)


class Faults:
    """The faults that are still to come, in the order they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let the sandbox misbehave."""
        with self._lock:
            self._pending.append(fault)

    def clear(self) -> None:
        """Let it behave from now on."""
        with self._lock:
            self._pending.clear()

    def take(self, operation: str, phase: Phase) -> Fault | None:
        """Return the next fault of an operation and count it, or ``None``."""
        with self._lock:
            for fault in self._pending:
                if fault.operation == operation and fault.phase == phase and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None
