"""The answer of a command: lines for a person, or one JSON object for a program."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import typer

from bot.errors import BotError

WORST_FIRST = (1, 78, 65, 75)
"""Exit codes of failed parts: a crash, a person is needed, refused, try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    The answer of a command.

    Attributes:
        content: The answer for a program: JSON values, dataclasses and paths, with the keys of :mod:`bot.cli.json_answers`.
        lines: Lines for a person; empty where the command has printed them already.
        errors: Errors of the parts that failed, for a command that goes on with its other parts; ``None`` for any other. They are
            the key ``errors`` of the object.
    """

    content: Mapping[str, object]
    lines: tuple[str, ...] = ()
    errors: Sequence[BotError] | None = None


def aside(*, as_json: bool) -> AbstractContextManager[Any]:
    """Let what a command prints for a person go to standard error where standard output belongs to a program."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def answer(work: Callable[[], Answer | None], *, as_json: bool) -> None:
    """
    Do the work of a command that prints for a person meanwhile, and show its answer; ``None`` shows nothing.

    Raises:
        BotError: A part failed; see :func:`show`.
    """
    with aside(as_json=as_json):
        found = work()
    if found is not None:
        show(found, as_json=as_json)


def show(answer: Answer, *, as_json: bool) -> None:
    """
    Print an answer on standard output, and the errors of its parts on standard error.

    Raises:
        BotError: The worst error of the parts, which is not printed yet.
        typer.Exit: The same where *as_json*; all are printed.
    """
    if as_json:
        parts = {} if answer.errors is None else {"errors": [error_about(one) for one in answer.errors]}
        typer.echo(to_json({**answer.content, **parts}))
    elif answer.lines:
        typer.echo("\n".join(answer.lines))
    if not answer.errors:
        return
    # Of equal ones the last, so that errors stand in the order of the parts.
    worst = min(reversed(answer.errors), key=lambda error: WORST_FIRST.index(error.exit_code))
    for other in answer.errors:
        if as_json or other is not worst:
            typer.echo(f"error: {other}", err=True)
    if as_json:
        raise typer.Exit(worst.exit_code)
    raise worst


def to_json(content: Mapping[str, object]) -> str:
    """Return an object as JSON text; NaN and infinities, which JSON lacks, become ``null``."""
    return json.dumps(_plain(content), indent=1, allow_nan=False)


def error_content(error: Exception) -> dict[str, Any]:
    """Return what `--json` prints in place of an answer: the kind, the message and the exit code of the error."""
    return {"error": error_about(error)}


def error_about(error: Exception) -> dict[str, Any]:
    """Return the kind, the message and the exit code of an error; 1 for one that nobody expected, 2 for a wrong option."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if isinstance(error, typer.Abort):
        message = "stopped before the last answer; nothing was written"
    return {"kind": type(error).__name__, "message": message, "exit_code": getattr(error, "exit_code", 1)}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
