"""What a command says: lines for a person, and the same as one JSON object for a program."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer

from bot.errors import BotError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    The answer of a command.

    Attributes:
        lines: Lines for a person.
        content: The same for a program: plain JSON values.
    """

    lines: tuple[str, ...]
    content: Mapping[str, Any]


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer on standard output."""
    typer.echo(json.dumps(dict(answer.content), indent=1) if as_json else "\n".join(answer.lines))


def error_content(error: BotError) -> dict[str, Any]:
    """Return what `--json` prints in place of an answer: the kind, the message and the exit code of the error."""
    return {"error": {"kind": type(error).__name__, "message": str(error), "exit_code": error.exit_code}}
