"""`bot init`: a few questions that make a `bot.toml`; nothing is uploaded before somebody says live."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.app import app
from bot.errors import BadConfig

FILE = Path("bot.toml")
KEY = """Put the API key (scopes upload_submission, download_submission, read_submission_info and read_user_info, no more) into
two files that only you can read, and name them:
  export NUMERAI_PUBLIC_ID_FILE=numerai_public_id NUMERAI_SECRET_KEY_FILE=numerai_secret_key
Then: bot doctor, bot retrain, bot submit --round latest, bot run."""


@app.command()
def init(
    *,
    slots: Annotated[str | None, typer.Option(help="Models to fill, as `name=recipe,name=recipe`.")] = None,
    feature_set: Annotated[str | None, typer.Option(help="small, medium or all.")] = None,
    live: Annotated[bool | None, typer.Option("--live/--dry-run", help="Upload, or do everything else.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the bot.toml that is there.")] = False,
) -> None:
    """Write a bot.toml from a few answers, and say where the key belongs."""
    if FILE.exists() and not force:
        raise BadConfig(f"{FILE.absolute()} is there already; edit it, or say --force to replace it")
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


def _write(content: str) -> None:
    """Put the file in place once the settings accept it; what was there before stays until then."""
    from bot.settings import load_settings  # noqa: PLC0415 - brings the settings model

    before = FILE.read_text(encoding="utf-8") if FILE.exists() else None
    staging = FILE.with_suffix(".tmp")
    staging.write_text(content, encoding="utf-8")
    staging.replace(FILE)
    try:
        load_settings()
    except BadConfig:
        FILE.unlink() if before is None else FILE.write_text(before, encoding="utf-8")
        raise
