"""Write files that are complete or absent under their own name, also after a crash or a power cut."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from bot.system.kill_points import kill_point


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
