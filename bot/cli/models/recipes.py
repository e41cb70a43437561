"""`bot recipes`: list recipes, print one with every value, and print a JSON schema for editors."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import typer
from rich.table import Table

from bot import assembly
from bot.cli.console import console
from bot.errors import ArtifactInvalid, BadConfig, BotError, NoChampion
from bot.members.registry import GIB
from bot.settings import Settings, load_settings
from bot.training import recipe_file
from bot.training.recipe_schema import schema
from bot.training.recipes import RECIPES, Recipe
from bot.training.training_memory import training_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """
    A recipe in the list.

    Attributes:
        name: Name of the recipe.
        in_use: Whether a slot or the fallback takes it.
        members: Its members with kind and share; why it is not usable where it is not.
        usable: Whether it can be read.
        memory_bytes: Memory of the largest fit; ``None`` where it is not known.
        trained_in_s: Seconds that the champion's fits took; ``None`` where it is not known.
        champion: Id of the champion; ``None`` where there is none.
    """

    name: str
    in_use: bool
    members: str
    usable: bool = True
    memory_bytes: int | None = None
    trained_in_s: float | None = None
    champion: str | None = None


def list_recipes() -> None:
    """Print built-in recipes and those of files: members, memory to train, time of the last training, champion."""
    table = Table(title="Recipes", title_justify="left")
    for name in ("recipe", "members", "memory", "trained in", "champion"):
        table.add_column(name, justify="right" if name in ("memory", "trained in") else "left", overflow="fold")
    for one in _listed(load_settings()):
        shown = f"{one.name} (in use)" if one.in_use else one.name
        if not one.usable:
            table.add_row(shown, one.members, "", "", "")
            continue
        memory = "unknown" if one.memory_bytes is None else f"{one.memory_bytes / GIB:.1f} GiB"
        seconds = one.trained_in_s
        trained = str(timedelta(seconds=round(seconds))) if seconds else "unknown" if one.champion else ""
        table.add_row(shown, one.members, memory if one.memory_bytes != 0 else "none", trained, one.champion or "none")
    console().print(table)


def list_recipes_as_json() -> None:
    """Print the list of recipes as JSON, one object each."""
    typer.echo(json.dumps([asdict(one) for one in _listed(load_settings())], indent=1))


def show_recipe(name: str) -> None:
    """Print a recipe as the file that describes it completely, in the present form."""
    recipe = recipe_file.find(name)
    heading = f"# {name}, built in; a file takes another name and base = {name!r}" if name in RECIPES else f"# {name}"
    typer.echo(f"{heading}\n{recipe_file.to_toml(replace(recipe, name='recipe'))}", nl=False)


def print_schema() -> None:
    """Print the JSON schema of recipe files."""
    typer.echo(json.dumps(schema(), indent=1))


def _members(recipe: Recipe) -> str:
    total = sum(one.weight for one in recipe.members) or 1.0
    return ", ".join(f"{one.name} ({one.kind}) {one.weight / total:.0%}" for one in recipe.members)


def _listed(settings: Settings) -> Iterator[Listed]:
    used = assembly.recipes_in_use(settings)
    for name in recipe_file.names():
        try:
            recipe = recipe_file.find(name)
        except BadConfig as error:
            yield Listed(name=name, in_use=name in used, members=f"not usable: {error}", usable=False)
            continue
        champion = _champion(settings, name)
        yield Listed(
            name=name,
            in_use=name in used,
            members=_members(recipe),
            memory_bytes=_memory(settings, recipe),
            trained_in_s=_seconds(champion),
            champion=champion.get("id"),
        )


def _memory(settings: Settings, recipe: Recipe) -> int | None:
    """Return the bytes of the largest fit, ``None`` where they are not known."""
    try:
        version = assembly.pins(settings, [recipe.name])[0].to_train
        plan = assembly.resolve_recipe(settings, recipe, data_version=version)
        sizes = [one.bytes for one in training_memory(plan, settings.state_dir / "data" / version)]
    except BotError:
        return None
    return max(sizes, default=0)


def _champion(settings: Settings, name: str) -> Mapping[str, Any]:
    """Return the manifest of a recipe's champion; empty where there is none or it does not verify."""
    artifacts = assembly.open_artifacts(settings)
    try:
        return artifacts.open(artifacts.champions(name)[0]).manifest
    except (NoChampion, ArtifactInvalid, BadConfig):
        return {}


def _seconds(manifest: Mapping[str, Any]) -> float | None:
    """Return how long the fits of an artifact took, ``None`` where it did not record it."""
    fits = manifest.get("fits", {})
    seconds = [float(one["seconds"]) for one in fits.values() if "seconds" in one]
    return sum(seconds) if seconds else None
