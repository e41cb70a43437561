"""`bot backup`: copy the ledger and delete files of old rounds."""

from datetime import UTC, datetime

from bot.cli.answer import Answer
from bot.record import backup
from bot.record.ledger import rounds_folder
from bot.settings import load_settings


def back_up() -> Answer:
    """Back up the ledger and delete files of old rounds; return what was done."""
    settings, made = load_settings(), None
    if settings.ledger_path.is_file():
        made = backup.back_up(settings.ledger_path, settings.state_dir / "backups", at=datetime.now(UTC))
    freed = backup.prune(rounds_folder(settings.ledger_path))
    done = f"backed up to {made}" if made else f"{settings.ledger_path} does not exist yet: nothing to back up"
    return Answer(
        lines=(f"ledger: {done}", f"rounds: {freed / 1e6:.1f} MB freed"),
        content={"backup": str(made) if made else None, "freed_bytes": freed},
    )
