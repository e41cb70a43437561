"""
Run a person's program on one era, and read its predictions.

The program runs in a fresh folder with ``live.parquet``, ``live_benchmark_models.parquet`` where there is one, and copies of
its own files. It writes ``predictions.parquet`` or ``predictions.csv``. It gets no secret, no network where the kernel allows
that, and bounded time, memory, disk, processes and output. Everything that it started ends with it.
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

import numpy as np
import numpy.typing as npt
import structlog

from bot.errors import CommandFailed
from bot.members.program import _supervisor
from bot.members.program.predictions_file import PredictionsRefused, read_predictions
from bot.members.program.program_files import unpack
from bot.system.child_environment import child_environment
from bot.system.files import state_error
from bot.system.kill_points import kill_point
from bot.system.redaction import redact

LIVE, BENCHMARK = "live.parquet", "live_benchmark_models.parquet"
"""Names of the era's files in the program's folder."""

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

Floats = npt.NDArray[np.float64]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """
    An era that a program predicts.

    Attributes:
        ids: Ids of its rows.
        live: File of its rows, as Numerai's live file.
        benchmark: File of the benchmark models' predictions; ``None`` where there is none.
    """

    ids: Sequence[str]
    live: Path
    benchmark: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRun:
    """
    A run that gave predictions.

    Attributes:
        predictions: Predictions in the order of the era's ids. Shape ``(rows,)``.
        seconds: Seconds by the clock.
        peak_mib: Peak memory.
        output: Last lines of the program's output.
    """

    predictions: Floats
    seconds: float
    peak_mib: int
    output: tuple[str, ...]


def run_command(
    command: Sequence[str], files: Path, era: Era, *, name: str, state_dir: Path, limits: Limits | None = None
) -> CommandRun:
    """
    Run a program on one era and return its predictions.

    Args:
        command: Program and arguments. A path in it is relative to the program's folder.
        files: The program's own files, packed by :func:`bot.members.program.program_files.pack`.
        era: The era.
        name: Name of the member, for messages.
        state_dir: State directory, on whose disk the run gets its folder.
        limits: Limits of the run.

    Raises:
        CommandFailed: The program does not start, fails, exceeds a limit, or writes predictions that cannot be used; or the
            disk has no room for its folder.
    """
    about, limits = f"member {name}: `{' '.join(command)}`", limits or Limits()
    output: tuple[str, ...] = ()
    try:
        with kill_point("command.run"), _folder(state_dir) as folder:
            _fill(folder, files, era)
            report = _supervised(command, folder, state_dir, limits)
            output = _lines(str(report.get("output", "")))
            _refuse_failure(report, output, limits)
            predictions = read_predictions(folder, era.ids)
    except PredictionsRefused as error:
        log.warning("command.failed", member=name, output=output)
        raise CommandFailed(f"{about} {error}") from None
    except OSError as error:  # a full disk must not cost the round, which another fallback may save
        raise CommandFailed(f"{about} cannot be run: {state_error(state_dir, error)}") from None
    seconds, peak_mib = float(report["seconds"]), int(report["peak"]) >> 20
    log.info("command.finished", member=name, rows=len(predictions), seconds=round(seconds, 2), peak_mib=peak_mib)
    return CommandRun(predictions=predictions, seconds=seconds, peak_mib=peak_mib, output=output)


@contextmanager
def _folder(state_dir: Path) -> Iterator[Path]:
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


def _fill(folder: Path, files: Path, era: Era) -> None:
    """Put copies of the era's files and of the program's files into its folder."""
    unpack(files, folder)
    (folder / TEMPORARY).mkdir()
    # Copies: whatever the program does to them, the round's own files stay as they were proven.
    shutil.copyfile(era.live, folder / LIVE)
    if era.benchmark is not None:
        shutil.copyfile(era.benchmark, folder / BENCHMARK)


def _supervised(command: Sequence[str], folder: Path, state_dir: Path, limits: Limits) -> Mapping[str, Any]:
    """Run the program below its supervisor, and return the supervisor's report; empty where it gave none."""
    free = shutil.disk_usage(folder).free
    about = {
        "time_s": limits.time_s,
        "memory": limits.memory_mib << 20,
        "disk": min(limits.disk_mib << 20, free // 2),  # the ledger is on the same disk
        "processes": limits.processes,
        "folder": str(folder),
        "protected": str(state_dir.resolve()),
        "parent": os.getpid(),
    }
    supervisor = subprocess.Popen(  # noqa: S603 - the program of the person whose bot it is
        [sys.executable, "-I", "-S", _supervisor.__file__, json.dumps(about), *command],
        env=command_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        content, _ = supervisor.communicate(timeout=limits.time_s + ENDING_S)
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
    if refused := report.get("open_network"):
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


def _refuse_failure(report: Mapping[str, Any], output: Sequence[str], limits: Limits) -> None:
    """
    Refuse a run that did not end well.

    Raises:
        PredictionsRefused: It did not; the message is why, and how to fix it.
    """
    last = f": {output[-1]}" if output else ""
    status = report.get("status")
    reasons = {
        "start": f"does not start: {report.get('why')}; check its path, its mode (chmod +x) and its first line",
        "time": f"took longer than {limits.time_s:.3g} s; make it faster, or raise time_s",
        "memory": f"used more than {limits.memory_mib:,} MiB of memory; use less, or raise memory_mib",
        "disk": f"wrote more than {limits.disk_mib:,} MiB or {_supervisor.FILES:,} files; write less",
        "processes": f"ran more than {limits.processes} processes at once; start fewer",
        "output": f"printed more than {_supervisor.OUTPUT_BYTES >> 20} MiB; print less",
        "stop": "was stopped with the bot",
        None: "was lost with its supervisor, which the machine or the program killed; run it again",
    }
    ended = report.get("ended")
    if ended in reasons:
        raise PredictionsRefused(reasons[ended])
    if status is not None and status < 0:
        raise PredictionsRefused(f"was killed by signal {-status}{last}; if memory ran out, use less of it")
    if status:
        raise PredictionsRefused(f"ended with exit status {status}{last}")


def _lines(output: str) -> tuple[str, ...]:
    """Return the last lines of an output, bounded, printable and without secrets."""
    lines = [line for line in redact(output).splitlines() if line.strip()][-LINES:]
    printable = ("".join(one if one.isprintable() else " " for one in line).strip() for line in lines)
    return tuple(line[:LINE_LENGTH] for line in printable)


@cache
def _warn_network(reason: str) -> None:
    """Log once that programs can use the network."""
    log.warning("command.network_open", reason=f"the kernel does not separate programs from the network: {reason}")
