"""
Ways in which the sandbox misbehaves on request, or by a seeded plan.

A plan is JSON: ``{"seed": 7, "share": 0.2, "faults": [{"operation": "PUT", "kind": "reset", "phase": "after"}]}``. Its
``faults`` happen in their order; besides, each request meets a drawn fault with probability ``share``. The n-th request
of an operation meets the same fault under the same seed, whatever else happens.
"""

import json
import random
import threading
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from bot.sandbox.clock import SandboxClock

Phase = Literal["before", "after", "delayed", "stale"]

OPERATIONS = (
    "rounds", "list_datasets", "dataset", "GET", "account", "submissions", "submission_upload_auth", "PUT",
    "create_submission", "submission_download_auth", "diagnostics_upload_auth", "create_diagnostics", "diagnostics",
    "submission_scores",
)  # fmt: skip
ANSWERS = (
    "status", "bad_gateway", "unavailable", "throttled", "unauthorized", "expired", "graphql_error", "html", "empty",
    "wrong_type", "reset", "fin", "hang", "slow", "trickle", "long", "short_length", "gzip",
)  # fmt: skip
"""What any operation can be answered instead of, or after, what it asked for."""

FILES = (
    "truncate", "short", "drip", "ignore_range", "xml", "flip", "no_length", "stale_live", "drop_features", "schema",
)  # fmt: skip
"""What only a GET of the storage can meet."""

HOSTS = ("dns", "tls")
"""Presigned URLs that lead to a host without an address, or to one that does not speak TLS."""

EVENTS = (
    "rollover", "close", "close_early", "extend", "open_late", "data_late", "data_stale", "schema_change",
    "slot_disabled", "key_revoked", "clock_skew", "foreign_submission", "model_renamed", "model_deleted",
    "version_removed",
    "version_added",
)  # fmt: skip
"""What befalls the tournament itself; the request during which it happens is then answered as things stand."""

DRAWN = ("status", "bad_gateway", "unavailable", "throttled", "graphql_error", "html", "empty", "wrong_type", "reset",
         "fin", "gzip")  # fmt: skip
"""Kinds that a plan draws from when it names none: those that cost no time."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """
    One misbehaviour.

    Attributes:
        operation: A GraphQL field in snake case, ``GET``, ``PUT``, or ``*`` for whichever comes next.
        kind: One of ``ANSWERS``, ``EVENTS``; on GET also of ``FILES``, where a URL is granted also of ``HOSTS``.
        phase: ``before`` or ``after`` the operation has had its effect; ``delayed`` answers at once and has its effect
            *seconds* later; ``stale`` answers what was so *seconds* ago.
        times: How often.
        skip: Requests that are let through before.
        status: For ``status``.
        seconds: For ``hang``, ``slow``, ``trickle``, ``drip`` and ``long`` in real time; for delays and events in the
            sandbox's.
        message: For ``graphql_error``; for ``schema`` and ``schema_change`` the name of the mutation; for
            ``model_renamed`` the new name.
        headers: Added to the answer of ``status``.
        at_s: Sandbox seconds after its start before which it does not happen; the next request meets it then.
    """

    operation: str
    kind: str
    phase: Phase = "before"
    times: int = 1
    skip: int = 0
    status: int = 500
    seconds: float = 30.0
    message: str = "Internal server error"
    headers: dict[str, str] = field(default_factory=dict)
    at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What goes wrong in a run.

    Attributes:
        seed: Of the draws.
        share: Probability that a request meets a drawn fault, before or after its effect alike.
        operations: Those that may meet one.
        kinds: Those that are drawn.
        seconds: Of drawn faults that take time.
        faults: Those that happen for sure.
    """

    seed: int = 0
    share: float = 0.0
    operations: tuple[str, ...] = OPERATIONS
    kinds: tuple[str, ...] = DRAWN
    seconds: float = 1.0
    faults: tuple[Fault, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """
        Read a plan.

        Raises:
            ValueError: It is not JSON, or names something that does not exist; the message says what.
        """
        about = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise ValueError("a plan is an object")  # noqa: TRY004 - of the file's content
        _known(about, Plan)
        faults = tuple(_fault(one) for one in about.pop("faults", ()))
        lists: dict[str, Any] = {name: tuple(about.pop(name)) for name in ("operations", "kinds") if name in about}
        plan = cls(faults=faults, **lists, **about)
        _among(plan.operations, OPERATIONS, "operation")
        _among(plan.kinds, ANSWERS, "kind")
        return plan


class Faults:
    """The faults that are still to come: those added, in their order, then those a plan draws; *clock* knows when."""

    def __init__(self, plan: Plan | None = None, clock: SandboxClock | None = None) -> None:
        self._lock, self._clock = threading.Lock(), clock or SandboxClock()
        self._began = self._clock.now()
        self.plan = plan or Plan()
        self._pending = [replace(one) for one in self.plan.faults]
        self._asked: dict[tuple[str, Phase], int] = {}

    def add(self, fault: Fault) -> None:
        """Let the sandbox misbehave."""
        with self._lock:
            self._pending.append(fault)

    def clear(self) -> None:
        """Let it behave from now on."""
        with self._lock:
            self._pending.clear()
            self.plan = Plan()

    def take(self, operation: str, phase: Phase) -> Fault | None:
        """Return the next fault of an operation and count it, or ``None``."""
        with self._lock:
            passed_s = (self._clock.now() - self._began).total_seconds()
            for fault in self._pending:
                meets = fault.operation in (operation, "*") and fault.phase == phase
                if meets and fault.times > 0 and fault.at_s <= passed_s:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
            return self._draw(operation, phase)

    def _draw(self, operation: str, phase: Phase) -> Fault | None:
        plan = self.plan
        if not plan.share or operation not in plan.operations or phase not in ("before", "after"):
            return None
        nth = self._asked.get((operation, phase), 0)
        self._asked[operation, phase] = nth + 1
        drawn = random.Random(f"{plan.seed}/{operation}/{phase}/{nth}")  # noqa: S311 - repeatable, not secret
        if drawn.random() >= plan.share / 2:
            return None
        return Fault(operation=operation, kind=drawn.choice(plan.kinds), phase=phase, seconds=plan.seconds)


def _fault(about: dict[str, Any]) -> Fault:
    _known(about, Fault)
    fault = Fault(**about)
    _among((fault.operation,), (*OPERATIONS, "*"), "operation")
    _among((fault.phase,), get_args(Phase), "phase")
    _among((fault.kind,), (*ANSWERS, *FILES, *HOSTS, *EVENTS), "kind")
    return fault


def _known(about: dict[str, Any], kind: type[Plan | Fault]) -> None:
    _among(tuple(about), tuple(one.name for one in fields(kind)), f"key of a {kind.__name__.lower()}")


def _among(given: tuple[str, ...], known: tuple[str, ...], what: str) -> None:
    strange = [one for one in given if one not in known]
    if strange:
        raise ValueError(f"{strange[0]!r} is no {what}; there are: {', '.join(known)}")
