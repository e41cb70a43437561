"""Read secrets from files, also from those that a container mounts."""

import os
from pathlib import Path

from bot.errors import BadConfig
from bot.system.redaction import credentials_of
from bot.system.setting_sources import SECRETS, STORAGE, read_text, variables

SECRET_FOLDER = Path("/run/secrets")

STORAGE_KEYS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING")
"""Variables of secrets that the libraries of storages read by themselves."""


def secret_from_file(name: str) -> str | None:
    """
    Return the secret *name* from ``<NAME>_FILE`` or the secret folder; a plain variable takes precedence over the folder.

    Raises:
        BadConfig: A file that is there cannot be read.
    """
    outside = variables()
    if path := outside.get(f"{name}_FILE"):
        return read_secret(Path(path), f"{name}_FILE")
    mounted = SECRET_FOLDER / name
    if name not in outside and os.path.lexists(mounted):
        return read_secret(mounted, str(mounted))
    return None


def read_secret(path: Path, name: str) -> str:
    """
    Return the content of a file without leading and trailing whitespace.

    Raises:
        BadConfig: The file cannot be read or is empty; the message contains *name*, the setting with its path.
    """
    secret = read_text(path, name).strip()
    if not secret:
        raise BadConfig(f"{name} names an empty file: {path}")
    return secret


def is_key(text: str) -> bool:
    """Return whether an HTTP header can carry *text* as a half of a key: one line of visible ASCII characters."""
    return text.isascii() and text.isprintable() and " " not in text


def read_key(path: Path, name: str) -> str:
    """
    Return the half of a key that a file holds.

    Raises:
        BadConfig: As :func:`read_secret`, or the file holds something else.
    """
    key = read_secret(path, name)
    if not is_key(key):
        raise BadConfig(f"{name} names a file that holds more than one line of letters and digits: {path}")
    return key


def secrets_of_environment() -> tuple[str, ...]:
    """Return the secrets that stand in variables of this process; they are known before the settings are read."""
    names = {name.lower() for name in SECRETS} - {STORAGE.lower()}
    plain = [part for name, value in os.environ.items() if name.lower() in names for part in value.split()]
    storage = [value for name, value in os.environ.items() if name.upper() == STORAGE]
    # Keys that the storage's own library reads; one of its messages may repeat them.
    keys = [value for name, value in os.environ.items() if name.upper() in STORAGE_KEYS]
    return (*plain, *keys, *(part for url in storage for part in credentials_of(url)))
