"""CPU seconds and peak anonymous memory of one side of a comparison, run in a fresh process."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


def save(path: Path | None, figures: dict[str, object]) -> None:
    """Write the figures of a bench as JSON, if *path* is given."""
    if path is not None:
        path.write_text(json.dumps(figures), encoding="utf-8")


class Spent(NamedTuple):
    """CPU seconds of a process and its children, and its peak anonymous memory in MiB."""

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
