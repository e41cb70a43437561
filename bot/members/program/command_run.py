"""
Run a person's program on one era, and read its predictions.

The program runs in a fresh folder with ``live.parquet``, ``live_benchmark_models.parquet`` where there is one, and copies of
its own files. It writes ``predictions.parquet`` or ``predictions.csv``. It gets no secret, no network where the kernel allows
that, and bounded time, memory, disk, processes and output. Everything that it started ends with it.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from bot.errors import CommandFailed
from bot.members.program import _supervisor
from bot.members.program.bounded_run import TEMPORARY, Limits, last_lines, run_folder, supervised
from bot.members.program.predictions_file import PredictionsRefused, read_predictions
from bot.members.program.program_files import unpack
from bot.system.files import state_error
from bot.system.kill_points import kill_point

LIVE, BENCHMARK = "live.parquet", "live_benchmark_models.parquet"
"""Names of the era's files in the program's folder."""

Floats = npt.NDArray[np.float64]
log = structlog.get_logger()


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
        with kill_point("command.run"), run_folder(state_dir) as folder:
            _fill(folder, files, era)
            report = supervised(command, folder, state_dir, limits)
            output = last_lines(str(report.get("output", "")))
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


def _fill(folder: Path, files: Path, era: Era) -> None:
    """Put copies of the era's files and of the program's files into its folder."""
    unpack(files, folder)
    (folder / TEMPORARY).mkdir()
    # Copies: whatever the program does to them, the round's own files stay as they were proven.
    shutil.copyfile(era.live, folder / LIVE)
    if era.benchmark is not None:
        shutil.copyfile(era.benchmark, folder / BENCHMARK)


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
