"""`bot run`: the daemon, or its jobs that need no key (`--trainer`)."""

from bot.daemon import process, wiring
from bot.record.ledger import rounds_folder
from bot.settings import load_settings
from bot.system import logs
from bot.system.lock import state_lock


def run_daemon(*, trainer: bool) -> None:
    """Hold the state directory and run until stopped: the whole daemon, or only sync and retrain for a *trainer*."""
    settings = load_settings()
    logs.configure(**settings.logging, rounds=rounds_folder(settings.ledger_path))
    with state_lock(settings.state_dir, "trainer" if trainer else "bot"):
        if trainer:
            process.serve_jobs(wiring.open_trainer(settings))
        else:
            process.serve(wiring.open_service(settings))
