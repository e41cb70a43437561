"""Set up structured logs: JSON unless standard error is a terminal, constant event names, no secrets."""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import structlog

_SIGNED = re.compile(r"((?:X-Amz-Signature|X-Amz-Credential|signature|token)=)[^&\s\"']+", re.IGNORECASE)
_SEPARATORS = re.compile(r"[/:@?&=#\s,]+")
MIN_PART = 6
"""Characters of the shortest part of a secret URL that is also hidden alone; a scheme or a port is no secret."""


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
    hidden = _parts(secrets)

    def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog
        return {key: _hide(value, hidden) for key, value in event.items()}

    def write_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(_hide("".join(traceback.format_exception(kind, error, trace)), hidden))

    def write_thread_traceback(lost: threading.ExceptHookArgs) -> None:
        if lost.exc_type is not SystemExit:  # Python's own hook ignores it too
            write_traceback(lost.exc_type, lost.exc_value or lost.exc_type(), lost.exc_traceback)

    def append_to_round(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog
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
            append_to_round,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if console
            else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LibraryFormatter(hidden, console=console))
    logging.basicConfig(level=level if level < logging.INFO else logging.WARNING, handlers=[handler], force=True)
    # It warns at every tick while a job is still running, and a training takes hours.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    sys.excepthook = write_traceback
    threading.excepthook = write_thread_traceback


class _LibraryFormatter(logging.Formatter):
    """Format the lines of libraries like the bot's own, without its secrets."""

    def __init__(self, hidden: tuple[str, ...], *, console: bool) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s" if console else "%(message)s")
        self._hidden, self._console = hidden, console

    def format(self, record: logging.LogRecord) -> str:
        message = str(_hide(super().format(record), self._hidden))
        if self._console:
            return message
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        level = record.levelname.lower()
        return json.dumps(
            {"event": "library.said", "library": record.name, "message": message, "level": level, "timestamp": at}
        )


def _parts(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the secrets, longest first, with the parts of secret URLs, since libraries log these one by one."""
    found = set(secrets)
    for secret in secrets:
        if "://" in secret:
            host = urlsplit(secret).hostname or ""
            parts = {part for part in _SEPARATORS.split(secret) if len(part) >= MIN_PART}
            found |= parts if "." not in host else parts - {host}  # the name of a public host is no secret
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def _hide(value: Any, secrets: tuple[str, ...]) -> Any:  # noqa: ANN401 - log fields are of any type
    shown = text = value if isinstance(value, str) else str(value)
    for secret in secrets:
        shown = shown.replace(secret, "***")
    shown = _SIGNED.sub(r"\1***", shown)
    return value if shown == text else shown
