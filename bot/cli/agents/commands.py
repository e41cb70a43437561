"""The command `bot mcp`: name, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.extras import needs_packages

app = typer.Typer()


@app.command()
def mcp(
    *,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Also offer the tools that change something here.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Work in this folder, which holds bot.toml; default: the current one.")
    ] = None,
) -> None:
    """
    Answer an agent over the Model Context Protocol.

    An agent's program starts it and speaks with it on standard input and output. The tools read; none uploads a submission
    or changes a champion.
    """
    with needs_packages("answer agents", extra="mcp"):
        from bot.cli.agents.server import serve

    serve(allow_actions=allow_actions, folder=folder)
