"""Set up structured logs: JSON unless standard error is a terminal, constant event names, no secrets."""

import json
import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from bot.system import redaction

Event = MutableMapping[str, Any]


def configure(
    *,
    log_format: str = "auto",
    secrets: tuple[str, ...] = (),
    rounds: Path | None = None,
    level: int = logging.INFO,
) -> None:
    """
    Set up structlog and the standard library's logging on standard error.

    Args:
        log_format: ``json``, ``console``, or ``auto``, which is ``console`` on a terminal.
        secrets: Values to replace by ``***`` in every line.
        rounds: Folder of the rounds. A line of a round is also appended to ``log.jsonl`` of its folder, if that exists.
        level: Lowest level that is logged.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    redaction.hide(secrets)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            _RoundLog(rounds),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if console
            else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LibraryFormatter(console=console))
    logging.basicConfig(level=level if level < logging.INFO else logging.WARNING, handlers=[handler], force=True)
    # It warns at every tick while a job is still running, and a training takes hours.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    sys.excepthook = _write_traceback
    threading.excepthook = _write_thread_traceback


def _redact(_logger: object, _method: str, event: Event) -> Event:
    """Hide secrets in every field of a line, as a structlog processor."""
    return {key: _hidden_in(value) for key, value in event.items()}


def _hidden_in(value: Any) -> Any:  # noqa: ANN401 - log fields are of any type
    """Return *value* itself, or its text with stars if that contains a secret."""
    text = value if isinstance(value, str) else str(value)
    redacted = redaction.redact(text)
    return value if redacted == text else redacted


def _write_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write the traceback of an uncaught error to standard error."""
    sys.stderr.write(redaction.redact("".join(traceback.format_exception(kind, error, trace))))


def _write_thread_traceback(uncaught: threading.ExceptHookArgs) -> None:
    """Write the traceback of an uncaught error of a thread to standard error."""
    if uncaught.exc_type is not SystemExit:  # Python's own hook ignores it too
        _write_traceback(uncaught.exc_type, uncaught.exc_value or uncaught.exc_type(), uncaught.exc_traceback)


class _RoundLog:
    """Append the lines of a round to ``log.jsonl`` in its folder, as a structlog processor."""

    def __init__(self, rounds: Path | None) -> None:
        self._rounds = rounds

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        folder = None if self._rounds is None else self._rounds / str(event.get("round"))
        if folder is not None and folder.is_dir():
            with suppress(OSError), (folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(event), default=str) + "\n")
        return event


class _LibraryFormatter(logging.Formatter):
    """Format the lines of libraries like the bot's own, without its secrets."""

    def __init__(self, *, console: bool) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s" if console else "%(message)s")
        self._console = console

    def format(self, record: logging.LogRecord) -> str:
        message = redaction.redact(super().format(record))
        if self._console:
            return message
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        level = record.levelname.lower()
        return json.dumps(
            {"event": "library.said", "library": record.name, "message": message, "level": level, "timestamp": at}
        )
