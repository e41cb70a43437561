"""Files that appear under their own name whole or not at all, and survive a power cut once they have."""

import hashlib
import os
from pathlib import Path

from bot.system.kill_points import kill_point


def publish(path: Path, content: bytes) -> None:
    """
    Write a small file in one atomic step; what lay there before stays until the new content is safe.

    Args:
        path: Its folder is made where absent.
        content: All of it.

    Raises:
        OSError: The disk is full or failing; *path* is as it was.
    """
    staging = path.with_name(f".{path.name}.tmp")
    with kill_point("file.folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with kill_point("file.write"):
        try:
            with staging.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            staging.unlink(missing_ok=True)  # on a full disk, other files need these bytes
            raise
    rename(staging, path)


def rename(path: Path, target: Path) -> None:
    """
    Give a file that is safe another name in its folder, in one atomic step that survives a power cut.

    Raises:
        OSError: The disk is failing; the content is whole, under either name.
    """
    with kill_point("file.rename"):
        path.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with kill_point("folder.sync"):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as hex."""
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
        raise ValueError("it differs from its own digest")
    return content
