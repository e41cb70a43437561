"""
Commands of the bot as child processes: what hangs, leaks or crashes in one of them cannot take the daemon along.

A child leads a process group, so that ending it ends whatever it started, and dies with the daemon, so that a daemon
which is started again never meets the submission of the one before.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HOLDER = "NUMERAI_BOT_HOLDER"
"""Tells a child which process holds the state directory for it; see :func:`bot.system.lock.state_lock`."""

PROGRAM = (sys.executable, "-m", "bot")

SECRETS = ("NUMERAI_", "BOT_ALERT_URLS", "BOT_PING_URL")
"""Beginnings of variables that a child without the key does not get."""

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass(slots=True, kw_only=True)
class Child:
    """
    A command of the bot that is running or has ended.

    Attributes:
        command: Arguments after ``bot``.
        limit_s: Seconds after which it is overdue.
        with_key: Whether it may know the API key; neither training nor data need it.
        niceness: Added to its scheduling priority; above 0 it also is the first to go when memory runs out.
        environment: Variables to set beside the daemon's own.
    """

    command: Sequence[str]
    limit_s: float
    with_key: bool = False
    niceness: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0

    def start(self) -> None:
        """Start the command; what it logs goes where the daemon logs."""
        inherited = {name: value for name, value in os.environ.items() if self.with_key or not name.startswith(SECRETS)}
        self._started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [*PROGRAM, *self.command],
            env={**inherited, HOLDER: str(os.getpid()), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self.niceness:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, self.niceness)
            with suppress(OSError):  # not every container may
                Path(f"/proc/{self._process.pid}/oom_score_adj").write_text("500", encoding="ascii")

    def poll(self) -> int | None:
        """Return the exit status, or ``None`` while it is running; negative for the signal that ended it."""
        return None if self._process is None else self._process.poll()

    @property
    def seconds(self) -> float:
        """Return the seconds since it was started."""
        return time.monotonic() - self._started

    @property
    def is_overdue(self) -> bool:
        """Say whether it runs and should have ended."""
        return self._process is not None and self.poll() is None and self.seconds > self.limit_s

    def stop(self, *, grace_s: float) -> None:
        """Ask it to end, and end it with everything it started once *grace_s* seconds are over."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=grace_s)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def holder() -> int | None:
    """Return the process that started this one as a child and holds the state directory for it, if there is one."""
    named = os.environ.get(HOLDER, "")
    return int(named) if named.isdigit() and int(named) == os.getppid() else None


def follow_holder() -> None:
    """In a child: have the kernel kill this process when the daemon dies, however it dies; elsewhere nothing."""
    if HOLDER not in os.environ:
        return
    import ctypes  # noqa: PLC0415 - the command line is to start quickly

    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if holder() is None:
        sys.exit(75)  # it died before it could be followed
