"""
Set up logs: events with constant names and no secrets. A terminal gets one line for a person an event, a file the fields.

Off a terminal, standard error gets the fields as JSON.
"""

import io
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from bot.system import redaction
from bot.system.log_lines import human_line

Event = MutableMapping[str, Any]
LARGEST_LOG = 20_000_000
"""Bytes from which the log of a terminal begins anew; the one before is kept."""


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
            On a terminal, every line is appended to ``log.jsonl`` beside the folder.
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
            _LogFiles(rounds, whole=console),
            _HumanRenderer() if console else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write a line: processes of a team share standard error, and would mix the parts of their lines.
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(_LibraryFormatter(console=console))
    logging.basicConfig(
        level=level if level < logging.INFO else max(level, logging.WARNING), handlers=[handler], force=True
    )
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


class _StandardError(io.TextIOBase):
    """
    Standard error as it is at the moment of writing.

    A progress bar replaces it while it is shown, and prints what is written there above itself.
    """

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _HumanRenderer:
    """Render an event as a line for a person, as a structlog processor."""

    def __call__(self, _logger: object, _method: str, event: Event) -> str:
        colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        return human_line(event, colours=colours, encoding=getattr(sys.stderr, "encoding", None) or "utf-8")


class _LogFiles:
    """
    Append lines to ``log.jsonl`` in the folder of their round, as a structlog processor.

    Args:
        rounds: Folder of the rounds; ``None`` writes no file.
        whole: Whether all lines are also appended to ``log.jsonl`` beside that folder.
    """

    def __init__(self, rounds: Path | None, *, whole: bool) -> None:
        self._rounds = rounds
        self._whole = rounds.with_name("log.jsonl") if rounds is not None and whole else None

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        line = json.dumps(dict(event), default=str) + "\n"
        folder = None if self._rounds is None else self._rounds / str(event.get("round"))
        if folder is not None and folder.is_dir():
            _append(folder / "log.jsonl", line)
        if self._whole is not None and self._whole.parent.is_dir():
            with suppress(OSError):
                if self._whole.is_file() and self._whole.stat().st_size > LARGEST_LOG:
                    self._whole.replace(self._whole.with_name("log.1.jsonl"))
            _append(self._whole, line)
        return event


def _append(path: Path, line: str) -> None:
    with suppress(OSError), path.open("a", encoding="utf-8") as file:
        file.write(line)


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
