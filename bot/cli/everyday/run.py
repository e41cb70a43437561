"""`bot run`: the daemon, or its jobs that need no key (`--trainer`)."""

import sys
from contextlib import ExitStack

import structlog

from bot.daemon import process, wiring
from bot.record.ledger import rounds_folder
from bot.settings import load_settings
from bot.system import logs
from bot.system.lock import state_lock

log = structlog.get_logger()


def run_daemon(*, trainer: bool) -> None:
    """Hold the state directory and run until stopped: the whole daemon, or only sync and retrain for a *trainer*."""
    settings = load_settings()
    logs.configure(**settings.logging, rounds=rounds_folder(settings.ledger_path))
    if settings.http_port is None and not trainer and sys.stderr.isatty():
        log.info("web.off", setting="BOT_HTTP_PORT")
    # A dry run of its own works beside a live bot, but not beside one in the same mode.
    locks = ["trainer"] if trainer else ["bot", *(["dry-run"] if settings.mode == "dry-run" else [])]
    with ExitStack() as held:
        for name in locks:
            held.enter_context(state_lock(settings.state_dir, name))
        if trainer:
            process.serve_jobs(wiring.open_trainer(settings))
        else:
            process.serve(wiring.open_service(settings))
