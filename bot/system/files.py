"""Write files that are complete or absent under their own name, also after a crash or a power cut."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from bot.errors import BotError, StateForbidden, StateUnwritable
from bot.system.kill_points import kill_point

_REMEDIES = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the disk quota is used up; make room or raise it",
    errno.EMFILE: "this process has too many open files; raise `ulimit -n`",
    errno.ENFILE: "the machine has too many open files; raise fs.file-max",
    errno.EIO: "the disk fails to read or write; check it",
}
"""Cause and remedy of the errors that may pass, by number."""


def publish(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """
    Write a file in one atomic step; an older file of that name stays until the new content is on disk.

    Args:
        path: Missing folders are made.
        content: The whole content, or a function that writes it to the open file, for content too large to copy.

    Raises:
        OSError: The disk is full or failing; *path* is as it was.
    """
    staging = path.with_name(f".{path.name}.tmp")
    with kill_point("file.folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with kill_point("file.write"):
        try:
            with staging.open("wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            staging.unlink(missing_ok=True)  # on a full disk, other files need these bytes
            raise
    rename(staging, path)


def rename(path: Path, target: Path) -> None:
    """
    Rename a file that is on disk within its folder, in one atomic step that survives a power cut.

    Raises:
        OSError: The disk is failing; the content is complete, under either name.
    """
    with kill_point("file.rename"):
        path.replace(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Make the content of a file, or the entries of a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with kill_point("file.sync"):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def state_error(path: Path, error: OSError) -> BotError:
    """
    Return the bot's error for a file or folder that the operating system refuses, with the cause and the way to fix it.

    Args:
        path: The file or folder in use; the error's own file name is more exact and comes first.
        error: The refusal.

    Returns:
        ``StateForbidden`` where a person has to change an owner, a mode, a mount or a file; ``StateUnwritable`` for the rest.
    """
    place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    if error.errno == errno.EROFS:
        return StateForbidden(f"{place} cannot be written: its file system is read-only; mount it writable")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StateForbidden(f"{place} cannot be used: {_owner(place)}")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return StateForbidden(f"{place} cannot be used: a file lies where a folder belongs; move it away")
    cause = _REMEDIES.get(error.errno or 0, "check the path and its disk")
    return StateUnwritable(f"{place} cannot be used now: {error.strerror or error}: {cause}")


def refusal(path: Path) -> OSError | None:
    """Return why this process cannot write *path*, or its folder, for libraries whose errors carry no number."""
    folder = next(one for one in path.absolute().parents if one.exists())
    for place in (path, folder):
        try:
            if place.exists() and not os.access(place, os.R_OK | os.W_OK):
                read_only = os.statvfs(place).f_flag & os.ST_RDONLY
                number = errno.EROFS if read_only else errno.EACCES
                return OSError(number, os.strerror(number), str(place))
        except OSError as error:
            return error
    return None


def _owner(place: Path) -> str:
    """Return who owns the first path upwards that can be looked at, and how to hand it to this process."""
    mine = os.geteuid()
    for one in (place.absolute(), *place.absolute().parents):
        try:
            found = one.stat()
        except OSError:
            continue
        what = (
            f"{one} belongs to uid {found.st_uid} with mode {found.st_mode & 0o7777:o}, and the bot runs as uid {mine}"
        )
        return f"{what}; run the bot as that user, or `chown -R {mine}` and `chmod -R u+rwX` it"
    return f"the bot runs as uid {mine} and may not look into it"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(content: bytes) -> bytes:
    """Return *content* followed by its sha256 digest of 32 bytes."""
    return content + hashlib.sha256(content).digest()


def unseal(sealed: bytes) -> bytes:
    """
    Return the content that :func:`seal` was given.

    The checks of an npz archive do not suffice: zipfile reads a flipped bit in the directory as encryption, compression
    or a size, and raises a different error for each.

    Raises:
        ValueError: A bit of the content or of the digest has changed.
    """
    size = hashlib.sha256().digest_size
    content, digest = sealed[:-size], sealed[-size:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("the content differs from its digest")
    return content
