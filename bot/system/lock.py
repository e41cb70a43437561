"""The lock of the state directory: one process submits and one process trains at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from bot.errors import StateLocked
from bot.system import child_process
from bot.system.files import state_error
from bot.system.kill_points import kill_point


@contextmanager
def state_lock(state_dir: Path, name: str = "bot") -> Iterator[None]:
    """
    Lock the state directory for this process; the kernel releases the lock however the process ends.

    While a process holds the lock, one of its children at a time may lock the directory too. A child locks what its parent
    does not hold as every other process does: a person's sync and that of a running bot exclude each other.

    Args:
        state_dir: Directory to lock.
        name: ``bot`` for submitting, ``dry-run`` for a dry run, ``retrain`` for training, or another kind of work.

    Raises:
        StateLocked: Another process holds the lock; the message contains its process id.
        StateUnwritable: The disk is full or failing.
        StateForbidden: The directory is another user's, or read-only.
    """
    try:
        with kill_point("lock.folder"):
            state_dir.mkdir(parents=True, exist_ok=True)
        lock, holder = _acquired(state_dir, name)
    except OSError as error:
        raise state_error(state_dir, error) from None
    try:
        yield
    finally:
        with suppress(OSError), kill_point("lock.release"):  # the lock is what counts
            holder.unlink(missing_ok=True)
        lock.release()


def _acquired(state_dir: Path, name: str) -> tuple[BaseFileLock, Path]:
    """Return the lock, held by this process, and the file that names the process."""
    lock, holder = FileLock(state_dir / f"{name}.lock"), state_dir / f"{name}.holder"
    try:
        with kill_point("lock.acquire"):
            lock.acquire(timeout=0)
    except Timeout:
        if _is_held_by_parent(holder):
            return _acquired(state_dir, f"{name}.child")
        pid = holder.read_text(encoding="utf-8") if holder.is_file() else "unknown"
        raise StateLocked(f"{state_dir} is held by process {pid}; stop it, or wait until it is done") from None
    try:
        with kill_point("lock.holder"):
            holder.write_text(str(os.getpid()), encoding="utf-8")
    except OSError:
        lock.release()
        raise
    return lock, holder


def _is_held_by_parent(holder: Path) -> bool:
    """Return whether the process that started this one as a child is the holder of a lock that is held."""
    parent = child_process.parent_process()
    try:
        return parent is not None and holder.read_text(encoding="utf-8") == str(parent)
    except (OSError, ValueError):
        return False
