"""Send a request again after a failure: stamina's pauses, with a log line of the bot, and one try where a person waits."""

from collections.abc import Iterator
from contextlib import contextmanager

import stamina
import structlog
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

retry_context = stamina.retry_context
log = structlog.get_logger()


def _log_repetition(details: RetryDetails) -> None:
    log.info(
        "request.repeated",
        reason=str(details.caused_by),
        attempt=details.retry_num + 1,
        pause_s=round(details.wait_for, 1),
    )


# stamina's own hook logs the arguments and the representation of the error. The setting is one for the process.
set_on_retry_hooks([_log_repetition])


@contextmanager
def one_try() -> Iterator[None]:
    """Let every request inside be sent once, so that a person has the answer within seconds."""
    stamina.set_active(False)
    try:
        yield
    finally:
        stamina.set_active(True)
