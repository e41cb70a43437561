"""`bot init`: write a `bot.toml` from a few answers; dry run unless the operator chooses live."""

import json
from pathlib import Path

import typer

from bot.errors import BadConfig
from bot.settings import load_settings
from bot.system.files import publish

FILE = Path("bot.toml")
KEY = """Put the API key (scopes upload_submission, download_submission, read_submission_info and read_user_info, no more) into
two files that only you can read, and name them:
  export NUMERAI_PUBLIC_ID_FILE=numerai_public_id NUMERAI_SECRET_KEY_FILE=numerai_secret_key
Then: bot doctor, bot retrain, bot submit --round latest, bot run."""


def write_settings(*, slots: str | None, feature_set: str | None, live: bool | None, force: bool) -> None:
    """
    Write ``bot.toml`` and ask for the answers that are ``None``.

    Raises:
        BadConfig: The file exists and *force* is false, or the settings refuse an answer.
    """
    if FILE.exists() and not force:
        raise BadConfig(f"{FILE.absolute()} is there already; edit it, or use --force to replace it")
    slots = (
        typer.prompt("Models to fill (name=recipe,...; empty: the account's only one)", "") if slots is None else slots
    )
    feature_set = feature_set or typer.prompt("Feature set (small, medium, all)", "medium")
    live = typer.confirm("Upload for real?", default=False) if live is None else live
    pairs = [piece.strip().partition("=") for piece in slots.split(",") if piece.strip()]
    if any(not name.strip() or not recipe.strip() for name, _, recipe in pairs):
        raise BadConfig(f"models {slots!r} must read name=recipe,name=recipe")
    lines = [f'mode = "{"live" if live else "dry-run"}"', f"feature_set = {json.dumps(feature_set)}"]
    if pairs:
        lines += [
            "",
            "[slots]",
            *(f"{json.dumps(name.strip())} = {json.dumps(recipe.strip())}" for name, _, recipe in pairs),
        ]
    _write("\n".join(lines) + "\n")
    typer.echo(f"{FILE.absolute()} is written: {'live' if live else 'dry run, nothing is uploaded'}.\n{KEY}")
    _show_retrains()


def _show_retrains() -> None:
    """Print what the first retrain of each recipe takes on this machine, where it can train."""
    try:
        from bot.cli.models.plan import retrain_lines  # noqa: PLC0415 - a machine that only submits lacks its libraries
    except ModuleNotFoundError:
        return
    for line in retrain_lines(load_settings()):
        typer.echo(line)


def _write(content: str) -> None:
    """Replace the file, and put the old one back where the settings refuse the new one."""
    before = FILE.read_text(encoding="utf-8") if FILE.exists() else None
    publish(FILE, content.encode())
    try:
        load_settings()
    except BadConfig:
        FILE.unlink() if before is None else publish(FILE, before.encode())
        raise
