"""Commands of the bot as child processes: one that hangs, leaks memory or crashes does not harm the daemon."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bot.system.child_environment import ISOLATED, child_environment

PARENT_VARIABLE = "NUMERAI_BOT_HOLDER"
"""Variable with the id of the process that holds the state directory for a child; see :func:`bot.system.lock.state_lock`."""

PROGRAM = (*ISOLATED, "-m", "bot")

STOPPING_S = 0.05
"""Seconds between two checks whether a command that was asked to stop has ended."""

KILLED_S = 5.0
"""Longest wait in seconds for a killed process to end."""

_PR_SET_PDEATHSIG = 1  # of prctl(2): the signal that the kernel sends when the parent dies


@dataclass(slots=True, kw_only=True)
class ChildProcess:
    """
    A command of the bot that is running or has ended.

    Attributes:
        command: Arguments after ``bot``.
        limit_s: Seconds after which the command is overdue.
        with_key: Whether the command gets the API key; neither training nor data need it.
        with_storage: Whether the command gets the URL and the variables of the storage of packs.
        niceness: Increment of the scheduling priority. Above 0, the kernel also kills this process first when memory runs out.
        environment: Variables to set in addition to those of :func:`bot.system.child_environment.child_environment`.
    """

    command: Sequence[str]
    limit_s: float
    with_key: bool = False
    with_storage: bool = False
    niceness: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _reaping: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """
        Start the command; it logs to the daemon's standard error.

        Raises:
            OSError: The system has no process, memory or file descriptor left. Nothing runs then.
            ValueError: A variable of the environment holds a NUL.
        """
        self._started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - the bot's own program
            [*PROGRAM, *self.command],
            env={
                **child_environment(with_key=self.with_key, with_storage=self.with_storage),
                PARENT_VARIABLE: str(os.getpid()),
                **self.environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # The child leads a process group, so that its end can end everything that it started.
            start_new_session=True,
        )
        if self.niceness:
            with suppress(OSError):  # some containers permit neither; the command runs all the same
                os.setpriority(os.PRIO_PROCESS, self._process.pid, self.niceness)
                Path(f"/proc/{self._process.pid}/oom_score_adj").write_text("500", encoding="ascii")

    def poll(self) -> int | None:
        """
        Return the exit status, or ``None`` while it is running; negative for the signal that ended it.

        Everything that an ended command left running is killed here, for the last time: the kernel gives its id to other
        processes once its status has been read.
        """
        process = self._process
        if process is None or process.returncode is not None:
            return None if process is None else process.returncode
        with self._reaping:
            if process.returncode is None and _has_ended(process):
                self._end_group(process)
        return process.returncode

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    @property
    def is_overdue(self) -> bool:
        """Return whether it is still running after ``limit_s`` seconds."""
        return self._process is not None and self.poll() is None and self.seconds > self.limit_s

    def stop(self, *, grace_s: float) -> None:
        """Send SIGTERM, wait up to *grace_s* seconds, then kill the process and everything that it started."""
        process = self._process
        if process is None:
            return
        with self._reaping:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGTERM)
        end, pause = time.monotonic() + grace_s, threading.Event()
        while self.poll() is None and time.monotonic() < end:
            pause.wait(STOPPING_S)  # `time.sleep` raises EINVAL under libfaketime 0.9.10, and the child would run on
        with self._reaping:
            if process.returncode is None:
                self._end_group(process)

    @staticmethod
    def _end_group(process: subprocess.Popen[bytes]) -> None:
        """Kill the group of a process whose status has not been read, so that the id is still its own; then read it."""
        with suppress(OSError):  # members of the group may have another user, or be gone
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # a process that waits for a dead disk does not end
            process.wait(timeout=KILLED_S)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a child has ended, without reading its status: until that is read, no other process gets its id."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # SIGCHLD was ignored when the daemon started, so the kernel keeps no status
        process.wait()
        return False


def parent_process() -> int | None:
    """Return the id of the process that started this one as a child and holds the state directory, or ``None``."""
    value = os.environ.get(PARENT_VARIABLE, "")
    return int(value) if value.isdigit() and int(value) == os.getppid() else None


def end_with_parent() -> None:
    """
    Have the kernel kill this process when the daemon that started it dies; do nothing in any other process.

    A restarted daemon must not meet a submission that its predecessor began.
    """
    if PARENT_VARIABLE not in os.environ:
        return
    import ctypes  # noqa: PLC0415 - loaded in children only, so that the command line starts quickly

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent_process() is None:
        sys.exit(75)  # the daemon died before prctl took effect
