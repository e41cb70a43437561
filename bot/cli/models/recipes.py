"""`bot recipes`: list recipes and what they are for, print one with every value, and print a JSON schema for editors."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import typer
from rich.table import Table

from bot import assembly
from bot.cli.console import console, print_table
from bot.errors import ArtifactInvalid, BadConfig, BotError, NoChampion
from bot.features.feature_sets import why_unknown
from bot.members.registry import GIB
from bot.settings import Settings, load_settings
from bot.training import recipe_file
from bot.training.recipe_schema import schema
from bot.training.recipes import PURPOSES, RECIPES, Recipe
from bot.training.training_memory import largest_fit


def list_recipes(*, as_json: bool = False) -> None:
    """Print built-in recipes and those of files: purpose, members, memory to train, time of the last training, champion."""
    settings = load_settings()
    if as_json:
        used = assembly.recipes_in_use(settings)
        typer.echo(json.dumps({"recipes": [_content(settings, name, used) for name in recipe_file.names()]}, indent=1))
        return
    table = Table(title="Recipes", title_justify="left")
    for name in ("recipe", "members", "memory", "trained in", "champion"):
        table.add_column(name, justify="right" if name in ("memory", "trained in") else "left", overflow="fold")
    used = assembly.recipes_in_use(settings)
    for name in recipe_file.names():
        shown = f"{name} (in use)" if name in used else name
        try:
            recipe = recipe_file.find(name)
        except BadConfig as error:
            table.add_row(shown, f"not usable: {error}", "", "", "")
            continue
        champion = _champion(settings, name)
        purpose = f"{PURPOSES[name]}\n" if name in PURPOSES else ""
        table.add_row(
            shown,
            f"{purpose}[dim]{_members(recipe)}[/]",
            _memory(settings, recipe),
            _seconds(champion),
            str(champion.get("id", "none")),
        )
    print_table(console(), table)


def _content(settings: Settings, name: str, used: Sequence[str]) -> dict[str, Any]:
    """Return the row of a recipe as plain JSON values; ``error`` says why it is not usable."""
    about: dict[str, Any] = {"name": name, "in_use": name in used, "purpose": PURPOSES.get(name), "error": None}
    try:
        recipe = recipe_file.find(name)
    except BadConfig as error:
        return {**about, "error": str(error)}
    total = sum(one.weight for one in recipe.members) or 1.0
    champion = _champion(settings, name)
    members = [{"name": one.name, "kind": one.kind, "share": one.weight / total} for one in recipe.members]
    return {**about, "members": members, "memory_bytes": _bytes(settings, recipe), "champion": champion.get("id")}


def show_recipe(name: str, *, as_json: bool = False) -> None:
    """
    Print a recipe as the file that describes it completely, in the present form, or its values as JSON.

    A feature set that the data do not have is a warning on standard error: another data version may have it.
    """
    recipe = recipe_file.find(name)
    for line in _unknown_sets(recipe):
        typer.echo(f"warning: {line}", err=True)
    if as_json:
        typer.echo(json.dumps(tomllib.loads(recipe_file.to_toml(replace(recipe, name="recipe"))), indent=1))
        return
    heading = f"# {name}, built in; a file takes another name and base = {name!r}" if name in RECIPES else f"# {name}"
    typer.echo(f"{heading}\n{_inherited(recipe)}{recipe_file.to_toml(replace(recipe, name='recipe'))}", nl=False)


def _unknown_sets(recipe: Recipe) -> list[str]:
    """Return a line for each feature set of a recipe and its members that the data version to train on does not have."""
    own = {"data.feature_set": recipe.feature_set}
    own |= {f"members.{one.name}.feature_set": one.feature_set for one in recipe.members if one.head_of is None}
    wanted = {where: name for where, name in own.items() if name is not None}
    try:
        settings = load_settings()
        path = settings.state_dir / "data" / assembly.pins(settings, [recipe.name])[0].to_train / "features.json"
        reasons = {where: why_unknown(name, path) for where, name in wanted.items()}
    except BotError:  # settings or data that cannot be read do not hide the recipe
        return []
    return [f"{where}: {reason}" for where, reason in reasons.items() if reason]


def _inherited(recipe: Recipe) -> str:
    """Return a comment on the values that the recipe takes from the settings; empty where it sets them itself."""
    settings = load_settings()
    pairs = {"feature_set": recipe.feature_set, "target": recipe.target}
    open_ones = [f"{key} = {getattr(settings, key)}" for key, own in pairs.items() if own is None]
    return f"# from the settings, since the recipe leaves them open: {', '.join(open_ones)}\n" if open_ones else ""


def print_schema() -> None:
    """Print the JSON schema of recipe files."""
    typer.echo(json.dumps(schema(), indent=1))


def _members(recipe: Recipe) -> str:
    total = sum(one.weight for one in recipe.members) or 1.0
    return ", ".join(f"{one.name} ({one.kind}) {one.weight / total:.0%}" for one in recipe.members)


def _memory(settings: Settings, recipe: Recipe) -> str:
    """Return the memory of the largest fit, in words."""
    size = _bytes(settings, recipe)
    return "unknown" if size is None else f"{size / GIB:.1f} GiB" if size else "none"


def _bytes(settings: Settings, recipe: Recipe) -> int | None:
    """Return the memory of the largest fit in bytes; 0 without one, ``None`` where it is not known."""
    try:
        version = assembly.pins(settings, [recipe.name])[0].to_train
        plan = assembly.resolve_recipe(settings, recipe, data_version=version)
        return largest_fit(plan, settings.state_dir)
    except BotError:
        return None


def _champion(settings: Settings, name: str) -> Mapping[str, Any]:
    """Return the manifest of a recipe's champion; empty where there is none or it does not verify."""
    artifacts = assembly.open_artifacts(settings)
    try:
        return artifacts.open(artifacts.champions(name)[0]).manifest
    except (NoChampion, ArtifactInvalid, BadConfig):
        return {}


def _seconds(manifest: Mapping[str, Any]) -> str:
    """Return how long the fits of an artifact took; older artifacts did not record it."""
    fits = manifest.get("fits", {})
    seconds = [float(one["seconds"]) for one in fits.values() if "seconds" in one]
    return str(timedelta(seconds=round(sum(seconds)))) if seconds else "unknown" if manifest else ""
