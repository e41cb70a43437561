"""`bot adopt`: put a recipe into use whose members were trained elsewhere."""

from dataclasses import asdict

import typer
from rich.table import Table

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import console, kept_bar, print_table
from bot.judging.adoption import Adopted, Adopter, Trial
from bot.settings import load_settings
from bot.system import logs
from bot.system.lock import state_lock
from bot.training import recipe_file

NOTE = "may have learned from these eras"
"""Remark beside every score of a model that was trained elsewhere."""


def adopt_recipe(name: str, data_version: str | None) -> Answer:
    """
    Let the members of a recipe predict, make them its champion, and print and return what came.

    Args:
        name: Name of the recipe.
        data_version: Data version of the live files that they read; by default the champion's, or that of the settings.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    recipe = recipe_file.find(name)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with state_lock(settings.state_dir, "retrain"), kept_bar(settings.state_dir, "adopt") as report_progress:
        names = dict.fromkeys([*assembly.recipes_in_use(settings), name])
        pins = {pin.recipe: pin for pin in assembly.announce(assembly.pins(settings, list(names)))}
        adopter = Adopter(
            client=assembly.open_client(settings),
            artifacts=assembly.open_artifacts(settings),
            state_dir=settings.state_dir,
            needed=assembly.versions(pins.values()),
            report_progress=report_progress,
        )
        plan = assembly.resolve_recipe(settings, recipe, data_version=data_version or pins[name].to_train)
        adopted = adopter.adopt(plan)
    _show(name, adopted, settings.max_exposure)
    content = {
        "recipe": name,
        "champion": adopted.artifact.id,
        "data_version": adopted.artifact.manifest["data_version"],
        "trials": [
            {**asdict(trial), "exposure_refused": trial.exposure > settings.max_exposure} for trial in adopted.trials
        ],
        "files": {member: dict(facts.get("files", {})) for member, facts in adopted.facts.items()},
    }
    return Answer(content=content)


def _show(recipe: str, adopted: Adopted, max_exposure: float) -> None:
    out = console()
    for trial in adopted.trials:
        print_table(out, _table(trial))
        if trial.exposure > max_exposure:
            typer.echo(
                f"warning: the gate on exposure refuses this: {trial.exposure:.3f} is over BOT_MAX_EXPOSURE ="
                f" {max_exposure:g}; neutralize more"
            )
    for member, facts in adopted.facts.items():
        for path, sha256 in dict(facts.get("files", {})).items():
            typer.echo(f"{member}: {path} {sha256[:12]}")
    version = adopted.artifact.manifest["data_version"]
    typer.echo(f"recipe {recipe}: champion is {adopted.artifact.id}, on {version}; adopted by hand, not judged")


def _table(trial: Trial) -> Table:
    table = Table(
        title=f"{trial.name}: {trial.rows:,} rows in {trial.seconds:.1f} s, largest exposure {trial.exposure:.3f}",
        title_justify="left",
    )
    for column in ("member", "CORR", "note"):
        table.add_column(column, justify="right" if column == "CORR" else "left")
    if not trial.corr:
        table.add_row(", ".join(trial.members), "-", "live: the target is not known yet")
    for member, score in trial.corr.items():
        table.add_row(member, f"{score:.4f}", NOTE)
    return table
