"""`bot sync`: data, era store and history of every data version in use."""

from typing import Any

import typer

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import kept_bar
from bot.errors import BotError
from bot.history.synced import Synced
from bot.settings import load_settings
from bot.system import logs
from bot.training.recipe_sync import sync_for_recipes


def sync_versions() -> Answer:
    """Sync every data version in use; print and return its state. A version that failed is an error of the answer."""
    settings = load_settings()
    logs.configure(**settings.logging)
    pins, artifacts = assembly.announce(assembly.pins(settings)), assembly.open_artifacts(settings)
    failed: list[BotError] = []
    versions: list[dict[str, Any]] = []
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
        versions.append(_content(version, synced))
        _show(version, synced)
    return Answer(content={"versions": versions}, errors=failed)


def _content(version: str, synced: Synced) -> dict[str, Any]:
    """Return the state of a version for a program."""
    stale_after = synced.history.stale_after
    return {
        "data_version": version,
        "changed": synced.changed,
        "eras": len(synced.store.eras),
        "first_era": synced.store.eras[0],
        "newest_era": synced.store.eras[-1],
        "rows": int(synced.store.offsets[-1]),
        "features": len(synced.store.manifest.features),
        "resolved_to": dict(synced.history.newest_era),
        "stale_after": None if stale_after is None else stale_after.isoformat(),
        "findings": synced.findings,
    }


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
