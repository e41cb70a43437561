"""
Run a program under limits, then end everything that it started: a script, started by :mod:`bot.members.program.bounded_run`.

It is a process of its own, so that everything ends even when the bot is killed: orphans of the program become its
children, and the kernel signals it when the bot dies. It imports only the standard library, so it starts in 30 ms.

Arguments: the limits as JSON (:class:`bot.members.program.bounded_run.Limits` and the paths), then the program.
Standard output: one line of JSON, the report.
"""

import ctypes
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

TICK_S = 0.05
MEASURE_S = 0.2
"""Seconds between two measurements of memory, processes and disk."""

END_S = 5.0
"""Longest wait for killed processes: one that waits for a dead disk does not end."""

OUTPUT_BYTES = 16 << 20
"""Most output of a program."""

TAIL_BYTES = 8192
"""End of the output that is kept."""

FILES = 10_000
"""Most files in the program's folder, so that it cannot use up the disk's inodes."""

THREADS = 4096
"""Most threads of all processes, where the kernel counts those of the program apart."""

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_RELATIME = 1, 32, 4096, 16384, 1 << 21
_ST_RELATIME, _ST_KEPT = 4096, 2 | 4 | 8 | 1024 | 2048
"""Flags of a mount that a remount in a user namespace may not clear: nosuid, nodev, noexec, noatime, nodiratime."""

_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_PAGE = os.sysconf("SC_PAGE_SIZE")
_libc = ctypes.CDLL(None, use_errno=True)


class Output:
    """The end of a program's output, and its length."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.total = 0
        self.tail = b""
        self.open = True

    def read(self) -> None:
        """Read what is there, at most 1 MiB, so that a program that prints without end holds up no check of the limits."""
        for _ in range(16):
            try:
                part = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return
            if not part:
                self.open = False
                return
            self.total += len(part)
            self.tail = (self.tail + part)[-TAIL_BYTES:]


class Program:
    """
    The running program.

    Attributes:
        child: Id of its process.
        output: Its output.
        prepared: Pipe to which :func:`_become` writes.
        status: Exit status, negative for a signal; ``None`` while it runs.
        peak: Most memory that was measured, in bytes.
        before: Bytes and number of the files in its folder when it began.
    """

    def __init__(self, limits: dict[str, Any], program: list[str]) -> None:
        self.before = _disk(limits["folder"])
        reading, writing = os.pipe()
        self.prepared, preparing = os.pipe()
        parent = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            try:
                os.dup2(writing, 1)
                os.dup2(writing, 2)
                _become(limits, program, preparing, parent)
            finally:
                os._exit(127)
        os.close(writing)
        os.close(preparing)
        self.output = Output(reading)
        self.status: int | None = None
        self.peak = 0
        with suppress(OSError):  # some containers do not permit it
            # When memory runs out, the kernel ends the program before anything else.
            _write(f"/proc/{self.child}/oom_score_adj", "1000")

    def reap(self) -> None:
        """Read the status of everything that has ended."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self.child:
                    self.status = os.waitstatus_to_exitcode(found[1])

    def words(self) -> dict[str, str]:
        """Return what its process wrote before it became the program, by the first word."""
        os.set_blocking(self.prepared, False)
        try:
            lines = os.read(self.prepared, 4096).decode("utf-8", "replace").splitlines()
        except BlockingIOError:
            lines = []
        return dict(line.split(" ", 1) for line in lines if " " in line)


def supervise(limits: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """Run *command* and return the report: ``ended``, ``status``, ``output``, ``peak``, ``seconds``, ``open_network``."""
    wake, waker = os.pipe()
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != limits["parent"]:  # the bot died before prctl took effect
        stopping.append(signal.SIGTERM)
    began = time.monotonic()
    program = Program(limits, command)
    ended = _wait(program, limits, stopping, wake)
    _end_all()
    program.output.read()
    words = program.words()
    if stopping:  # nobody is left to remove it
        shutil.rmtree(limits["folder"], ignore_errors=True)
    return {
        "ended": "start" if "start" in words else ended,
        "status": program.status,
        "why": words.get("start", ""),
        "open_network": words.get("network", ""),
        "output": program.output.tail.decode("utf-8", "replace"),
        "peak": max(program.peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024),
        "seconds": time.monotonic() - began,
    }


def _wait(program: Program, limits: dict[str, Any], stopping: list[int], wake: int) -> str:
    """Wait for the end of the program; return ``exit``, or which limit it has exceeded."""
    began = measured = time.monotonic()
    output = program.output
    while True:
        readable, _, _ = select.select([wake, *([output.descriptor] if output.open else [])], [], [], TICK_S)
        if wake in readable:
            os.read(wake, 4096)
        output.read()
        program.reap()
        if stopping:
            return "stop"
        if output.total > OUTPUT_BYTES:
            return "output"
        if program.status is not None:
            return "exit"
        now = time.monotonic()
        if now - began > limits["time_s"]:
            return "time"
        if now - measured > MEASURE_S:
            measured = now
            if (over := _exceeded(program, limits)) is not None:
                return over


def _become(limits: dict[str, Any], program: list[str], preparing: int, parent: int) -> None:
    """Turn this process into the program, without network and with limits; write to *preparing* what did not succeed."""
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):  # Python ignores the last one
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.setsid()
    refused = _separate(limits["protected"], limits["folder"], network=limits.get("network", False))
    if refused:
        os.write(preparing, f"network {refused}\n".encode())
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # after the namespaces, whose new credentials clear it
    if os.getppid() != parent:
        return
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for kind, most in (
        # Of the address space, LightGBM and torch reserve several times what they use (RLIMIT_AS); this counts what is writable.
        (resource.RLIMIT_DATA, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_CORE, 0),
        # Without a namespace, the kernel counts every process of the user, and the bot itself could start none.
        *(() if refused else ((resource.RLIMIT_NPROC, THREADS),)),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
    os.chdir(limits["folder"])
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(preparing, f"start {error.strerror}\n".encode())


def _separate(protected: str, folder: str, *, network: bool) -> str:
    """
    Put this process into namespaces of its own: *protected* is read-only except for *folder*.

    It has no network unless *network*. In another user namespace, it can also read no environment and no memory of the bot, although both have one user.

    Returns:
        Why the kernel refuses it; empty where it does not.
    """
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | (0 if network else _CLONE_NEWNET)) != 0:
        return os.strerror(ctypes.get_errno())
    try:
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            _write(f"/proc/self/{name}", content)
    except OSError as error:
        return f"{error.strerror}"
    with suppress(OSError), socket.socket() as any_socket:  # libraries talk to themselves through 127.0.0.1
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
    outer, inner = os.fsencode(protected), os.fsencode(folder)
    flags = os.statvfs(outer).f_flag
    kept = flags & _ST_KEPT | (_MS_RELATIME if flags & _ST_RELATIME else 0)
    if _libc.mount(outer, outer, None, _MS_BIND | _MS_REC, None) == 0:
        _libc.mount(inner, inner, None, _MS_BIND, None)
        _libc.mount(None, outer, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept, None)
    for capability in range(64):  # else root could undo all this
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    return ""


def _descendants() -> Iterator[int]:
    """Yield the ids of all processes below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib loads slowly
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                stat = _read(f"/proc/{name}/stat").rpartition(")")[2].split()
                children.setdefault(int(stat[1]), []).append(int(name))
    found = [os.getpid()]
    for one in found:
        below = children.get(one, [])
        yield from below
        found += below


def _exceeded(program: Program, limits: dict[str, Any]) -> str | None:
    """Return which limit of memory, processes or disk is exceeded."""
    used = _memory(limits["memory"])
    program.peak = max(program.peak, used)
    if used > limits["memory"]:
        return "memory"
    if sum(1 for _ in _descendants()) > limits["processes"]:
        return "processes"
    disk = _disk(limits["folder"])
    written, files = disk[0] - program.before[0], disk[1] - program.before[1]
    return "disk" if written > limits["disk"] or files > FILES else None


def _disk(folder: str) -> tuple[int, int]:
    """Return the bytes on disk and the number of the files below *folder*."""
    used = files = 0
    for path, _, names in os.walk(folder):
        for name in names:
            files += 1
            with suppress(OSError):
                used += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118 - pathlib loads slowly
    return used, files


def _memory(limit: int) -> int:
    """Return the memory of all processes in bytes; shared pages count once where the sum is over *limit*."""
    processes = list(_descendants())
    resident = sum(map(_resident, processes))
    return resident if resident <= limit else sum(map(_share, processes))


def _resident(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    with suppress(OSError, IndexError):
        return int(_read(f"/proc/{process}/statm").split()[1]) * _PAGE
    return 0


def _share(process: int) -> int:
    """Return the resident memory of a process, its share of common pages only: forked workers have the same pages."""
    with suppress(OSError):
        for line in _read(f"/proc/{process}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(process)


def _end_all() -> None:
    """Kill every process below this one; orphans come to this process, so none escapes."""
    end = time.monotonic() + END_S
    while time.monotonic() < end:
        for one in _descendants():
            with suppress(OSError):
                os.kill(one, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib loads slowly
        return file.read()


def _write(path: str, content: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib loads slowly
        file.write(content)


if __name__ == "__main__":
    print(json.dumps(supervise(json.loads(sys.argv[1]), sys.argv[2:])), flush=True)  # noqa: T201 - the report
