"""
Run a person's program under limits, in a folder of its own, and return how it ended.

It gets no secret, and bounded time, memory, disk, processes and output. Everything that it started ends with it. Where the
kernel allows it, it has no network unless its caller gives it one, and can read neither memory nor environment of the bot.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import structlog

from bot.members.program import _supervisor
from bot.system.child_environment import child_environment
from bot.system.redaction import redact

TEMPORARY = "tmp"
"""Name of the folder for temporary files."""

PREFIX = "command-"
"""Prefix of the folder of a run."""

ENDING_S = 20.0
"""Longest wait for the supervisor after the limit of time: it kills, and it reads the last output."""

LEFT_AFTER_S = 86_400.0
"""Age in seconds at which the folder of another run is removed: a power cut left it."""

LINES, LINE_LENGTH = 20, 300
"""Most lines of the program's output that are kept, and their length in characters."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Limits of one run.

    Attributes:
        time_s: Seconds by the clock.
        memory_mib: Memory of all processes together.
        disk_mib: What it writes into the folder, and one file anywhere; never over half of what is free.
        processes: Processes at once.
    """

    time_s: float = 300.0
    memory_mib: int = 4096
    disk_mib: int = 1024
    processes: int = 256


@contextmanager
def run_folder(state_dir: Path) -> Iterator[Path]:
    """Yield a fresh folder on the disk of the state directory, and remove it in the end."""
    for left in state_dir.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_AFTER_S:
                _remove(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=state_dir)).resolve()  # of mode 700
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder whose content may have any mode."""
    with suppress(OSError):
        for path, _, _ in os.walk(folder):  # a folder without permissions is listed after its parent has changed it
            for inner in os.scandir(path):
                if inner.is_dir(follow_symlinks=False):
                    Path(inner.path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def supervised(
    command: Sequence[str],
    folder: Path,
    state_dir: Path,
    limits: Limits,
    *,
    network: bool = False,
    given: bytes | None = None,
) -> Mapping[str, Any]:
    """
    Run a program below its supervisor, and return the supervisor's report; empty where it gave none.

    Args:
        command: Program and arguments.
        folder: Its working folder, the only part of *state_dir* that it can write.
        state_dir: State directory.
        limits: Limits of the run.
        network: Whether it may use the network.
        given: Content of its standard input; ``None`` for nothing.
    """
    free = shutil.disk_usage(folder).free
    about = {
        "time_s": limits.time_s,
        "memory": limits.memory_mib << 20,
        "disk": min(limits.disk_mib << 20, free // 2),  # the ledger is on the same disk
        "processes": limits.processes,
        "folder": str(folder),
        "protected": str(state_dir.resolve()),
        "parent": os.getpid(),
        "network": network,
    }
    supervisor = subprocess.Popen(  # noqa: S603 - the program of the person whose bot it is
        [sys.executable, "-I", "-S", _supervisor.__file__, json.dumps(about), *command],
        env=command_environment(folder),
        stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        content, _ = supervisor.communicate(given, timeout=limits.time_s + ENDING_S)
    except subprocess.TimeoutExpired:
        content = b""
    finally:  # also where this process is interrupted
        if supervisor.poll() is None:
            supervisor.terminate()
            with suppress(subprocess.TimeoutExpired):
                supervisor.communicate(timeout=ENDING_S)
            supervisor.kill()
            supervisor.communicate()
    try:
        report = dict(json.loads(content))
    except ValueError:
        return {}
    if (refused := report.get("open_network")) and not network:
        _warn_network(str(refused))
    return report


def command_environment(folder: Path) -> dict[str, str]:
    """
    Return the variables of a program: those of the system, and of its threads and devices.

    Neither settings of the bot nor proxies, which may hold passwords, are among them, nor the bot's import path, which is no
    matter of another interpreter. ``python`` is the bot's own interpreter unless the program is named by its path.
    """
    kept = {
        name: value
        for name, value in child_environment().items()
        if not name.upper().startswith(("BOT_", "PYTHON", "MLFLOW_", "TENSORBOARD_"))
        and not name.upper().endswith("_PROXY")
        and redact(value) == value
    }
    scratch = str(folder / TEMPORARY)
    path = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), kept.get("PATH", os.defpath))))
    return {
        **kept,
        "PATH": path,
        "TMPDIR": scratch,
        "TEMP": scratch,
        "TMP": scratch,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def last_lines(output: str) -> tuple[str, ...]:
    """Return the last lines of an output, bounded, printable and without secrets."""
    lines = [line for line in redact(output).splitlines() if line.strip()][-LINES:]
    printable = ("".join(one if one.isprintable() else " " for one in line).strip() for line in lines)
    return tuple(line[:LINE_LENGTH] for line in printable)


@cache
def _warn_network(reason: str) -> None:
    """Log once that programs can use the network."""
    log.warning("command.network_open", reason=f"the kernel does not separate programs from the network: {reason}")
