"""`bot sync`: data, era store and history of every data version in use."""

import typer

from bot import assembly
from bot.cli.console import kept_bar
from bot.errors import BotError
from bot.history.sync import Synced
from bot.settings import load_settings
from bot.system import logs
from bot.training.recipe_sync import sync_for_recipes


def sync_versions() -> None:
    """
    Sync every data version in use and print its state.

    Raises:
        BotError: A version failed. The others are synced first, and the first failure is raised.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    pins, artifacts = assembly.announce(assembly.pins(settings)), assembly.open_artifacts(settings)
    failed: list[BotError] = []
    for version in dict.fromkeys(pin.in_use for pin in pins):
        try:
            with kept_bar(settings.state_dir, "sync") as report_progress:
                synced = sync_for_recipes(
                    assembly.open_client(settings),
                    artifacts,
                    settings.state_dir,
                    version,
                    needed=assembly.versions(pins),
                    report_progress=report_progress,
                )
        except BotError as error:
            failed.append(error)
            continue
        _show(version, synced)
    for other in failed[1:]:
        typer.echo(f"error: {other}", err=True)
    if failed:
        raise failed[0]


def _show(version: str, synced: Synced) -> None:
    typer.echo(f"{version}: {', '.join(synced.changed) if synced.changed else 'every file is current'}")
    rows, eras = int(synced.store.offsets[-1]), synced.store.eras
    features = len(synced.store.manifest.features)
    typer.echo(f"store: {len(eras)} eras, {eras[0]} to {eras[-1]}, {rows:,} rows, {features} features")
    typer.echo(f"truth: {synced.facts}")
    newest = ", ".join(f"{name} {era}" for name, era in synced.history.newest_era.items())
    typer.echo(f"history: resolved to {newest}; stale after {synced.history.stale_after:%Y-%m-%d}")
    for finding in synced.findings:
        typer.echo(f"finding: {finding}")
