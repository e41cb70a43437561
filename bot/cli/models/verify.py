"""`bot verify`: every artifact's files against their recorded sha256."""

import json

import typer

from bot import assembly
from bot.errors import ArtifactInvalid
from bot.serving.artifacts import ArtifactStore
from bot.settings import load_settings


def verify_artifacts(*, as_json: bool = False) -> None:
    """
    Open every artifact, which checks its files, and print its id, or what is wrong with it.

    Raises:
        ArtifactInvalid: At least one artifact is damaged; all have been checked.
        typer.Exit: The same where *as_json*.
    """
    store = assembly.open_artifacts(load_settings())
    if as_json:
        found = {identity: _damage(store, identity) for identity in store.identities()}
        rows = [{"id": identity, "intact": not damage, "damage": damage} for identity, damage in found.items()]
        typer.echo(json.dumps({"artifacts": rows}, indent=1))
        raise typer.Exit(ArtifactInvalid.exit_code if any(found.values()) else 0)
    if not store.identities():
        typer.echo("no artifacts yet; `bot retrain` makes one")
    damaged = []
    for identity in store.identities():
        damage = _damage(store, identity)
        damaged += [identity] if damage else []
        typer.echo(f"{identity}: damaged: {damage}" if damage else f"{identity}: intact")
    if damaged:
        raise ArtifactInvalid(
            f"{len(damaged)} of {len(store.identities())} artifacts are damaged: {', '.join(damaged)};"
            " go back with `bot rollback` where one of them is a champion"
        )


def _damage(store: ArtifactStore, identity: str) -> str | None:
    """Return what is wrong with an artifact, or ``None``."""
    try:
        store.open(identity)
    except ArtifactInvalid as error:
        return str(error)
    return None
