"""`bot retrain --plan`: the stages of the next retrain with rows, memory, disk and time on this machine."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import console, print_table
from bot.errors import BadConfig, BotError
from bot.members import registry
from bot.members.registry import GIB
from bot.settings import Settings, load_settings
from bot.system import logs
from bot.system.moments import in_words
from bot.tournament.client import NumeraiClient
from bot.training import recipe_file
from bot.training.planning.retrain_forecast import Forecast
from bot.training.planning.time_estimate import Stage
from bot.training.recipes import ResolvedRecipe
from bot.training.training_memory import available_memory


def plan_retrains(recipe: str | None, data_version: str | None) -> Answer:
    """
    Print and return the plan of a recipe's next retrain, by default of every recipe in use; nothing is changed.

    A recipe that cannot be trained here is an error of the answer.

    Args:
        recipe: Name of the recipe.
        data_version: Version to train on; by default that of the next retrain.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    failed: list[BotError] = []
    plans: list[dict[str, Any]] = []
    out, client = console(), assembly.open_client(settings)
    for name in [recipe] if recipe else assembly.recipes_in_use(settings):
        try:
            if recipe is None and not registry.needs_training(recipe_file.find(name).members):
                out.print(f"{name}: nothing to train; `bot adopt {name}` takes its members' files", markup=False)
                continue
            plan = next_plan(settings, name, data_version)
            registry.refuse_missing_packages(plan.members)
            forecast = open_forecast(settings, plan, client)
        except BotError as error:
            failed.append(error)
            continue
        plans.append(plan_content(forecast))
        show_plan(forecast, out)
    return Answer(content={"plans": plans}, errors=failed)


def retrain_lines(settings: Settings, client: NumeraiClient | None) -> Iterator[str]:
    """
    Yield a line for each recipe in use: time, memory and disk of its next retrain, or why it cannot be trained here.

    Args:
        settings: The settings.
        client: Client that knows the sizes of files; ``None`` assumes them.
    """
    for name in assembly.recipes_in_use(settings):
        try:
            plan = next_plan(settings, name)
            registry.refuse_missing_packages(plan.members)
            yield f"retrain of {name}: {open_forecast(settings, plan, client).line}"
        except BotError as error:
            yield f"retrain of {name}: {error}"


def next_plan(settings: Settings, name: str, data_version: str | None = None) -> ResolvedRecipe:
    """
    Return a recipe as its next retrain would train it.

    Raises:
        BadConfig: There is no such recipe, or nothing of it is trained.
    """
    recipe = recipe_file.find(name)
    if not registry.needs_training(recipe.members):
        raise BadConfig(f"recipe {name} has nothing to train; `bot adopt {name}` takes its members' files")
    version = data_version or assembly.pins(settings, [name])[0].to_train
    return assembly.resolve_recipe(settings, recipe, data_version=version)


def open_forecast(
    settings: Settings,
    plan: ResolvedRecipe,
    client: NumeraiClient | None,
    on_measure: Callable[[str], None] = lambda _name: None,
) -> Forecast:
    """Return the forecast of a retrain; for errors see :func:`bot.training.planning.retrain_forecast.preview`."""
    artifacts = assembly.open_artifacts(settings)
    return Forecast.of(plan, settings.state_dir, artifacts, client, device=settings.device, on_measure=on_measure)


def plan_content(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON values: its stages, their sum, and how they are known. Sizes are bytes, times seconds."""
    plan = forecast.plan
    return {
        "recipe": plan.recipe.name,
        "data_version": plan.data_version,
        "feature_set": plan.feature_set,
        "machine": forecast.times.machine,
        "seconds": forecast.planned_s,
        "memory": forecast.memory,
        "memory_available": available_memory(),
        "basis": forecast.basis,
        "stages": [asdict(one) for one in forecast.stages],
    }


def show_plan(forecast: Forecast, out: Console) -> None:
    """Print the stages of a forecast, their sum, and how they are known."""
    name = f"{forecast.plan.recipe.name} on {forecast.plan.data_version} {forecast.plan.feature_set}"
    table = Table(title=f"Retrain of {name}, here: {forecast.times.machine}", title_justify="left")
    for column in ("", "stage", "work", "memory", "disk", "time", "known"):
        table.add_column(column, justify="left" if column in ("stage", "known") else "right")
    for number, one in enumerate(forecast.stages, start=1):
        memory = f"{one.memory / GIB:.1f} GiB" if one.memory else ""
        disk = f"{one.disk / 1e9:,.2f} GB" if one.disk else ""
        table.add_row(str(number), one.name, _work(one), memory, disk, in_words(one.seconds), one.basis)
    print_table(out, table)
    total = f"{forecast.plan.recipe.name}: {forecast.line}"
    out.print(total, soft_wrap=True, markup=False)
    if forecast.memory > (free := available_memory()):
        out.print(
            f"{free / GIB:.1f} GiB of memory are free, too little; raise data.every in the recipe, or take a smaller"
            " feature_set",
            soft_wrap=True,
        )


def _work(stage: Stage) -> str:
    """Return the amount of a stage with its unit."""
    if not stage.amount:
        return ""
    return f"{stage.amount / 1e6:,.0f} MB" if stage.unit == "bytes" else f"{stage.amount:,.0f} {stage.unit}"
