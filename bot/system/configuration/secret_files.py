"""Read secrets from files, also from those that a container mounts."""

import os
from pathlib import Path

from bot.errors import BadConfig
from bot.system.configuration.setting_sources import (
    SECRETS,
    STATE_DIR,
    STORAGE,
    others_write,
    read_settings,
    read_text,
    variables,
)
from bot.system.redaction import credentials_of

SECRET_FOLDER = Path("/run/secrets")

OWN_FOLDER = Path("secrets")
"""Folder beside ``bot.toml`` whose files are read as those of :data:`SECRET_FOLDER`; `bot init` writes the key there."""

STORAGE_KEYS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING")
"""Variables of secrets that the libraries of storages read by themselves."""


def secret_path(name: str) -> Path | None:
    """
    Return the file that the secret *name* is read from; ``None`` where no file holds it.

    ``<NAME>_FILE`` comes first. A plain variable takes precedence over a file of that name in the secret folder, and this
    over one in ``secrets`` beside ``bot.toml``.
    """
    outside = variables()
    if named := outside.get(f"{name}_FILE"):
        return Path(named)
    if name in outside:
        return None
    return next((folder / name for folder in (SECRET_FOLDER, OWN_FOLDER) if os.path.lexists(folder / name)), None)


def secret_from_file(name: str) -> str | None:
    """
    Return the secret *name* of :func:`secret_path`; ``None`` where no file holds it.

    Raises:
        BadConfig: A file that is there cannot be read, or others may change one of ``secrets``.
    """
    path = secret_path(name)
    if path is None:
        return None
    named = f"{name}_FILE" in variables()
    state_dir = Path(str(read_settings().get("state_dir", STATE_DIR)))
    if not named and path.parent == OWN_FOLDER and others_write(path, state_dir):
        # The trainer, which never holds the key, writes the state directory: such a file could be another account's key.
        raise BadConfig(
            f"{path.absolute()} can be written by others than the operator, so it is not taken; keep it outside the state"
            " directory, writable by you alone"
        )
    return read_secret(path, f"{name}_FILE" if named else str(path))


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
