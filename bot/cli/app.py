"""The application: the commands of all groups under one name."""

from typing import Annotated

import typer

from bot import __version__
from bot.cli._groups import Grouped
from bot.cli._unconverted_options import leave_unconverted_options
from bot.cli.agents import commands as agents
from bot.cli.data import commands as data
from bot.cli.everyday import commands as everyday
from bot.cli.models import commands as models
from bot.cli.research import commands as research

leave_unconverted_options()
app = typer.Typer(
    cls=Grouped,
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a third of the time of `--help`
    help="A Numerai bot that never misses a round. Settings: BOT_* variables or bot.toml; see the reference.",
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes the option's value
    if wanted:
        typer.echo(f"numerai-bot {__version__}")
        raise typer.Exit


@app.callback()
def _bot(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for group in (everyday.app, models.app, research.app, data.app, agents.app):
    app.add_typer(group)
