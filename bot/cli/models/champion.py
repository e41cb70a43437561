"""`bot promote` and `bot rollback`: the operator chooses a recipe's champion."""

import typer

from bot import assembly
from bot.settings import load_settings


def promote_artifact(artifact: str) -> None:
    """Make an artifact the champion of the recipe it was trained for, and print what its gate decided."""
    store = assembly.open_artifacts(load_settings())
    artifact = store.find(artifact)
    manifest = store.open(artifact).manifest
    recipe, decision = manifest["recipe"]["name"], manifest.get("decision", {"promote": True})
    store.promote(recipe, artifact, by="operator")
    typer.echo(f"recipe {recipe}: champion is {artifact}, on {store.data_version(artifact)}")
    if not decision["promote"]:
        typer.echo(f"its gate had kept it back: {decision['reason']}")


def roll_back(recipe: str | None) -> None:
    """Make the champion before the current one champion again, of *recipe* or of every recipe in use."""
    settings = load_settings()
    store = assembly.open_artifacts(settings)
    for name in [recipe] if recipe else assembly.recipes_in_use(settings):
        identity = store.rollback(name)
        typer.echo(f"recipe {name}: champion is {identity}, on {store.data_version(identity)}")
