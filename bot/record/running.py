"""
Progress of long work, such as a retrain: written by the process that does it, read by `bot status` and the page Now.

As with the heartbeat, the age of a file is measured by the monotonic clock, which all processes of one boot share.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.errors import BotError
from bot.record.heartbeat import boot
from bot.system.files import publish
from bot.system.moments import in_words

FOLDER = "progress"
"""Folder of the state directory with one file for each kind of work."""

EVERY_S = 5.0
"""Seconds between two writes."""

FRESH_S = 30.0
"""Seconds after which a file is of work that was killed."""

LONGEST = 200
"""Characters of a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkState:
    """
    Progress of work at one moment.

    Attributes:
        stage: Name of the stage.
        share: Share of the stage that is done, 0 to 1.
        note: What is being done.
        number: Number of the stage, from 1; 0 where no plan has it.
        count: Number of all stages; 0 without a plan.
        stage_s: Seconds left of the stage; ``None`` where that is not known.
        all_s: Seconds left of all stages; ``None`` likewise.
    """

    stage: str
    share: float
    note: str
    number: int = 0
    count: int = 0
    stage_s: float | None = None
    all_s: float | None = None

    def line(self, width: int | None = None) -> str:
        """
        Return the state in a line: ``[3/8] fit gbm: trees, 412 of 2,000 trees · 18 min left · all: 1 h 40 min left``.

        A note that does not fit the *width* is cut, so that the times are always there.
        """
        parts = [f"{f'[{self.number}/{self.count}] ' if self.number else ''}{self.stage}: "]
        if self.stage_s is not None:
            parts.append(f"{in_words(self.stage_s)} left")
        if self.all_s is not None:
            parts.append(f"all: {in_words(self.all_s)} left")
        room = len(self.note) if width is None else max(width - sum(len(one) + 3 for one in parts) + 3, 1)
        note = self.note if len(self.note) <= room else f"{self.note[: room - 1]}…"
        return " · ".join([parts[0] + note, *parts[1:]])


@contextmanager
def keep_progress(state_dir: Path, name: str, state: Callable[[], WorkState | None]) -> Iterator[None]:
    """
    Write the progress of the enclosed work every few seconds, and remove it in the end. No error of it stops the work.

    Args:
        state_dir: The state directory.
        name: Kind of work, such as ``retrain``.
        state: Returns the progress; ``None`` before the first stage. A thread calls it.
    """
    path, done, began = state_dir / FOLDER / f"{name}.json", threading.Event(), datetime.now(UTC)

    def write() -> None:
        while not done.is_set():
            if (found := state()) is not None:
                about = {"name": name, "began_at": began.isoformat(timespec="seconds"), **asdict(found)}
                record = {**about, "note": found.note[:LONGEST], "boot": boot(), "beat": time.monotonic()}
                with suppress(BotError, OSError):
                    publish(path, (json.dumps(record) + "\n").encode())
            done.wait(EVERY_S)

    thread = threading.Thread(target=write, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=EVERY_S)  # a failing disk may hold a write for longer
        with suppress(OSError):
            path.unlink(missing_ok=True)


def running_work(state_dir: Path) -> list[dict[str, Any]]:
    """
    Return the work that goes on: ``name``, ``began_at``, the values of :class:`WorkState`, and its ``line``.

    Damaged files are left out.
    """
    found = []
    for path in sorted((state_dir / FOLDER).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            fresh = record.pop("boot") == boot() and time.monotonic() - float(record.pop("beat")) <= FRESH_S
            share = min(max(float(record["share"]), 0.0), 1.0)
            shown = WorkState(**{**{key: record[key] for key in WorkState.__dataclass_fields__}, "share": share})
            about = {"name": str(record["name"]), "began_at": str(record["began_at"])}
            one = {**about, **asdict(shown), "line": shown.line()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if fresh:
            found.append(one)
    return found
