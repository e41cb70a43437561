"""What a check of the doctor finds, and how the checks of one subject run together."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from bot.errors import BotError

Verdict = Literal["ok", "note", "warning", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    One thing that was looked at.

    Attributes:
        name: What was looked at; constant, for scripts.
        verdict: ``failure`` keeps the bot from working, ``warning`` may do so one day, ``note`` is only told.
        what: What was found, with numbers, in one line.
        fix: What to do about it; empty where there is nothing to do.
        exit_code: What ``bot doctor`` ends with when this is the worst failure; 0 unless it is one.
    """

    name: str
    verdict: Verdict
    what: str
    fix: str = ""
    exit_code: int = 0


def ok(name: str, what: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name=name, verdict="ok", what=what)


def note(name: str, what: str, fix: str = "") -> Check:
    """Return something worth knowing."""
    return Check(name=name, verdict="note", what=what, fix=fix)


def warning(name: str, what: str, fix: str) -> Check:
    """Return a danger that does not keep the bot from working today."""
    return Check(name=name, verdict="warning", what=what, fix=fix)


def failure(name: str, error: BotError, fix: str) -> Check:
    """Return what keeps the bot from working; the error says what happens when it is met."""
    return Check(name=name, verdict="failure", what=str(error), fix=fix, exit_code=error.exit_code)


def guarded(name: str, look: Callable[[], Iterable[Check]], fix: str) -> Iterator[Check]:
    """Yield what *look* finds; an error it ends with is a finding too, so that one check never hides the next."""
    try:
        yield from look()
    except BotError as error:
        yield failure(name, error, fix)
    except OSError as error:
        yield Check(
            name=name, verdict="failure", what=f"{error.filename or name}: {error.strerror}", fix=fix, exit_code=78
        )


def exit_code(checks: Iterable[Check]) -> int:
    """Return 0 without a failure; else 78 where a person has to act, 65 before 75 otherwise."""
    codes = {check.exit_code for check in checks if check.verdict == "failure"}
    return next((code for code in (78, 65, 75) if code in codes), max(codes, default=0))
