"""`bot doctor --fix`: repairs that lose nothing and need no decision."""

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bot.doctor._local import holder_of
from bot.doctor._setup import is_open_to_others, key_files
from bot.doctor.checks import Check, fixed, named, warning
from bot.errors import BadConfig
from bot.settings import Settings, load_settings
from bot.system.files import state_error

OLD_S = 86400.0
"""Age in seconds from which a temporary file is left over: nothing of the bot writes one file for a day."""

LEFT_OVER = ("**/.*.tmp", "unpack-*", "artifacts/.2*")
"""Temporary files and folders of the state directory: half-written files, unpacked packs, half-written artifacts."""


def repair() -> Iterator[Check]:
    """
    Make what may be made safely and yield what was done; nothing where the settings cannot be read.

    It withdraws the permissions of others on files of keys, makes the state directory, and removes temporary files older
    than a day while no process of the bot holds the state directory.
    """
    try:
        settings = load_settings()
    except BadConfig:  # the examination reports it
        return
    for name, path in _secret_files(settings):
        yield from _changed(name, path, partial(path.chmod, 0o600), f"{path} can be read by you alone now")
    state = settings.state_dir
    if not state.exists():
        yield from _changed("state", state, partial(state.mkdir, parents=True), f"{state} is made")
    yield from _left_over(state)


def _secret_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield files of keys that others may read, each with the name of its check."""
    for account in settings.accounts_in_use:
        yield from ((named("key file", account), path) for path in key_files(account) if is_open_to_others(path))
    signing = settings.signing_key_path
    # A group may read it, as in secrets that Kubernetes mounts.
    if signing.is_file() and is_open_to_others(signing) and signing.stat().st_mode & 0o027:
        yield "signing key", signing


def _left_over(state: Path) -> Iterator[Check]:
    """Remove what killed processes left; nothing while one of the bot is at work."""
    if not state.is_dir() or any(holder_of(lock) for lock in state.glob("*.lock")):
        return
    for pattern in LEFT_OVER:
        for path in sorted(state.glob(pattern)):
            if path.is_symlink() or time.time() - path.stat().st_mtime < OLD_S:
                continue
            remove = partial(shutil.rmtree, path) if path.is_dir() else path.unlink
            yield from _changed("left over", path, remove, f"{path} is removed")


def _changed(name: str, path: Path, change: Callable[[], object], done: str) -> Iterator[Check]:
    """Carry out a change and yield what was done, or why it could not be."""
    try:
        change()
    except OSError as error:
        yield warning(name, str(state_error(path, error)), "do it as the owner of the file")
    else:
        yield fixed(name, done)
