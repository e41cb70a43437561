"""`bot verify`: every artifact's files against their recorded sha256."""

import typer

from bot import assembly
from bot.settings import load_settings


def verify_artifacts() -> None:
    """
    Open every artifact, which checks its files, and print its id.

    Raises:
        ArtifactInvalid: A file differs or is missing.
    """
    store = assembly.open_artifacts(load_settings())
    if not store.identities():
        typer.echo("no artifacts yet; `bot retrain` makes one")
    for identity in store.identities():
        store.open(identity)
        typer.echo(f"{identity}: intact")
