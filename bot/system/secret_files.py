"""Secrets that lie in files: beside the bot, or mounted by the container."""

import os
from pathlib import Path

from bot.errors import BadConfig

SECRET_FOLDER = Path("/run/secrets")
SECRETS = ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY", "BOT_ALERT_URLS", "BOT_PING_URL", "BOT_WEBHOOK_TOKEN")
"""Variables that may also be given as a file: ``<NAME>_FILE``, or mounted in the container's secret folder."""


def secret_from_file(name: str) -> str | None:
    """Read a secret from ``<NAME>_FILE`` or the container's secret folder; the plain variable wins over the folder."""
    named = os.environ.get(f"{name}_FILE")
    if named:
        return read_secret(Path(named), f"{name}_FILE")
    mounted = SECRET_FOLDER / name
    if name not in os.environ and mounted.is_file():
        return mounted.read_text(encoding="utf-8").strip()
    return None


def read_secret(path: Path, name: str) -> str:
    """
    Return what a file holds, without blanks around it.

    Raises:
        BadConfig: It cannot be read; the message says which setting *name* it is.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadConfig(f"{name} names {path}, which cannot be read: {error.strerror}") from None
