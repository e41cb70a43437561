"""`bot retrain`: train challengers, alone or as one process of a team, and report on each."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
import typer
from rich.table import Table

from bot import assembly
from bot.cli.console import ProgressBar, console, gate_result, training_bar
from bot.cli.evaluation import evaluate_and_report
from bot.cli.models.plan import open_forecast, show_plan
from bot.errors import BadConfig, BotError, NoChampion, OperatorNeeded, RetryLater
from bot.judging.adoption import is_adopted
from bot.judging.challenger import Retrained, Retrainer
from bot.judging.promotion import Decision
from bot.judging.retrain_forecast import Forecast
from bot.members import registry
from bot.members.network.options import NetworkOptions
from bot.members.network.team import follow
from bot.members.stored import from_manifest
from bot.settings import Settings, load_settings
from bot.system import logs
from bot.system.lock import state_lock
from bot.system.signals import stop_on_signal
from bot.system.tracking import tracking
from bot.tournament.client import NumeraiClient
from bot.training import recipe_file
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.time_estimate import Estimate, in_words
from models.stopping import TrainingStopped
from models.training.distributed import ProcessLost, Team, team
from models.training.training_values import TrainingDiverged


def retrain_recipes(recipe: str | None, data_version: str | None) -> None:
    """
    Train a recipe, by default every recipe in use, and print scores, decision and report of each.

    In a team started by `torchrun`, the process that leads retrains; the others train their share of its networks.

    Args:
        recipe: Name of the recipe.
        data_version: Version to train on; by default the champion's, or that of the settings where it is newer.

    Raises:
        BadConfig: A recipe's file is not usable; the others are trained first.
        OperatorNeeded: Training diverged.
        RetryLater: Training was stopped, or a process of the team is gone; the next call continues.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    found = [_find_recipe(name) for name in ([recipe] if recipe else assembly.recipes_in_use(settings))]
    recipes = [one for one in found if isinstance(one, Recipe)]
    wanted = [one for one in recipes if not is_adopted(one)]
    unusable = [one for one in found if isinstance(one, BadConfig)]
    unusable += _without_champion(settings, [one.name for one in recipes if is_adopted(one)])
    if not wanted:
        if unusable:
            raise unusable[0]
        return
    trained: list[Retrained] = []
    try:
        with stop_on_signal() as should_stop, team() as members:
            check_team_size(wanted, members)
            if members.leads:
                trained = retrain_alone(settings, wanted, data_version, should_stop)
                members.tell(None)
            else:
                logs.configure(**settings.logging | {"level": logging.WARNING})
                follow(device=settings.device, should_stop=should_stop)
    except TrainingStopped as stopped:
        raise RetryLater(f"{stopped}; run `bot retrain` again, it goes on from there") from None
    except TrainingDiverged as diverged:
        raise OperatorNeeded(f"{diverged}, by a recipe of your own; the champion stays") from None
    except ProcessLost as lost:
        raise RetryLater(f"{lost}; start all of them again, they go on from the last checkpoint") from None
    for result in trained:
        _finish(settings, result)
    if unusable:
        raise unusable[0]


def _finish(settings: Settings, result: Retrained) -> None:
    """Print the result of a retrain, write its report, and compare the time that it took with its plan."""
    _show_scores(result.artifact.id, result.scores, result.decision, result.seconds)
    fits, listed = result.artifact.manifest["fits"], from_manifest(result.artifact.manifest)
    trained_here = [one for one in listed if registry.find(one.kind).needs(one).training]
    kept = [one.name for one in trained_here if fits.get(one.name, {}).get("kept")]
    if kept:
        typer.echo(f"from earlier fits, with equal options and data: {', '.join(kept)}")
    forecast = result.forecast
    report_after_retrain(settings, result.artifact.id, None if forecast is None else forecast.estimate)
    if forecast is not None:
        typer.echo(f"planned {in_words(forecast.planned_s)}, took {in_words(forecast.finish())}")


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


def retrain_alone(
    settings: Settings, recipes: Sequence[Recipe], data_version: str | None, should_stop: Callable[[], bool]
) -> list[Retrained]:
    """Retrain *recipes* while no other process does, each on *data_version* or on that of its pin."""
    with (
        state_lock(settings.state_dir, "retrain"),
        tracking(settings.tracker, settings.state_dir / "tracking") as record_metrics,
        training_bar() as bar,
    ):
        names = dict.fromkeys([*assembly.recipes_in_use(settings), *(one.name for one in recipes)])
        pins = {pin.recipe: pin for pin in assembly.announce(assembly.pins(settings, list(names)))}
        retrainer = Retrainer(
            client=assembly.open_client(settings),
            artifacts=assembly.open_artifacts(settings),
            state_dir=settings.state_dir,
            needed=assembly.versions(pins.values()),
            device=settings.device,
            report_progress=bar,
            should_stop=should_stop,
            record_metrics=record_metrics,
            ledger_path=settings.ledger_path,
        )
        versions = {name: data_version or pin.to_train for name, pin in pins.items()}
        plans = [assembly.resolve_recipe(settings, one, data_version=versions[one.name]) for one in recipes]
        trained = []
        for plan in plans:
            forecast = _forecast(settings, plan, retrainer.client, bar)
            trained.append(replace(retrainer, forecast=forecast).retrain(plan))
        return trained


def _forecast(settings: Settings, plan: ResolvedRecipe, client: NumeraiClient, bar: ProgressBar) -> Forecast | None:
    """Print the plan of a retrain and give it to the bar; ``None`` where the data of now allow none: a sync may mend them."""
    bar("plan", 0.0, "sizes, and times of this machine")
    try:
        forecast = open_forecast(settings, plan, client, lambda name: bar("plan", 0.0, f"measure {name}"))
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


def report_after_retrain(settings: Settings, artifact: str, estimate: Estimate | None = None) -> None:
    """Write the page about a new artifact and print its path. An error is logged only: the retrain is complete."""
    try:
        evaluation = evaluate_and_report(settings, artifact, estimate=estimate)
    except Exception as error:  # noqa: BLE001 - the artifact is published and judged; its page must not change that
        structlog.get_logger().warning("report.failed", artifact=artifact, error=f"{type(error).__name__}: {error}")
    else:
        typer.echo(f"report: {evaluation.page}")


def _show_scores(artifact: str, scores: Mapping[str, Any], decision: Decision, seconds: float) -> None:
    """Print an artifact's scores on the hold-out, the findings of its judgement, and the decision."""
    table = Table(title=f"Artifact {artifact}", title_justify="left")
    for name in ("member", "CORR mean", "Sharpe", "max drawdown", "eras"):
        table.add_column(name, justify="left" if name == "member" else "right")
    for member, score in scores.items():
        table.add_row(member, f"{score.mean:.4f}", f"{score.sharpe:.2f}", f"{score.max_drawdown:.3f}", str(score.eras))
    findings = Table(title="Against the floors and the champion", title_justify="left", show_header=False)
    for finding in decision.findings:
        findings.add_row(finding.gate, gate_result(finding))
    out = console()
    out.print(table)
    out.print(findings)
    verdict = "promoted" if decision.promote else "not promoted, the champion stays"
    out.print(f"{verdict}: {decision.reason}; trained in {seconds:.1f} s", soft_wrap=True)
