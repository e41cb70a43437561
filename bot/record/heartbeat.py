"""
Heartbeat of the daemon: written by its loop, read by other processes to find problems of the daemon.

The age of a beat is measured by the monotonic clock, which all processes of one boot share. So a step of the wall clock
neither hides a stuck loop nor reports a healthy one as stuck.
"""

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.system.files import publish
from bot.system.moments import local
from bot.system.redaction import redact

DAEMON, TRAINER = "pulse", "pulse-trainer"
"""Names of the two heartbeats in a state directory."""

STUCK_S = 90.0
"""Seconds without a beat after which the loop counts as stuck; every step of the loop is shorter."""

HOPELESS_S = 150.0
"""Seconds without a beat after which the process exits, so that its supervisor restarts it."""


LEAST_BYTES = 16 << 20
"""Least room on the disk of a healthy daemon: a round's live file, its submission and the ledger's rows."""


@dataclass(slots=True, kw_only=True)
class Heartbeat:
    """
    Heartbeat and problems of this process.

    Attributes:
        folder: State directory.
        name: Name of the heartbeat's file without its suffix.
        mode: Mode of the process, by which an order finds its ledger; ``None`` where it does not matter.
    """

    folder: Path
    name: str = DAEMON
    mode: str | None = None
    _problems: dict[str, str] = field(default_factory=dict)
    _beat: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, **about: object) -> None:
        """
        Record a heartbeat of the loop.

        Args:
            about: Further values for the record, such as the open round.

        Raises:
            OSError: The state directory cannot be written; the file of the earlier heartbeat becomes stale, as it should.
        """
        now = self._beat = time.monotonic()
        record = {
            "pid": os.getpid(),
            "boot": boot(),
            "beat": now,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "troubles": self.problems,
            "mode": self.mode,
            **about,
        }
        # Without the lock: a disk that hangs must stop neither the watchdog nor the pages, which read the problems.
        publish(self.folder / f"{self.name}.json", (json.dumps(record) + "\n").encode())

    def end(self) -> None:
        """Record that this process was stopped, so that nobody takes it for one that died."""
        with suppress(OSError):  # then the process counts as gone
            self.beat(stopped=datetime.now(UTC).isoformat(timespec="seconds"))

    def mark(self, name: str, reason: str | None) -> bool:
        """Set the reason of a problem, or clear it with ``None``; return whether the problem started or ended."""
        with self._lock:
            before = self._problems.get(name)
            if reason is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = redact(reason)
            return (before is None) != (reason is None)

    @property
    def last_beat(self) -> float:
        """Return the monotonic time of the last beat, or of the start before the first one."""
        return self._beat

    @property
    def age_s(self) -> float:
        """Return the seconds since the last beat."""
        return time.monotonic() - self._beat

    @property
    def problems(self) -> dict[str, str]:
        """Return the reason of each problem by name."""
        with self._lock:
            return dict(self._problems)


def boot() -> str:
    """Return the kernel's id of this boot; monotonic times of different boots cannot be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_running(folder: Path, name: str = DAEMON, *, trains: bool = False, mode: str | None = None) -> bool:
    """
    Return whether the process that wrote the last heartbeat of a state directory still runs, and was not told to stop.

    Args:
        folder: State directory.
        name: Name of the heartbeat.
        trains: Ask for a process that runs the job that trains.
        mode: Ask for a process in this mode; one of an older bot does not name its own.
    """
    try:
        record: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        # A container gives the process that comes next the same id.
        runs = str(record["boot"]) == boot() and Path(f"/proc/{int(record['pid'])}").exists()
        fits = mode is None or record.get("mode") in (None, mode)
        return runs and fits and not record.get("stopped") and (not trains or bool(record.get("trains", True)))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def problems(folder: Path, name: str = DAEMON) -> tuple[str, ...]:
    """
    Return the problems of the daemon of a state directory; none for a healthy daemon.

    They are read from the heartbeat's file, since a stopped process cannot answer a request.
    """
    path = folder / f"{name}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        pid, booted, beat = int(record["pid"]), str(record["boot"]), float(record["beat"])
        reasons = {str(name): str(reason) for name, reason in record["troubles"].items()}
        stopped = record.get("stopped") and local(str(record["stopped"]))
    except FileNotFoundError:
        return (f"no daemon has run in {folder}; start it with `bot run`",)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (f"{path} cannot be read",)
    if stopped:
        return (f"it was stopped at {stopped}; start it with `bot run`",)
    if booted != boot() or not Path(f"/proc/{pid}").exists():
        return (f"process {pid} is gone; start `bot run` again",)
    age_s = time.monotonic() - beat
    stuck = (f"the loop has not come round for {age_s:.0f} s",) if age_s > STUCK_S else ()
    return (*stuck, *_disk_problems(folder), *(f"{name}: {reason}" for name, reason in sorted(reasons.items())))


def _disk_problems(folder: Path) -> tuple[str, ...]:
    """Return why the next round could not be written; a heartbeat is so small that it may fit on a full disk."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return (f"{folder} cannot be used: {error.strerror}",)
    if disk.f_flag & os.ST_RDONLY:
        return (f"{folder} is on a disk that is mounted read-only; no round can be recorded",)
    free = disk.f_bavail * disk.f_frsize
    if free < LEAST_BYTES:
        return (f"{folder} has {free / 1e6:.1f} MB of room, a round needs {LEAST_BYTES / 1e6:.0f}; make room",)
    return ()
