"""Commands that measure: what serves, and the experiments that decide what should."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.app import app
from bot.errors import OperatorNeeded

if TYPE_CHECKING:
    from bot.research.experiment import Experiment

evaluate = typer.Typer(help="Measure models and ideas on eras that have resolved; changes nothing that serves.")
app.add_typer(evaluate, name="evaluate")

Recipe = Annotated[str | None, typer.Option(help="Whose models are tried; default: the recipe of the settings.")]
Eras = Annotated[int | None, typer.Option(min=1, help="Newest labelled eras to use; default: all.")]
Every = Annotated[int, typer.Option(min=1, help="Train on every n-th era; all of a fold's eras are validated on.")]
Chunk = Annotated[int, typer.Option(min=2, help="Eras of a walk-forward fold.")]


@evaluate.callback(invoke_without_command=True)
def overview(
    context: typer.Context,
    artifact: Annotated[str | None, typer.Option(help="Id of an artifact; default: the champion.")] = None,
    pay: Annotated[
        str | None,
        typer.Option(help="What a round pays, as in corr=3,mmc=15,clip=1; default: the newest round that was priced."),
    ] = None,
) -> None:
    """
    Score an artifact's judged members on eras that they have not seen: table, JSON and page. Changes nothing that serves.

    With a sub-command, try an idea on the same data instead.
    """
    if context.invoked_subcommand is not None:
        return
    from bot.cli.console import show_evaluation  # noqa: PLC0415
    from bot.cli.reports import evaluated  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415

    settings = load_settings()
    logs.configure(**settings.logging)
    content, paths = evaluated(settings, artifact, pay)
    show_evaluation(content)
    for path in paths:
        typer.echo(path)


@evaluate.command()
def e0(recipe: Recipe = None, eras: Eras = None, every: Every = 4, chunk: Chunk = 156) -> None:
    """Ask whether feature returns last and what their momentum adds to LightGBM: go or no-go for history."""
    with _experiment(recipe, eras, every, chunk) as experiment:
        from bot.research import momentum_experiment  # noqa: PLC0415

        found = momentum_experiment.e0(experiment)
    from bot.cli.tables import show_e0  # noqa: PLC0415

    show_e0(found)


@evaluate.command()
def e1(recipe: Recipe = None, eras: Eras = None, every: Every = 4, chunk: Chunk = 156) -> None:
    """Climb the ladder: what heads, stacked predictions and history each add to the network, beside LightGBM."""
    with _experiment(recipe, eras, every, chunk) as experiment:
        from bot.research import ablation_experiment  # noqa: PLC0415

        found = ablation_experiment.e1(experiment)
    from bot.cli.tables import show_e1  # noqa: PLC0415

    show_e1(found)


@evaluate.command()
def importance(
    artifact: Annotated[str | None, typer.Option(help="Id of an artifact; default: the recipe's champion.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Whose champion; default: the recipe of the settings.")] = None,
    eras: Annotated[int, typer.Option(min=1, help="Newest labelled eras to measure on.")] = 26,
    rows: Annotated[int, typer.Option(min=0, help="Rows to explain, from either end of the newest era.")] = 2,
) -> None:
    """Ask what an artifact's network lives on: feature groups, history by target and age, and single rows explained."""
    with _experiment(recipe, eras, 1, eras) as experiment:
        from bot.research.interpretation import interpret  # noqa: PLC0415
        from bot.serving.artifacts import ArtifactStore  # noqa: PLC0415

        store = ArtifactStore(experiment.state_dir / "artifacts")
        chosen = store.open(artifact or store.champions(experiment.recipe.name)[0])
        found = interpret(experiment, chosen, rows=rows)
    from bot.cli.tables import show_interpretation  # noqa: PLC0415

    show_interpretation(found)


@contextmanager
def _experiment(recipe: str | None, eras: int | None, every: int, chunk: int) -> "Iterator[Experiment]":
    """Open the synced history for an experiment, with a bar while it runs."""
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import training_bar  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415
    from bot.system.lock import state_lock  # noqa: PLC0415
    from bot.training import recipe_file  # noqa: PLC0415

    settings = load_settings()
    logs.configure(**settings.logging)
    try:
        from bot.research.experiment import Experiment  # noqa: PLC0415 - torch is loaded by experiments alone
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to experiment") from None
    chosen = recipe_file.find(recipe or settings.recipe)
    with state_lock(settings.state_dir, "experiment"), training_bar() as watch:
        yield Experiment(
            state_dir=settings.state_dir,
            data_version=assembly.pins(settings, [chosen.name])[0].in_use,
            feature_set=settings.feature_set,
            target=settings.target,
            recipe=chosen,
            eras=eras,
            every=every,
            chunk=chunk,
            device=settings.device,
            watch=watch,
        )
