"""The command line: parse, call, and turn errors into one line and an exit code."""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.errors import BadConfig, BotError, OperatorNeeded, RoundNotOpen

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A Numerai bot that never misses a round. Settings: BOT_* variables or bot.toml; see the README.",
)


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option(help="Keep world and state in this folder.")] = None,
) -> None:
    """Play one whole round against an embedded tournament: no keys, no network."""
    from bot.sandbox.demo import play  # noqa: PLC0415 - only this command needs the sandbox

    play(keep)


@app.command()
def sandbox(
    datasets: Annotated[
        Path | None, typer.Option(help="Serve the files of this folder, such as v5.3/live.parquet, as the round's.")
    ] = None,
    world: Annotated[Path, typer.Option(help="Folder of the generated world; made when absent.")] = Path(
        "sandbox-state"
    ),
    size: Annotated[str, typer.Option(help="Size of a new world: tiny, small or full.")] = "tiny",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8008,
    every_s: Annotated[float, typer.Option(help="Seconds from one round's opening to the next.")] = 60.0,
    window_s: Annotated[float, typer.Option(help="Seconds a round stays open.")] = 50.0,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine only.")] = "127.0.0.1",
) -> None:
    """Serve a stand-in tournament that numerapi and the bot can talk to."""
    from bot.sandbox.demo import serve  # noqa: PLC0415

    serve(datasets=datasets, world=world, size=size, port=port, every_s=every_s, window_s=window_s, host=host)


@app.command()
def sync() -> None:
    """Bring data, era store and history of the pinned data version up to date, verified."""
    from bot import assembly, config, logs, recipes  # noqa: PLC0415
    from bot.console import training_bar  # noqa: PLC0415

    settings = config.load()
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    try:
        from bot.refresh import refresh  # noqa: PLC0415 - decodes with what only training installs
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to keep history") from None
    targets, lookback = recipes.history_needs()
    with training_bar() as watch:
        fresh = refresh(
            assembly.open_client(settings),
            settings.state_dir,
            settings.data_version,
            history_targets=targets,
            lookback=lookback,
            pinned=assembly.open_artifacts(settings).pinned("store"),
            watch=watch,
        )
    typer.echo(f"{settings.data_version}: {', '.join(fresh.changed) if fresh.changed else 'every file is current'}")
    rows, eras = int(fresh.store.offsets[-1]), fresh.store.eras
    typer.echo(
        f"store: {len(eras)} eras, {eras[0]} to {eras[-1]}, {rows:,} rows, {len(fresh.store.manifest.features)} features"
    )
    newest = ", ".join(f"{name} {era}" for name, era in fresh.history.newest_era.items())
    typer.echo(f"history: resolved to {newest}; stale after {fresh.history.stale_after:%Y-%m-%d}")
    for finding in fresh.findings:
        typer.echo(f"finding: {finding}")


@app.command()
def retrain(
    recipe: Annotated[str | None, typer.Option(help="Recipe to train; default: every recipe in use.")] = None,
) -> None:
    """Sync the data, train network and trees, and promote the artifact that replays its own golden batch."""
    from bot import assembly, config, logs, recipes  # noqa: PLC0415
    from bot.console import show_scores, training_bar  # noqa: PLC0415
    from bot.ledger import state_lock  # noqa: PLC0415

    settings = config.load()
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    try:
        from bot.retrain import Retrainer  # noqa: PLC0415 - torch is loaded by this command alone
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to retrain") from None
    chosen = [recipe] if recipe else assembly.recipes_in_use(settings)
    with state_lock(settings.state_dir, "retrain"), training_bar() as watch:
        retrainer = Retrainer(
            client=assembly.open_client(settings),
            artifacts=assembly.open_artifacts(settings),
            state_dir=settings.state_dir,
            data_version=settings.data_version,
            feature_set=settings.feature_set,
            target=settings.target,
            device=settings.device,
            watch=watch,
        )
        trained = [retrainer.retrain(recipes.recipe(name)) for name in chosen]
    for result in trained:
        show_scores(result.artifact.id, result.scores, result.seconds, "promoted: it replays its golden batch; trained")


@app.command()
def submit(
    round_: Annotated[str, typer.Option("--round", help="`latest`, or the number of the open round.")] = "latest",
    slot: Annotated[
        str | None, typer.Option(help="One of the account's models; default: every configured slot.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Everything but the upload, whatever BOT_MODE says.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a confirmed or foreign submission.")] = False,
) -> None:
    """Bring the open round to a confirmed submission, or say why not."""
    from bot import assembly, config, logs  # noqa: PLC0415
    from bot.console import show_receipt  # noqa: PLC0415
    from bot.ledger import Ledger, state_lock  # noqa: PLC0415

    settings = config.load(mode="dry-run" if dry_run else None)
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    with state_lock(settings.state_dir):
        ledger = Ledger(settings.ledger_path)
        client = assembly.open_client(settings)
        submitter = assembly.open_submitter(settings, client, ledger)
        slots = assembly.find_slots(settings, client)
        if slot is not None:
            known = ", ".join(one.name for one in slots)
            slots = tuple(one for one in slots if one.name == slot)
            if not slots:
                raise BadConfig(f"slot {slot!r} is not configured; configured slots: {known}")
        current = client.current_round()
        if round_ not in ("latest", str(current.number)):
            raise RoundNotOpen(f"round {round_} is not open; the open round is {current.number}")
        for one in slots:
            show_receipt(submitter.submit(current, one, force=force))


@app.command()
def run() -> None:
    """Submit every round as it opens and retrain on schedule, until stopped."""
    from bot import assembly, config, daemon, logs  # noqa: PLC0415
    from bot.ledger import Ledger, state_lock  # noqa: PLC0415

    settings = config.load()
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    with state_lock(settings.state_dir):
        ledger = Ledger(settings.ledger_path)
        client = assembly.open_client(settings)
        loop = daemon.Daemon(
            submitter=assembly.open_submitter(settings, client, ledger),
            find_slots=lambda: assembly.find_slots(settings, client),
            tick_s=settings.tick_s,
        )
        daemon.run(loop, assembly.chores(settings))


@app.command()
def promote(artifact: Annotated[str, typer.Argument(help="Id of an artifact.")]) -> None:
    """Make an artifact the champion of the recipe it was trained for."""
    from bot import assembly, config  # noqa: PLC0415

    store = assembly.open_artifacts(config.load())
    recipe = store.open(artifact).manifest["recipe"]["name"]
    store.promote(recipe, artifact)
    typer.echo(f"recipe {recipe}: champion is {artifact}")


@app.command()
def rollback(recipe: Annotated[str | None, typer.Option(help="Recipe; default: every recipe in use.")] = None) -> None:
    """Go back to the champion before the current one."""
    from bot import assembly, config  # noqa: PLC0415

    settings = config.load()
    store = assembly.open_artifacts(settings)
    for name in [recipe] if recipe else assembly.recipes_in_use(settings):
        typer.echo(f"recipe {name}: champion is {store.rollback(name)}")


@app.command()
def verify() -> None:
    """Check every artifact's files against their recorded sha256."""
    from bot import assembly, config  # noqa: PLC0415

    store = assembly.open_artifacts(config.load())
    if not store.identities():
        typer.echo("no artifacts yet; `bot retrain` makes one")
    for identity in store.identities():
        store.open(identity)
        typer.echo(f"{identity}: intact")


@app.command()
def status() -> None:
    """Show the last rounds from the ledger; asks nobody."""
    from bot import config  # noqa: PLC0415
    from bot.ledger import Ledger  # noqa: PLC0415

    settings = config.load()
    if not settings.ledger_path.is_file():
        typer.echo(f"{settings.mode}: no round yet ({settings.ledger_path} does not exist)")
        return
    ledger = Ledger(settings.ledger_path)
    for entry in ledger.entries():
        typer.echo(f"round {entry.round}  {entry.slot}  {entry.state}  {entry.artifact}  {entry.submission_id or '-'}")


def main() -> None:
    """Run the command line; errors raised on purpose become one line on standard error and their exit code."""
    try:
        app(standalone_mode=True)
    except BotError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
            raise
        typer.echo(
            f"error: {error.filename or 'the state directory'}: {error.strerror}; make room or mend it", err=True
        )
        sys.exit(OperatorNeeded.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
