"""Run one side of a comparison in a fresh process; CPU seconds and peak anonymous memory of it."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


def save(path: Path | None, figures: dict[str, object]) -> None:
    """Write the figures of a bench as JSON where a file is named."""
    if path is not None:
        path.write_text(json.dumps(figures), encoding="utf-8")


class Spent(NamedTuple):
    """What a process took: CPU seconds with its children, and MiB of memory that no file backs, at its peak."""

    cpu_s: float
    anonymous_mib: float


def run(arguments: list[str], environment: dict[str, str]) -> Spent:
    """Run this interpreter with *arguments*; end this process if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([sys.executable, *arguments], env=environment)
    peak, status = 0.0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            peak = max(peak, float(status.read_text().split("RssAnon:")[1].split()[0]) / 1024)
        except (OSError, IndexError):
            break
        time.sleep(0.005)
    if process.wait() != 0:
        sys.exit(f"{' '.join(arguments)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak)
