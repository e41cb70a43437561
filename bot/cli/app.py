"""The application that every command registers with."""

import typer

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a third of the time of `--help`
    help="A Numerai bot that never misses a round. Settings: BOT_* variables or bot.toml; see the README.",
)
