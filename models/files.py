"""
Write files that are complete or absent under their own name, also after a crash or a power cut.

:mod:`bot.system.files` does the same with kill points for tests of a submission; ``models`` imports nothing of ``bot``.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def publish(path: Path, content: bytes | Callable[[BinaryIO], object], *, staging: Path | None = None) -> None:
    """
    Write a file in one atomic step; an older file of that name stays until the new content is on disk.

    Args:
        path: Missing folders are made.
        content: The whole content, or a function that writes it to the open file, for content too large to copy.
        staging: Name under which the content is written first; ``None`` derives it from *path*.

    Raises:
        OSError: The disk is full or failing; *path* is as it was.
    """
    staging = staging or path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with staging.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        staging.unlink(missing_ok=True)  # a full disk needs the space
        raise
    rename(staging, path)


def rename(path: Path, target: Path) -> None:
    """
    Rename a file that is on disk within its folder, in one atomic step that survives a power cut.

    Raises:
        OSError: The disk is failing; the content is complete, under either name.
    """
    path.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
