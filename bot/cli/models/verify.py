"""`bot verify`: every artifact's files against their recorded sha256."""

import typer

from bot import assembly
from bot.errors import ArtifactInvalid
from bot.settings import load_settings


def verify_artifacts() -> None:
    """
    Open every artifact, which checks its files, and print its id, or what is wrong with it.

    Raises:
        ArtifactInvalid: At least one artifact is damaged; all have been checked.
    """
    store = assembly.open_artifacts(load_settings())
    if not store.identities():
        typer.echo("no artifacts yet; `bot retrain` makes one")
    damaged = []
    for identity in store.identities():
        try:
            store.open(identity)
        except ArtifactInvalid as error:
            damaged.append(identity)
            typer.echo(f"{identity}: damaged: {error}")
        else:
            typer.echo(f"{identity}: intact")
    if damaged:
        raise ArtifactInvalid(
            f"{len(damaged)} of {len(store.identities())} artifacts are damaged: {', '.join(damaged)};"
            " go back with `bot rollback` where one of them is a champion"
        )
