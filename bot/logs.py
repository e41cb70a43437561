"""Structured logs: JSON off a terminal, constant event names, no secrets."""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

_SIGNED = re.compile(r"((?:X-Amz-Signature|X-Amz-Credential|signature|token)=)[^&\s\"']+", re.IGNORECASE)


def configure(
    *,
    log_format: str = "auto",
    secrets: tuple[str, ...] = (),
    rounds: Path | None = None,
    level: int = logging.INFO,
) -> None:
    """
    Set up structlog and the standard library's logging once, on standard error.

    Args:
        log_format: ``json``, ``console``, or ``auto``, which is ``console`` on a terminal.
        secrets: Values that are replaced by ``***`` wherever they would appear.
        rounds: Folder of the rounds; what is logged of a round whose folder is there is kept in it as well.
        level: What is less than it goes unsaid.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    hidden = tuple(secret for secret in secrets if secret)

    def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog
        return {key: _hide(value, hidden) for key, value in event.items()}

    def keep(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog
        folder = None if rounds is None else rounds / str(event.get("round"))
        if folder is not None and folder.is_dir():
            with suppress(OSError), (folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(event), default=str) + "\n")
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            keep,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if console
            else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", force=True
    )
    # It warns at every look for chores while one is under way, and a training takes hours.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def _hide(value: Any, secrets: tuple[str, ...]) -> Any:  # noqa: ANN401 - log fields are of any type
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, "***")
    return _SIGNED.sub(r"\1***", value)
