"""
Faults of the sandbox: added one by one, or drawn from a seeded plan.

A plan is JSON: ``{"seed": 7, "share": 0.2, "faults": [{"operation": "PUT", "kind": "reset", "phase": "after"}]}``. Its
``faults`` happen in their order. In addition, each request gets a drawn fault with probability ``share``. The draw depends
only on the seed, the operation and the number of its earlier requests.
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
    "submission_scores", "compute_pickle_data_versions", "compute_pickle_docker_images", "compute_pickle_upload_auth",
    "create_compute_pickle_upload", "compute_pickles", "assign_pickle_to_model",
)  # fmt: skip
ANSWERS = (
    "status", "bad_gateway", "unavailable", "throttled", "unauthorized", "expired", "graphql_error", "html", "empty",
    "wrong_type", "reset", "fin", "hang", "slow", "slow_headers", "trickle", "long", "short_length", "gzip",
)  # fmt: skip
"""Faults of any operation: wrong answers and broken connections, before or after its effect."""

FILES = (
    "truncate", "short", "drip", "ignore_range", "xml", "flip", "no_length", "stale_live", "drop_features", "schema",
)  # fmt: skip
"""Faults of a GET from the storage only."""

HOSTS = ("dns", "tls")
"""Faults of presigned URLs: the host has no address, or has no TLS."""

EVENTS = (
    "rollover", "close", "close_early", "extend", "open_late", "data_late", "data_stale", "schema_change",
    "slot_disabled", "key_revoked", "clock_skew", "foreign_submission", "model_renamed", "model_deleted",
    "version_removed", "version_added", "pickle_hangs", "pickle_fails", "pickle_replaced", "hosted_fails", "hosted_silent",
)  # fmt: skip
"""Events of the tournament. The request that triggers an event is answered by the state after it."""

DRAWN = ("status", "bad_gateway", "unavailable", "throttled", "graphql_error", "html", "empty", "wrong_type", "reset",
         "fin", "gzip")  # fmt: skip
"""Kinds that a plan draws by default: those that take no time."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """
    One fault.

    Attributes:
        operation: A GraphQL field in snake case, ``GET``, ``PUT``, or ``*`` for any operation.
        kind: One of ``ANSWERS`` or ``EVENTS``; for GET also of ``FILES``, for fields that grant a URL also of ``HOSTS``.
        phase: ``before`` or ``after`` the effect of the operation; ``delayed`` answers at once and has the effect *seconds*
            later; ``stale`` answers from the state *seconds* ago.
        times: Number of requests that get the fault.
        skip: Number of requests that pass before it.
        status: HTTP status of kind ``status``.
        seconds: Real seconds of ``hang``, ``slow``, ``slow_headers``, ``trickle``, ``drip`` and ``long``; sandbox seconds of delays and
            events.
        message: Message of ``graphql_error``; name of the mutation for ``schema`` and ``schema_change``; new name for
            ``model_renamed``; reason of ``pickle_fails`` and ``hosted_fails``.
        headers: Headers added to the answer of kind ``status``.
        at_s: Sandbox seconds after the start from which on a request can get the fault.
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
    The faults of a run.

    Attributes:
        seed: Seed of the draws.
        share: Probability that a request gets a drawn fault; half of them strike before its effect, half after it.
        operations: Operations that can get a drawn fault.
        kinds: Kinds of faults to draw from.
        seconds: Duration of drawn faults that take time.
        faults: Faults that always happen.
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
            ValueError: It is not JSON, or holds a name that does not exist; the message holds that name.
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
    """Queue of faults: those that were added, in their order, then those that the plan draws. *clock* measures ``at_s``."""

    def __init__(self, plan: Plan | None = None, clock: SandboxClock | None = None) -> None:
        self._lock, self._clock = threading.Lock(), clock or SandboxClock()
        self._began = self._clock.now()
        self.plan = plan or Plan()
        self._pending = [replace(one) for one in self.plan.faults]
        self._asked: dict[tuple[str, Phase], int] = {}

    def add(self, fault: Fault) -> None:
        """Append a fault to the queue."""
        with self._lock:
            self._pending.append(fault)

    def clear(self) -> None:
        """Remove all faults and the plan."""
        with self._lock:
            self._pending.clear()
            self.plan = Plan()

    def take(self, operation: str, phase: Phase) -> Fault | None:
        """Return the next fault of a request and count it; ``None`` if the request has none."""
        with self._lock:
            passed_s = (self._clock.now() - self._began).total_seconds()
            for fault in self._pending:
                matches = fault.operation in (operation, "*") and fault.phase == phase
                if matches and fault.times > 0 and fault.at_s <= passed_s:
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
