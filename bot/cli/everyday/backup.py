"""`bot backup`: copy the ledger and delete files of old rounds."""

from datetime import UTC, datetime

import typer

from bot.record import backup
from bot.record.ledger import rounds_folder
from bot.settings import load_settings


def back_up() -> None:
    """Back up the ledger, delete files of old rounds, and print what was done."""
    settings = load_settings()
    if settings.ledger_path.is_file():
        made = backup.back_up(settings.ledger_path, settings.state_dir / "backups", at=datetime.now(UTC))
        typer.echo(f"ledger: backed up to {made}")
    freed = backup.prune(rounds_folder(settings.ledger_path))
    typer.echo(f"rounds: {freed / 1e6:.1f} MB freed")
