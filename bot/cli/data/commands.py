"""
Commands of data: names, options and help.

A command imports its module when it is called, so that `--help` loads no library.
"""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli._groups import Grouped
from bot.cli.answer import answer

app = typer.Typer()

data = typer.Typer(cls=Grouped, help="Hand the synced history to other programs.", no_args_is_help=True)
app.add_typer(data, name="data")


@data.callback()
def _group() -> None:
    """Keep `data` a group while it has one command."""


@data.command()
def export(
    features: Annotated[
        str | None, typer.Option(help="Feature set: small, medium, all or a group; default: that of the settings.")
    ] = None,
    targets: Annotated[str | None, typer.Option(help="Targets, separated by commas; default: all of them.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Every n-th era, the newest among them.")] = 1,
    file_format: Annotated[str, typer.Option("--format", help="parquet or npy.")] = "parquet",
    output: Annotated[
        Path | None, typer.Option(help="Folder of the files; default: exports/<what it holds> in the state directory.")
    ] = None,
    data_version: Annotated[
        str | None, typer.Option(help="Data version; default: that of the first recipe in use.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Write columns of the era store as parquet or npy files.

    An interrupted export continues where it stopped. Memory stays below 1 GiB.
    """
    from bot.cli.data.export import export_store

    answer(
        lambda: export_store(
            features=features,
            targets=targets,
            every=every,
            file_format=file_format,
            output=output,
            data_version=data_version,
        ),
        as_json=as_json,
    )
