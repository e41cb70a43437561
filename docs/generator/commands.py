"""The page of all commands, from the tree of commands that parses the command line."""

import inspect
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from bot.cli.main import app

OPENING = """# Commands

`bot --help` and `bot COMMAND --help` print the same. Every command ends with one of the [exit codes](exit-codes.md).
Commands that need data or a model fetch them first: on an empty state directory, `bot retrain` and then
`bot submit --round latest` are all there is to do.

"""

TYPES = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "bool": ""}


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - click's commands
    """Yield every command below *command* with its words, in the order of the help."""
    for name, one in getattr(command, "commands", {}).items():
        if not one.hidden:
            yield (*words, name), one
            yield from walk(one, (*words, name))


def tree() -> dict[tuple[str, ...], Any]:
    """Return every command by its words, such as ``("evaluate", "e0")``."""
    return dict(walk(get_command(app)))


def commands_page() -> str:
    """Return the page of all commands."""
    return OPENING + "\n".join(_section(words, command) for words, command in tree().items())


def _section(words: tuple[str, ...], command: Any) -> str:  # noqa: ANN401 - click's commands
    about = [f"## bot {' '.join(words)}\n", inspect.cleandoc(command.help or "") + "\n"]
    shown = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
    if shown:
        about.append("| argument or option | default | meaning |\n|---|---|---|")
        about += [f"| {_names(one)} | {_default(one)} | {_cell(getattr(one, 'help', None) or '')} |" for one in shown]
        about.append("")
    return "\n".join(about)


def _names(parameter: Any) -> str:  # noqa: ANN401 - click's parameters
    if parameter.param_type_name == "argument":
        name = (parameter.metavar or parameter.name.upper()).strip("[]")
        return f"`{name}`" if parameter.required else f"`[{name}]`"
    value = "" if parameter.is_flag else f" {TYPES.get(parameter.bare_type(), parameter.bare_type().upper())}"
    return ", ".join(f"`{name}{value}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:  # noqa: ANN401 - click's parameters
    value = parameter.default
    if parameter.required:
        return "required"
    return (
        "-" if value in (None, False, ()) or callable(value) else f"`{str(value).lower() if value is True else value}`"
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
