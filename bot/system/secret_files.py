"""Read secrets from files, also from those that a container mounts."""

import os
from pathlib import Path

from bot.errors import BadConfig

SECRET_FOLDER = Path("/run/secrets")
SECRETS = ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY", "BOT_ALERT_URLS", "BOT_PING_URL", "BOT_WEBHOOK_TOKEN")
"""Variables whose value may also come from a file: ``<NAME>_FILE``, or one of that name in the secret folder."""


def secret_from_file(name: str) -> str | None:
    """Return the secret *name* from ``<NAME>_FILE`` or the secret folder; a plain variable takes precedence over the folder."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        return read_secret(Path(path), f"{name}_FILE")
    mounted = SECRET_FOLDER / name
    if name not in os.environ and mounted.is_file():
        return mounted.read_text(encoding="utf-8").strip()
    return None


def read_secret(path: Path, name: str) -> str:
    """
    Return the content of a file without leading and trailing whitespace.

    Raises:
        BadConfig: The file cannot be read; the message contains *name*, the setting with its path.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadConfig(f"{name} names {path}, which cannot be read: {error.strerror}") from None
