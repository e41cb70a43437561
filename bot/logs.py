"""Structured logs: JSON off a terminal, constant event names, no secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SIGNED = re.compile(r"((?:X-Amz-Signature|X-Amz-Credential|signature|token)=)[^&\s\"']+", re.IGNORECASE)


def configure(*, log_format: str = "auto", secrets: tuple[str, ...] = ()) -> None:
    """
    Set up structlog and the standard library's logging once, on standard error.

    Args:
        log_format: ``json``, ``console``, or ``auto``, which is ``console`` on a terminal.
        secrets: Values that are replaced by ``***`` wherever they would appear.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    hidden = tuple(secret for secret in secrets if secret)

    def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog
        return {key: _hide(value, hidden) for key, value in event.items()}

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if console
            else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", force=True
    )


def _hide(value: Any, secrets: tuple[str, ...]) -> Any:  # noqa: ANN401 - log fields are of any type
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, "***")
    return _SIGNED.sub(r"\1***", value)
