"""Commands that need no keys: the embedded tournament."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.app import app


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option(help="Keep world and state in this folder.")] = None,
) -> None:
    """Play one whole round against an embedded tournament: no keys, no network."""
    from bot.sandbox.demo import play  # noqa: PLC0415 - only this command needs the sandbox

    play(keep)


@app.command()
def sandbox(
    datasets: Annotated[
        Path | None, typer.Option(help="Serve the files of this folder, such as v5.3/live.parquet, as the round's.")
    ] = None,
    world: Annotated[Path, typer.Option(help="Folder of the generated world; made when absent.")] = Path(
        "sandbox-state"
    ),
    size: Annotated[str, typer.Option(help="Size of a new world: tiny, small or full.")] = "tiny",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8008,
    every_s: Annotated[float, typer.Option(help="Seconds from one round's opening to the next.")] = 60.0,
    window_s: Annotated[float, typer.Option(help="Seconds a round stays open.")] = 50.0,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine only.")] = "127.0.0.1",
    faults: Annotated[Path | None, typer.Option(help="JSON plan of what goes wrong: seed, share, faults.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="File to append every effect and fault to, for the judge.")
    ] = None,
) -> None:
    """Serve a stand-in tournament that numerapi and the bot can talk to."""
    from bot.sandbox.demo import serve  # noqa: PLC0415

    serve(
        datasets=datasets,
        world=world,
        size=size,
        port=port,
        every_s=every_s,
        window_s=window_s,
        host=host,
        faults=faults,
        history=history,
    )
