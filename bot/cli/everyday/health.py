"""`bot health`: a check that a container runs every half minute, so it reads neither settings nor ledger."""

from bot.cli.paths import state_paths
from bot.record.heartbeat import DAEMON, TRAINER, problems


def find_problems(*, trainer: bool) -> tuple[str, ...]:
    """Return the reasons why the daemon, or the *trainer*, is not well; empty when it is."""
    return problems(state_paths().state_dir, TRAINER if trainer else DAEMON)
