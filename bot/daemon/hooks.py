"""
Commands of a person that the running bot starts when something has happened: confirmed, missed, promoted.

A hook gets one JSON object on standard input. It runs as :mod:`bot.members.program.bounded_run` says: without key and
other secrets, under limits, in a folder of its own, but with a network. It runs in a thread of its own, at most once for an
event. A hook that fails is a line of the log and costs no round.
"""

import json
import shlex
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

import structlog

from bot.members.program.bounded_run import Limits, last_lines, run_folder, supervised
from bot.record.ledger import Ledger
from bot.serving.artifacts import ArtifactStore

CONFIRMED, MISSED, PROMOTED = "on_confirmed", "on_missed", "on_promoted"
LIMITS = Limits(time_s=60.0, memory_mib=1024, disk_mib=64, processes=64)
LOOK_S = 15.0
"""Seconds between two looks for a new champion."""

WAITING = 100
"""Most events that wait for their hook; further ones are dropped with a line of the log."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Hooks:
    """
    The hooks of a bot. No method raises or waits.

    Attributes:
        commands: Command by the name of its event; those without a command are left out.
        ledger_path: Ledger that keeps which events were handed to a hook.
        state_dir: State directory.
        mode: Mode of the bot, for the hook.
    """

    commands: Mapping[str, str]
    ledger_path: Path
    state_dir: Path
    mode: str
    _events: "Queue[tuple[str, dict[str, Any]]]" = field(default_factory=lambda: Queue(WAITING))
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start to run hooks; nothing starts where none is configured."""
        if self.commands:
            threading.Thread(target=self._run, daemon=True, name="hooks").start()

    def stop(self) -> None:
        """Start no further hook; one that is running ends with the process."""
        self._stopped.set()

    def happened(self, event: str, content: Mapping[str, Any]) -> None:
        """Hand an event to its hook, if it has one and the same event was not handed over before."""
        if event in self.commands:
            try:
                self._events.put_nowait((event, dict(content)))
            except Full:
                log.error("hook.failed", hook=event, reason=f"{WAITING} events wait for hooks; this one is dropped")  # noqa: TRY400 - one line

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
                event, content = self._events.get(timeout=LOOK_S)
            except Empty:
                continue
            except Exception as error:  # noqa: BLE001 - whatever the disk or the ledger refuses, the thread goes on
                log.warning("hook.failed", hook=PROMOTED, reason=f"{type(error).__name__}: {error}")
                self._stopped.wait(LOOK_S)
                continue
            try:
                self._hand_over(event, content)
            except Exception as error:  # noqa: BLE001 - see above
                log.error("hook.failed", hook=event, reason=f"{type(error).__name__}: {error}")  # noqa: TRY400 - one line

    def _look(self) -> None:
        """Notice champions that changed since the last look, whichever process promoted them."""
        if PROMOTED not in self.commands:
            return
        store, now = ArtifactStore(self.state_dir / "artifacts"), datetime.now(UTC)
        champions = store.all_champions()
        with closing(Ledger(self.ledger_path)) as ledger:
            known = ledger.reported_champions()
            ledger.report_champions(
                {recipe: one for recipe, one in champions.items() if known.get(recipe) != one}, at=now
            )
        # The first look of a bot with this hook only takes note of what is there.
        for recipe, artifact in champions.items() if known else ():
            if known.get(recipe) != artifact:
                self.happened(PROMOTED, {"recipe": recipe, "artifact": artifact, "before": known.get(recipe)})

    def _hand_over(self, event: str, content: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        if "round" in content:
            with closing(Ledger(self.ledger_path)) as ledger:
                if not ledger.first_hook(event, content["round"], at=now):
                    return
        about = {"event": event.removeprefix("on_"), "mode": self.mode, "at": now.isoformat(), **content}
        given = json.dumps(about).encode() + b"\n"
        with run_folder(self.state_dir) as folder:
            (folder / "tmp").mkdir()
            report = supervised(
                shlex.split(self.commands[event]), folder, self.state_dir, LIMITS, network=True, given=given
            )
        output = last_lines(str(report.get("output", "")))
        reason = _failure(report)
        if reason:
            last = f": {output[-1]}" if output else ""
            log.error("hook.failed", hook=event, reason=f"{reason}{last}", round=content.get("round"))
        else:
            log.info("hook.finished", hook=event, round=content.get("round"), seconds=round(report["seconds"], 1))


def _failure(report: Mapping[str, Any]) -> str:
    """Return how a hook failed; empty where it did not."""
    ended, status = report.get("ended"), report.get("status")
    if ended == "start":
        return f"it does not start: {report.get('why')}"
    if ended == "exit":
        return f"it ended with exit status {status}" if status else ""
    limits = {
        "time": f"it took longer than {LIMITS.time_s:.0f} s",
        "memory": f"it used more than {LIMITS.memory_mib} MiB of memory",
        "disk": f"it wrote more than {LIMITS.disk_mib} MiB",
        "processes": f"it ran more than {LIMITS.processes} processes",
        "output": "it printed too much",
    }
    return limits.get(str(ended), "it was stopped")
