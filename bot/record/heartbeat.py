"""
Whether the daemon lives: a heartbeat that only the loop itself gives, and what another process may conclude from it.

The age of a beat is measured by the monotonic clock, which all processes since the same boot share, so that a step of the
wall clock neither hides a stuck loop nor reports a healthy one.
"""

import json
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.system.files import publish

DAEMON, TRAINER = "pulse", "pulse-trainer"
"""Names of the two heartbeats there may be in a state directory."""

STUCK_S = 90.0
"""Seconds without a beat after which the loop counts as stuck; no single step may take as long."""

HOPELESS_S = 150.0
"""Seconds without a beat after which the process ends itself, so that whoever started it starts it again."""


@dataclass(slots=True, kw_only=True)
class Heartbeat:
    """
    The daemon's own word on how it is.

    Attributes:
        folder: The state directory.
        name: Of the heartbeat's file, without its ending.
    """

    folder: Path
    name: str = DAEMON
    _problems: dict[str, str] = field(default_factory=dict)
    _beat: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, **about: object) -> None:
        """
        Record that the loop has come round, with what is worth knowing of it, such as the open round.

        Raises:
            OSError: The state directory cannot be written; the beat before goes stale, as it should.
        """
        with self._lock:
            now = time.monotonic()
            record = {
                "pid": os.getpid(),
                "boot": boot(),
                "beat": now,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "troubles": dict(self._problems),
                **about,
            }
            publish(self.folder / f"{self.name}.json", (json.dumps(record) + "\n").encode())
            self._beat = now

    def mark(self, name: str, reason: str | None) -> bool:
        """Note a trouble, or with ``None`` its end; say whether that is news."""
        with self._lock:
            before = self._problems.get(name)
            if reason is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = reason
            return (before is None) != (reason is None)

    @property
    def age_s(self) -> float:
        """Return the seconds since the last beat."""
        return time.monotonic() - self._beat

    @property
    def problems(self) -> dict[str, str]:
        """Return what is wrong now, by name."""
        with self._lock:
            return dict(self._problems)


def boot() -> str:
    """Return the kernel's name for the time since it was started; monotonic times of other boots mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def problems(folder: Path, name: str = DAEMON) -> tuple[str, ...]:
    """
    Return everything that is wrong with the daemon of a state directory; nothing for a healthy one.

    It is told by the beat alone, without asking the process: what has stopped cannot answer.
    """
    path = folder / f"{name}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        pid, booted, beat = int(record["pid"]), str(record["boot"]), float(record["beat"])
        troubles = {str(name): str(reason) for name, reason in record["troubles"].items()}
    except FileNotFoundError:
        return (f"no daemon has run in {folder}; start it with `bot run`",)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (f"{path} cannot be read",)
    if booted != boot() or not Path(f"/proc/{pid}").exists():
        return (f"process {pid} is gone; start `bot run` again",)
    age_s = time.monotonic() - beat
    stuck = (f"the loop has not come round for {age_s:.0f} s",) if age_s > STUCK_S else ()
    return (*stuck, *(f"{name}: {reason}" for name, reason in sorted(troubles.items())))
