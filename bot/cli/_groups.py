"""
The commands in groups, each with an example below its help.

typer's own panels need rich, whose import takes longer than all of `bot --help`.
"""

from typing import Any

from typer.core import TyperGroup

from bot.cli._examples import EXAMPLES

PANELS = {
    "Everyday": (
        *("init", "doctor", "run", "submit", "status", "scores", "pause", "resume", "retry", "alert"),
        *("health", "backup", "mcp"),
    ),
    "Models": (*("sync", "retrain", "recipes", "adopt", "promote", "rollback", "verify", "pack", "unpack", "export"),),
    "Research": ("evaluate", "report", "diagnose", "tune", "data"),
    "Try it": ("demo", "sandbox"),
}
"""Commands of each group, in the order of the help. A command that is not named stands in a last group."""

OTHERS = "Commands"


class Grouped(TyperGroup):
    """A group of commands that are listed in panels, and whose help ends with an example."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer keeps its types to itself
        """Return a command with its example."""
        found = super().get_command(ctx, cmd_name)
        if found is not None and found.epilog is None:
            example = EXAMPLES.get(" ".join((*_path(ctx), cmd_name)))
            found.epilog = f"\b\nExample:\n  {example}" if example else None
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write the commands by panel."""
        known = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        shown = {name: command for name, command in known.items() if command is not None and not command.hidden}
        room = formatter.width - 6 - max(map(len, shown), default=0)
        named = PANELS if ctx.parent is None else {}
        left = tuple(name for name in shown if not any(name in names for names in named.values()))
        for title, names in {**named, OTHERS: left}.items():
            rows = [(name, shown[name].get_short_help_str(room)) for name in names if name in shown]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=30)


def _path(ctx: Any) -> list[str]:  # noqa: ANN401 - as above
    """Return the names of the groups that lead to a context, without the program's."""
    names: list[str] = []
    while ctx.parent is not None:
        names.insert(0, str(ctx.info_name))
        ctx = ctx.parent
    return names
