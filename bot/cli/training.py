"""Commands about models: data, training, and which artifact serves."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.app import app
from bot.errors import BotError, OperatorNeeded, RetryLater

if TYPE_CHECKING:
    from bot.history.sync import Synced
    from bot.judging.challenger import Retrained
    from bot.settings import Settings
    from bot.training.recipes import Recipe


@app.command()
def sync() -> None:
    """Bring data, era store and history of every data version in use up to date, verified."""
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import training_bar  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415
    from bot.training import recipe_file  # noqa: PLC0415

    settings = load_settings()
    logs.configure(**settings.logging)
    try:
        from bot.history.sync import sync_history  # noqa: PLC0415 - decodes with what only training installs
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to keep history") from None
    needs = recipe_file.history_needs()
    pins, store = assembly.announce(assembly.pins(settings)), assembly.open_artifacts(settings)
    failed: list[BotError] = []
    for version in dict.fromkeys(pin.in_use for pin in pins):
        try:
            with training_bar() as watch:
                fresh = sync_history(
                    assembly.open_client(settings),
                    settings.state_dir,
                    version,
                    history_targets=needs.targets,
                    lookback=needs.lookback,
                    pinned={*assembly.versions(pins), *store.pinned("store"), *store.pinned("data_version")},
                    watch=watch,
                )
        except BotError as error:
            failed.append(error)
            continue
        _show_synced(version, fresh)
    for other in failed[1:]:
        typer.echo(f"error: {other}", err=True)
    if failed:
        raise failed[0]


def _show_synced(version: str, fresh: "Synced") -> None:
    typer.echo(f"{version}: {', '.join(fresh.changed) if fresh.changed else 'every file is current'}")
    rows, eras = int(fresh.store.offsets[-1]), fresh.store.eras
    typer.echo(
        f"store: {len(eras)} eras, {eras[0]} to {eras[-1]}, {rows:,} rows, {len(fresh.store.manifest.features)} features"
    )
    typer.echo(f"truth: {fresh.facts}")
    newest = ", ".join(f"{name} {era}" for name, era in fresh.history.newest_era.items())
    typer.echo(f"history: resolved to {newest}; stale after {fresh.history.stale_after:%Y-%m-%d}")
    for finding in fresh.findings:
        typer.echo(f"finding: {finding}")


@app.command()
def retrain(
    recipe: Annotated[str | None, typer.Option(help="Recipe to train; default: every recipe in use.")] = None,
    data_version: Annotated[
        str | None,
        typer.Option(help="Train on this version; default: the champion's, or BOT_DATA_VERSION where that is newer."),
    ] = None,
) -> None:
    """Sync the data, train network and trees, judge them on eras they have not seen, and promote what has earned it."""
    import logging  # noqa: PLC0415

    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import show_scores  # noqa: PLC0415
    from bot.cli.reports import report_after_retrain  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415
    from bot.system.signals import stop_on_signal  # noqa: PLC0415
    from bot.training import recipe_file  # noqa: PLC0415

    settings = load_settings()
    logs.configure(**settings.logging)
    try:  # torch is loaded by this command alone
        from bot.training.distributed import NetworkTeam, check_team_size  # noqa: PLC0415
        from models.stopping import TrainingStopped  # noqa: PLC0415
        from models.training.distributed import ProcessLost, team  # noqa: PLC0415
        from models.training.training_values import TrainingDiverged  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to retrain") from None
    wanted = [recipe_file.find(name) for name in ([recipe] if recipe else assembly.recipes_in_use(settings))]
    trained: list[Retrained] = []
    try:
        with stop_on_signal() as should_stop, team() as members:
            check_team_size(wanted, members)
            if members.leads:
                trained = _lead(settings, wanted, data_version, should_stop)
                members.tell(None)
            else:
                logs.configure(**settings.logging | {"level": logging.WARNING})
                NetworkTeam(state_dir=settings.state_dir, device=settings.device, should_stop=should_stop).follow()
    except TrainingStopped as stopped:
        raise RetryLater(f"{stopped}; run `bot retrain` again, it goes on from there") from None
    except TrainingDiverged as diverged:
        raise OperatorNeeded(f"{diverged}, by a recipe of your own; the champion stays") from None
    except ProcessLost as lost:
        raise RetryLater(f"{lost}; start all of them again, they go on from the last checkpoint") from None
    for result in trained:
        show_scores(result.artifact.id, result.scores, result.decision, result.seconds)
        report_after_retrain(settings, result.artifact.id)


def _lead(
    settings: "Settings", wanted: "Sequence[Recipe]", data_version: str | None, should_stop: Callable[[], bool]
) -> "list[Retrained]":
    """Retrain the recipes while no other process does, each on *data_version* or on that of its pin."""
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import training_bar  # noqa: PLC0415
    from bot.judging.challenger import Retrainer  # noqa: PLC0415
    from bot.system.lock import state_lock  # noqa: PLC0415
    from bot.system.progress import tracking  # noqa: PLC0415

    with (
        state_lock(settings.state_dir, "retrain"),
        tracking(settings.tracker, settings.state_dir / "tracking") as track,
        training_bar() as watch,
    ):
        names = dict.fromkeys([*assembly.recipes_in_use(settings), *(one.name for one in wanted)])
        pins = {pin.recipe: pin for pin in assembly.announce(assembly.pins(settings, list(names)))}
        retrainer = Retrainer(
            client=assembly.open_client(settings),
            artifacts=assembly.open_artifacts(settings),
            state_dir=settings.state_dir,
            data_version=settings.data_version,
            needed=assembly.versions(pins.values()),
            feature_set=settings.feature_set,
            target=settings.target,
            device=settings.device,
            watch=watch,
            should_stop=should_stop,
            track=track,
        )
        versions = {name: data_version or pin.to_train for name, pin in pins.items()}
        return [replace(retrainer, data_version=versions[one.name]).retrain(one) for one in wanted]


@app.command()
def promote(artifact: Annotated[str, typer.Argument(help="Id of an artifact.")]) -> None:
    """Make an artifact the champion of the recipe it was trained for, also one that its gate kept back."""
    from bot import assembly  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415

    store = assembly.open_artifacts(load_settings())
    manifest = store.open(artifact).manifest
    recipe, decision = manifest["recipe"]["name"], manifest.get("decision", {"promote": True})
    store.promote(recipe, artifact, by="operator")
    typer.echo(f"recipe {recipe}: champion is {artifact}, on {store.data_version(artifact)}")
    if not decision["promote"]:
        typer.echo(f"its gate had kept it back: {decision['reason']}")


@app.command()
def rollback(recipe: Annotated[str | None, typer.Option(help="Recipe; default: every recipe in use.")] = None) -> None:
    """Go back to the champion before the current one."""
    from bot import assembly  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    store = assembly.open_artifacts(settings)
    for name in [recipe] if recipe else assembly.recipes_in_use(settings):
        identity = store.rollback(name)
        typer.echo(f"recipe {name}: champion is {identity}, on {store.data_version(identity)}")


@app.command()
def verify() -> None:
    """Check every artifact's files against their recorded sha256."""
    from bot import assembly  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415

    store = assembly.open_artifacts(load_settings())
    if not store.identities():
        typer.echo("no artifacts yet; `bot retrain` makes one")
    for identity in store.identities():
        store.open(identity)
        typer.echo(f"{identity}: intact")
