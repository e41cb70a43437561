"""
Times measured on this machine, kept in the state directory: short measurements, and the stages of finished retrains.

A file of another machine, or of another number of cores, is not used.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from bot.system.cores import allowed_cores, usable_cores
from bot.system.files import publish

FILE = "speed.json"
FORMAT = 1

CONTENTION_S = 0.03
"""CPU seconds of the measurement of other processes' load."""

BUSY = 1.5
"""Runnable processes a core over which a measurement is of other processes too: it is used once, and not kept."""

log = structlog.get_logger()


@dataclass(kw_only=True)
class MachineTimes:
    """
    Times of one machine.

    Attributes:
        path: File that they are kept in; ``None`` keeps nothing.
        machine: Identity of the machine: processor and cores.
        figures: Figures of short measurements by name.
        retrains: Amount and seconds of each stage of the newest retrain by recipe.
        failed: Reasons of measurements that were not possible.
        measures: Whether to measure figures that are not kept; it takes seconds.
        on_measure: Called with the name of a measurement before it begins.
    """

    path: Path | None
    machine: str
    figures: dict[str, tuple[float, ...]] = field(default_factory=dict)
    retrains: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    measures: bool = True
    on_measure: Callable[[str], None] = lambda _name: None
    _of_busy: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def open(cls, state_dir: Path) -> "MachineTimes":
        """Return the times kept in a state directory; none where the file is absent, damaged or of another machine."""
        path, machine = state_dir / FILE, identity()
        found = cls(path=path, machine=machine)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] == FORMAT and content["machine"] == machine:
                found.figures = {
                    str(name): tuple(float(one) for one in values) for name, values in content["figures"].items()
                }
                found.retrains = {
                    str(recipe): {
                        str(name): {**one, "seconds": float(one["seconds"]), "amount": float(one["amount"])}
                        for name, one in stages.items()
                    }
                    for recipe, stages in content["retrains"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return found

    def measured(self, name: str, measure: Callable[[], Sequence[float]]) -> tuple[float, ...] | None:
        """Return figures by their name; measure and keep them where there are none."""
        known = self.figures.get(name) or self._of_busy.get(name)
        if known is not None:
            return known
        if not self.measures:
            return None
        self.on_measure(name)
        try:
            found = tuple(float(one) for one in measure())
        except Exception as error:  # noqa: BLE001 - a plan without a figure is better than no retrain
            self.failed.append(f"{name} cannot be measured: {type(error).__name__}: {error}")
            return None
        if os.getloadavg()[0] > BUSY * usable_cores():
            self._of_busy[name] = found
        else:
            self.figures[name] = found
            self._write()
        return found

    def forget_busy(self) -> None:
        """Forget figures that were measured beside other processes, so that they are measured again."""
        self._of_busy.clear()

    @property
    def busy(self) -> bool:
        """Return whether a figure was measured beside other processes."""
        return bool(self._of_busy)

    def keep_retrain(self, recipe: str, stages: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the stages of a finished retrain; stages that it left out stay as they were measured before."""
        self.retrains[recipe] = {**self.retrains.get(recipe, {}), **{name: dict(one) for name, one in stages.items()}}
        self._write()

    def _write(self) -> None:
        if self.path is None or not self.path.parent.is_dir():
            return
        content = {
            "format": FORMAT,
            "machine": self.machine,
            "figures": self.figures,
            "retrains": self.retrains,
        }
        try:
            publish(self.path, json.dumps(content, indent=1).encode())
        except OSError as error:  # the figures are measured again next time
            log.warning("speed.not_kept", error=str(error))


def contention() -> float:
    """Return how many times longer than on a quiet machine work of one thread takes now, beside other processes."""
    began, used = time.perf_counter(), time.thread_time()
    while time.thread_time() - used < CONTENTION_S:
        pass
    return max(1.0, (time.perf_counter() - began) / CONTENTION_S)


def identity() -> str:
    """Return the machine's processor, and the cores that this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    return f"{model}, {allowed_cores():g} cores"
