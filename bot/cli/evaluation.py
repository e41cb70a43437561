"""Commands that measure: what serves, and the experiments that decide what should."""

import typer

from bot.cli.app import app

evaluate = typer.Typer(help="Measure models and ideas on eras that have resolved; changes nothing that serves.")
app.add_typer(evaluate, name="evaluate")


@evaluate.callback(invoke_without_command=True)
def overview(context: typer.Context) -> None:
    """Measure models and ideas on eras that have resolved; changes nothing that serves."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
