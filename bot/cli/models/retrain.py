"""`bot retrain`: train challengers, alone or as one process of a team, and report on each."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
import typer

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import ProgressBar, kept_bar
from bot.cli.evaluation import report_new_artifact
from bot.cli.models.decision import decision_content, show_decision
from bot.cli.models.plan import open_forecast, show_plan
from bot.cli.models.publish import check_storage, publish_new_artifact
from bot.data.transfer.column_download import NoRanges
from bot.errors import BadConfig, BotError, NoChampion, OperatorNeeded, RetryLater
from bot.judging.challenger import Retrained, Retrainer
from bot.members import registry
from bot.members.network.options import NetworkOptions
from bot.members.stored import from_manifest
from bot.serving.artifacts import Artifact
from bot.serving.names import ENSEMBLE
from bot.settings import Settings, load_settings
from bot.system import logs
from bot.system.lock import state_lock
from bot.system.moments import in_words
from bot.system.signals import stop_on_signal
from bot.tournament.client import NumeraiClient
from bot.training import recipe_file
from bot.training.planning.retrain_forecast import Forecast
from bot.training.planning.time_estimate import Estimate
from bot.training.recipe_sync import sync_for_one
from bot.training.recipes import STARTER, Recipe, ResolvedRecipe
from bot.training.tracking import tracking
from models.stopping import TrainingDiverged, TrainingStopped
from models.training.distributed import ProcessLost, Team, team

STARTER_FOLDER = "starter"
"""Folder of the state directory with the starter's data; it is removed once every slot has a champion."""

log = structlog.get_logger()


def retrain_recipes(recipe: str | None, data_version: str | None) -> Answer | None:
    """
    Train a recipe, by default every recipe in use; print and return scores, decision and report of each.

    Where a slot of one of them has no champion, the recipe `starter` is trained first, in minutes: its champion fills rounds
    until the slot's own recipe has one.

    In a team started by `torchrun`, the process that leads retrains; the others train their share of its networks and
    return ``None``. Where one of several recipes fails, the others are trained all the same.

    Args:
        recipe: Name of the recipe.
        data_version: Version to train on; by default the champion's, or that of the settings where it is newer.

    Raises:
        RetryLater: Training was stopped, or a process of the team is gone; the next call continues.
        OperatorNeeded: A new artifact could not be published for want of a package.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    found = [_find_recipe(name) for name in ([recipe] if recipe else assembly.recipes_in_use(settings))]
    recipes = [one for one in found if isinstance(one, Recipe)]
    wanted = [one for one in recipes if registry.needs_training(one.members)]
    unusable: list[BotError] = [one for one in found if isinstance(one, BadConfig)]
    unusable += _without_champion(settings, [one.name for one in recipes if not registry.needs_training(one.members)])
    waiting = assembly.unfilled(settings) if settings.starter else ()
    waiting = tuple(name for name in waiting if recipe in (None, name))
    content: dict[str, Any] = {"starter": None, "retrained": []}
    if not wanted and not waiting:
        return Answer(content=content, errors=unusable)
    check_storage(settings)
    with _readable_ends(), team() as members:
        check_team_size(wanted, members)
        if not members.leads:
            from bot.members.network.team import follow  # noqa: PLC0415 - imports torch and LightGBM

            logs.configure(**settings.logging | {"level": logging.WARNING})
            with stop_on_signal() as should_stop:
                follow(device=settings.device, should_stop=should_stop)
            return None
        if waiting:
            with stop_on_signal() as should_stop:
                content["starter"] = train_starter(settings, waiting, data_version, should_stop)
        for one in _retrained(settings, wanted, data_version, alone=len(found) == 1):
            if isinstance(one, BotError):
                unusable.append(one)
            else:
                content["retrained"].append(_finish(settings, one))
        leave_starter(settings)
        members.tell(None)
    return Answer(content=content, errors=unusable)


def _retrained(
    settings: Settings, recipes: Sequence[Recipe], data_version: str | None, *, alone: bool
) -> Iterator[Retrained | BotError]:
    """
    Retrain one recipe after the other; yield each result, or the error of one that is not *alone*.

    In a team an error ends all processes: some of them may wait for a step that the failed one does not take.
    """
    for recipe in recipes:
        try:
            with stop_on_signal() as should_stop:
                (result,) = retrain_alone(settings, [recipe], data_version, should_stop)
        except BotError as error:
            if alone or Team.current().size > 1:
                raise
            if recipe.name not in str(error):
                error.args = (f"recipe {recipe.name}: {error}",)
            yield error
            if isinstance(error, RetryLater):  # the machine or Numerai is in the way, which concerns every recipe
                return
        else:
            yield result


@contextmanager
def _readable_ends() -> Iterator[None]:
    """Turn the ends of a training that is not finished into errors of the command."""
    try:
        yield
    except TrainingStopped as stopped:
        raise RetryLater(f"{stopped}; run `bot retrain` again, it goes on from there") from None
    except ProcessLost as lost:
        raise RetryLater(f"{lost}; start all of them again, they go on from the last checkpoint") from None


def _finish(settings: Settings, result: Retrained) -> dict[str, Any]:
    """Print the result of a retrain, write its report, publish it, compare its time with its plan; return the same."""
    show_decision(result.artifact, result.scores, result.decision, note=f"; trained in {result.seconds:.1f} s")
    kept = _kept(result.artifact)
    if kept:
        typer.echo(f"from earlier fits, with equal options and data: {', '.join(kept)}")
    forecast = result.forecast
    content = {
        **decision_content(result.artifact, result.scores, result.decision),
        "kept_fits": kept,
        "report": report_new_artifact(settings, result.artifact.id, None if forecast is None else forecast.estimate),
        "published": publish_new_artifact(settings, result.artifact.id),
        "seconds": result.seconds if forecast is None else forecast.finish(),
        "planned_seconds": None if forecast is None else forecast.planned_s,
    }
    if forecast is not None:
        typer.echo(f"planned {in_words(forecast.planned_s)}, took {in_words(content['seconds'])}")
    return content


def _without_champion(settings: Settings, names: Sequence[str]) -> Iterator[BadConfig]:
    """Report that recipes have nothing to train; yield an error for each that was never adopted."""
    for name in names:
        try:
            assembly.open_artifacts(settings).champions(name)
        except NoChampion:
            yield BadConfig(f"recipe {name!r} has nothing to train and no champion yet; run `bot adopt {name}`")
        else:
            typer.echo(f"recipe {name}: nothing to train; `bot adopt {name}` takes its members' files as they are now")


def _find_recipe(name: str) -> Recipe | BadConfig:
    """Return a recipe, or the logged error of its file, so that one broken file stops only its own slots."""
    try:
        return recipe_file.find(name)
    except BadConfig as error:
        structlog.get_logger().warning("recipe.unusable", reason=str(error))
        return error


def train_starter(
    settings: Settings, waiting: Sequence[str], data_version: str | None, should_stop: Callable[[], bool]
) -> dict[str, Any] | None:
    """
    Train the recipe `starter` and print the result in one line; return it too, ``None`` where there is a champion already.

    No failure stops the retrain.

    Args:
        settings: The settings.
        waiting: Recipes of slots that no champion fills.
        data_version: Data version to train on; ``None`` for that of the settings.
        should_stop: Checked after every step of training.

    Raises:
        TrainingStopped: *should_stop* returned true.
    """
    if assembly.open_artifacts(settings).has_champion(STARTER.name):
        return None
    own = ", ".join(waiting)
    train = partial(retrain_alone, settings, [STARTER], data_version, should_stop)
    try:
        try:
            (result,) = train(folder=STARTER_FOLDER)
        except NoRanges as reason:
            typer.echo(f"starter: all data are downloaded first, because {reason}")
            (result,) = train()
    except (BotError, OSError) as error:
        log.warning("starter.failed", reason=str(error))
        typer.echo(f"starter: not trained: {error}; no round is filled before {own} is trained", err=True)
        return {"promoted": False, "reason": str(error)}
    corr = f"CORR {result.scores[ENSEMBLE].mean:.4f} on {result.scores[ENSEMBLE].eras} eras, {result.seconds:.0f} s"
    if result.decision.promote:
        typer.echo(f"starter: {result.artifact.id} fills rounds until {own} has a champion; {corr}")
    else:
        typer.echo(f"starter: not promoted: {result.decision.reason}; {corr}; {own} is trained next")
    return {
        **decision_content(result.artifact, result.scores, result.decision),
        "seconds": result.seconds,
    }


def leave_starter(settings: Settings) -> None:
    """Remove the starter's data and its champion once champions fill every slot, or where it is turned off."""
    if settings.starter and assembly.unfilled(settings):
        return
    shutil.rmtree(settings.state_dir / STARTER_FOLDER, ignore_errors=True)
    artifacts = assembly.open_artifacts(settings)
    if STARTER.name not in assembly.recipes_in_use(settings) and artifacts.has_champion(STARTER.name):
        artifacts.retire(STARTER.name)
        log.info("starter.retired")


def retrain_alone(
    settings: Settings,
    recipes: Sequence[Recipe],
    data_version: str | None,
    should_stop: Callable[[], bool],
    *,
    folder: str | None = None,
) -> list[Retrained]:
    """
    Retrain *recipes* while no other process does, each on *data_version* or on that of its pin.

    With *folder*, only the columns and eras of each recipe are downloaded, to that folder of the state directory.
    """
    state_dir = settings.state_dir if folder is None else settings.state_dir / folder
    with (
        state_lock(settings.state_dir, "retrain"),
        tracking(settings.tracker, settings.state_dir / "tracking") as record_metrics,
        kept_bar(settings.state_dir, "retrain") as bar,
    ):
        names = dict.fromkeys([*assembly.recipes_in_use(settings), *(one.name for one in recipes)])
        pins = {pin.recipe: pin for pin in assembly.announce(assembly.pins(settings, list(names)))}
        client = assembly.open_client(settings)
        retrainer = Retrainer(
            client=client,
            artifacts=assembly.open_artifacts(settings),
            state_dir=state_dir,
            needed=assembly.versions(pins.values()),
            device=settings.device,
            report_progress=bar,
            should_stop=should_stop,
            record_metrics=record_metrics,
            ledger_path=settings.ledger_path,
            sync_data=None if folder is None else partial(sync_for_one, client, state_dir, report_progress=bar),
        )
        versions = {name: data_version or pin.to_train for name, pin in pins.items()}
        plans = [assembly.resolve_recipe(settings, one, data_version=versions[one.name]) for one in recipes]
        trained = []
        for plan in plans:
            # A plan speaks of the whole history; the starter takes minutes of a part of it.
            forecast = _forecast(settings, plan, client, bar) if folder is None else None
            try:
                trained.append(replace(retrainer, forecast=forecast).retrain(plan))
            except TrainingDiverged as diverged:
                raise OperatorNeeded(f"{diverged}, by a recipe of your own; the champion stays") from None
        return trained


def _forecast(settings: Settings, plan: ResolvedRecipe, client: NumeraiClient, bar: ProgressBar) -> Forecast | None:
    """Print the plan of a retrain and give it to the bar; ``None`` where the present data allow none, which a sync may change."""
    bar("plan", 0.0, "sizes, and times of this machine")
    try:
        forecast = open_forecast(
            settings, plan, client, lambda name: bar("plan", 0.0, f"how fast {name.split()[0]} is on this machine")
        )
    except (BotError, OSError, ValueError) as error:
        bar.console.print(f"{plan.recipe.name}: no plan yet: {error}", soft_wrap=True, markup=False)
        bar.estimate = Estimate()
        return None
    show_plan(forecast, bar.console)
    bar.estimate = forecast.estimate
    return forecast


def check_team_size(recipes: Iterable[Recipe], team: Team) -> None:
    """
    Refuse recipes that the team cannot train, before hours are spent on the data.

    Raises:
        BadConfig: The eras of a step cannot be divided among the processes of *team*.
    """
    for recipe in recipes:
        for member in recipe.members:
            network = getattr(member.options, "network", None)
            if isinstance(network, NetworkOptions) and network.eras_per_step % team.size:
                raise BadConfig(
                    f"recipe {recipe.name}: {team.size} processes cannot share a step of {network.eras_per_step} eras; set"
                    f" eras_per_step to a multiple of {team.size}, or start as many processes as divide it"
                )


def _kept(artifact: Artifact) -> list[str]:
    """Return the members that were not fitted again."""
    fits, listed = artifact.manifest["fits"], from_manifest(artifact.manifest)
    trained_here = [one for one in listed if registry.find(one.kind).needs(one).training]
    return [one.name for one in trained_here if fits.get(one.name, {}).get("kept")]
