"""The result of one check, and how an error inside a check becomes a result."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from bot.errors import BotError
from bot.settings import Account
from bot.system.files import state_error

Verdict = Literal["failure", "warning", "fixed", "note", "ok"]
"""Verdicts, the worst first."""


ROUND = "round"
"""Name of the check that says why the newest round is not filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    The result of one check.

    Attributes:
        name: Subject of the check; constant, for scripts. With several accounts, their names follow.
        verdict: ``failure`` keeps the bot from working, ``warning`` may do so later, ``fixed`` was repaired just now, ``note``
            is information.
        what: The finding in one line, with numbers.
        fix: Steps that fix it; empty where there are none.
        exit_code: Exit code of ``bot doctor`` when this is the worst failure; 0 unless it is a failure.
    """

    name: str
    verdict: Verdict
    what: str
    fix: str = ""
    exit_code: int = 0


def named(subject: str, account: Account) -> str:
    """Return the name of a check of one account: *subject*, and the account's name where it has one."""
    return subject if account.name is None else f"{subject} {account.name}"


def ok(name: str, what: str) -> Check:
    """Return a check without a fault."""
    return Check(name=name, verdict="ok", what=what)


def fixed(name: str, what: str) -> Check:
    """Return a fault that was repaired just now."""
    return Check(name=name, verdict="fixed", what=what)


def note(name: str, what: str, fix: str = "") -> Check:
    """Return information for the operator."""
    return Check(name=name, verdict="note", what=what, fix=fix)


def warning(name: str, what: str, fix: str) -> Check:
    """Return a fault that does not keep the bot from working today."""
    return Check(name=name, verdict="warning", what=what, fix=fix)


def failure(name: str, error: BotError, fix: str) -> Check:
    """Return a fault that keeps the bot from working, with the message and exit code of *error*."""
    return Check(name=name, verdict="failure", what=str(error), fix=fix, exit_code=error.exit_code)


def guarded(name: str, check: Callable[[], Iterable[Check]], fix: str) -> Iterator[Check]:
    """Yield the results of *check*; an error in it becomes a failure, so that the next check still runs."""
    try:
        yield from check()
    except BotError as error:
        yield failure(name, error, fix)
    except OSError as error:
        yield failure(name, state_error(Path(name), error), fix)


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """Return the checks with failures first, then warnings; the order within a verdict stays."""
    return sorted(checks, key=lambda check: get_args(Verdict).index(check.verdict))


def summary(checks: Collection[Check]) -> str:
    """Return one line on the number of failures and warnings."""
    failures, warnings = (sum(one.verdict == kind for one in checks) for kind in ("failure", "warning"))
    counted = [f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in ((failures, "failure"), (warnings, "warning")) if count]  # fmt: skip
    examined = f"{len(checks)} result{'s' if len(checks) > 1 else ''}"
    if failures:
        return f"{' and '.join(counted)} in {examined}: begin with the first"
    if warnings:
        refused = any(one.verdict == "warning" and one.name == ROUND for one in checks)
        end = "but the newest round is not filled" if refused else "rounds can be submitted"
        return f"{counted[0]} in {examined}, no failure{',' if refused else ':'} {end}"
    return f"{examined}, nothing to fix"


def exit_code(checks: Iterable[Check]) -> int:
    """Return 0 without a failure, 78 where the operator must act, else 65 before 75."""
    codes = {check.exit_code for check in checks if check.verdict == "failure"}
    return next((code for code in (78, 65, 75) if code in codes), max(codes, default=0))
