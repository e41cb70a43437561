"""
Pack the files of a program's folder into one file, and unpack them for a run.

An artifact keeps this file, so a later change in the folder has no effect until the program is adopted again.
"""

import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bot.errors import BadConfig
from bot.system.files import sha256_of

LEFT_OUT = frozenset({"__pycache__", "tmp", "live.parquet", "live_benchmark_models.parquet"})
"""Names that are not packed; nor are ``predictions.*``, and names that begin with a dot, such as ``.env`` and ``.venv``."""

MAX_FILES = 1000
MAX_BYTES = 1 << 30
"""Largest folder: it is copied for every run."""


def pack(folder: Path, target: Path) -> dict[str, str]:
    """
    Pack the files of *folder* into *target*; equal files give equal bytes.

    Returns:
        The sha256 of each file by its path below the folder.

    Raises:
        BadConfig: See :func:`digests_of`.
    """
    digests = digests_of(folder)
    with tarfile.open(target, "w") as archive:
        for name in digests:
            path = folder / name
            about = tarfile.TarInfo(name)
            about.size = path.stat().st_size
            about.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            with path.open("rb") as file:
                archive.addfile(about, file)
    return digests


def digests_of(folder: Path) -> dict[str, str]:
    """
    Return the sha256 of each file of a program by its path below *folder*.

    Raises:
        BadConfig: The folder is absent, empty or too large, or holds something that is no file.
    """
    if not folder.is_dir():
        raise BadConfig(f"folder {folder} of the program does not exist; make it, or change `folder` in the recipe")
    found = sorted(_files(folder, folder))
    size = sum(path.stat().st_size for path in found)
    if not found:
        raise BadConfig(f"folder {folder} of the program holds no file; put the program there")
    if len(found) > MAX_FILES or size > MAX_BYTES:
        raise BadConfig(
            f"folder {folder} of the program holds {len(found):,} files of {size >> 20:,} MiB"
            f" (at most {MAX_FILES:,} files of {MAX_BYTES >> 20:,} MiB); keep there only what it needs to predict"
        )
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in found}


def unpack(packed: Path, folder: Path) -> None:
    """Write the files of :func:`pack` into *folder*."""
    with tarfile.open(packed, "r:") as archive:
        # Python before 3.11.4 has no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        archive.extractall(folder)  # noqa: S202 - the filter keeps it inside, and the artifact's digest is verified


def _files(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the files below *folder*; the content of a linked file counts as its own."""
    for path in folder.iterdir():
        if path.name.startswith((".", "predictions.")) or path.name in LEFT_OUT:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path, root)
        elif path.is_file():
            yield path
        else:
            raise BadConfig(
                f"{path} is neither a file nor a folder; replace it by its content, or move it out of {root}"
            )
