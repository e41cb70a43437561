"""CPU seconds and peak anonymous memory of one side of a comparison, run in a fresh process."""

import json
import os
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


class ProcessTree:
    """CPU seconds and memory of a process and its descendants, read from /proc."""

    def __init__(self, pid: int) -> None:
        self._pid, self._tick = pid, os.sysconf("SC_CLK_TCK")
        self.peak_mib = 0.0

    def cpu_s(self) -> float:
        """Return the CPU seconds of all that run, and of those that have ended and were waited for."""
        return sum(sum(map(int, fields[11:15])) for _, fields in self._stats()) / self._tick

    def look(self) -> None:
        """Note the largest anonymous memory of one process."""
        for pid, _ in self._stats():
            try:
                text = Path(f"/proc/{pid}/status").read_text()
                self.peak_mib = max(self.peak_mib, float(text.split("RssAnon:")[1].split()[0]) / 1024)
            except (OSError, IndexError):
                continue

    def _stats(self) -> list[tuple[int, list[str]]]:
        """Return the fields of ``stat`` after the name, of the process and of each descendant."""
        found: dict[int, list[str]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = path.read_text()
            except OSError:
                continue
            found[int(path.parent.name)] = text.rpartition(")")[2].split()
        family = {self._pid}
        while grown := {pid for pid, fields in found.items() if int(fields[1]) in family} - family:
            family |= grown
        return [(pid, found[pid]) for pid in family if pid in found]


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


def run_tree(arguments: list[str], environment: dict[str, str], folder: Path) -> tuple[Spent, str]:
    """
    Run this interpreter with *arguments* in *folder*; end this process if it fails.

    Returns:
        CPU seconds of the process and its children, the peak anonymous memory of one of them (looked at twenty times a
        second), and what it wrote to standard output.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "output.txt").open("w+") as output, (folder / "errors.txt").open("w+") as errors:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=errors)
        tree = ProcessTree(process.pid)
        while process.poll() is None:
            tree.look()
            time.sleep(0.05)
    if process.returncode != 0:
        said = (folder / "errors.txt").read_text()[-2000:]
        sys.exit(f"{' '.join(arguments)} ended with {process.returncode}: {said}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(spent, tree.peak_mib), (folder / "output.txt").read_text()
