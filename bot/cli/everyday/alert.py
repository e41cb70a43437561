"""`bot alert test`: a test message to every address of the alerts."""

from contextlib import closing
from datetime import UTC, datetime

from bot.cli.answer import Answer
from bot.daemon.alert_test import send_test
from bot.errors import OperatorNeeded, RetryLater
from bot.record.control import ALERT_TEST
from bot.record.ledger import Ledger
from bot.settings import load_settings
from bot.system import logs


def send_alert_test() -> tuple[Answer, int]:
    """
    Send the message; return the answer, and the exit code: 0 where every service took it, 75 or 78 where one did not.

    Raises:
        BadConfig: No address is configured.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    urls = settings.alert_urls.get_secret_value().split() if settings.alert_urls else []
    taken = send_test(urls, logging=settings.logging)
    with closing(Ledger(settings.ledger_path)) as ledger:
        ledger.ask(ALERT_TEST, at=datetime.now(UTC))
    lines = tuple(f"address {one.place} of BOT_ALERT_URLS: {'taken' if one.ok else one.error}" for one in taken)
    content = {
        "addresses": [
            {"place": one.place, "taken": one.ok, "reason": None if one.error is None else str(one.error)}
            for one in taken
        ]
    }
    errors = [one.error for one in taken if one.error is not None]
    needs_person = any(isinstance(one, OperatorNeeded) for one in errors)
    code = OperatorNeeded.exit_code if needs_person else RetryLater.exit_code if errors else 0
    return Answer(lines=lines, content=content), code
