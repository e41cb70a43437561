"""Questions on a terminal: each answer is checked at once, and asked for again where it is wrong."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import typer

from bot.errors import BadConfig, suggestion

T = TypeVar("T")


def ask(question: str, check: Callable[[str], T], *, default: str | None = None, hidden: bool = False) -> T:
    """
    Return the checked answer to a question.

    Args:
        question: The question.
        check: Returns the value of an answer, or raises ``BadConfig`` with the reason of its refusal.
        default: Answer of an empty line; ``None`` asks again.
        hidden: Whether the answer is a secret, which is not shown.

    Raises:
        BadConfig: The input, which is no terminal, ends before the answer.
        typer.Abort: The person stops it.
    """
    while True:
        try:
            answer = typer.prompt(
                question,
                default=default,
                hide_input=hidden and sys.stdin.isatty(),  # a pipe shows nothing, and Python warns of it
                show_default=bool(default) and not hidden,
            )
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            raise BadConfig(
                f"the input ended at the question {question!r}, and nothing was written; answer on a terminal, or give"
                " --slots, --feature-set and --live or --dry-run"
            ) from None
        try:
            return check(str(answer).strip())
        except BadConfig as error:
            typer.echo(f"  {error}")


def confirm(question: str) -> bool:
    """Return the answer to a question of yes or no; an empty line is no."""

    def yes_or_no(answer: str) -> bool:
        if answer.lower() not in ("", "y", "yes", "n", "no"):
            raise BadConfig("answer y or n")
        return answer.lower() in ("y", "yes")

    return ask(f"{question} [y/N]", yes_or_no, default="")


def choose(title: str, options: Sequence[tuple[str, str]]) -> Callable[[str], str]:
    """
    Print a numbered list, and return the check of an answer, which is a number or a name of it.

    Args:
        title: Line above the list.
        options: Name and description of each.
    """
    typer.echo(title)
    width = max((len(name) for name, _ in options), default=0)
    for number, (name, description) in enumerate(options, start=1):
        typer.echo(f"  {number}  {name:<{width}}  {description}".rstrip())
    names = [name for name, _ in options]

    def check(answer: str) -> str:
        if answer in names:
            return answer
        if answer.isdigit() and 1 <= int(answer) <= len(names):
            return names[int(answer) - 1]
        hint = suggestion(answer, names) or f"; enter a number from 1 to {len(names)}, or a name"
        raise BadConfig(f"{answer or 'an empty answer'} is not in the list{hint}")

    return check


def several(check: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """Return the check of an answer of several words, separated by spaces or commas; each is checked by *check*."""

    def all_of(answer: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(check, answer.replace(",", " ").split())))

    return all_of
