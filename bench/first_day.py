"""
The first day of a bot: `bot run` on an empty state directory, from the start to a champion of the slot's own recipe.

A sandbox serves a generated world over HTTP; the bot is the real daemon. The table has a line for each step, with the wall
seconds since the start, and between this step and the one before: CPU seconds of the daemon and its commands, their peak memory
(anonymous, of one process), bytes of files that the server sent, and the size of the state directory at that time.

``--scale 1`` is the world `full`, 1,231 eras x 3,555 features, with a signal as strong as published scores imply: there the gate
may refuse a model. Smaller scales have fewer eras, rows and features, and a signal that models of few rows find.
"""

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import ProcessTree, save

if TYPE_CHECKING:
    from bot.sandbox.server import Sandbox
    from bot.sandbox.world.schema import WorldSize

ROOT = Path(__file__).resolve().parents[1]
GOALS_S = {"starter confirmed": 20 * 60.0, "own recipe promoted": 150 * 60.0}
"""Goals at scale 1 with 20 MB/s, in seconds since the start."""

REFUSED = "starter refused"
"""What the table says where the gate refuses the starter, so that no round is filled before the own recipe is trained."""

LOOK_S = 0.25


def world_size(scale: float) -> "WorldSize":
    """Return the size of the world: `full` at 1, else between `tiny` and it."""
    from bot.sandbox.world.schema import SIZES

    full, small = SIZES["full"], SIZES["small"]
    if scale >= 1:
        return full

    def scaled(most: int, least: int) -> int:
        return max(int(most * scale), least)

    return replace(
        full,
        train_eras=scaled(full.train_eras, 160),
        validation_eras=scaled(full.validation_eras, 100),
        rows=(scaled(full.rows[0], 400), scaled(full.rows[1], 600)),
        medium=scaled(full.medium, 84),
        all=scaled(full.all, 120),
        signal=small.signal * 2,
        factors=small.factors,
    )


class State:
    """What has happened, read from the state directory."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder, self._recipe = folder, recipe

    def steps(self) -> list[Callable[[], str]]:
        """Return a check for each step, in their order: it returns what has happened, nothing while it has not."""
        own = self._recipe
        return [
            lambda: "starter trained" if self._decisions("starter") else "",
            lambda: REFUSED if not any(self._decisions("starter")) else self._filled_by_starter(),
            lambda: "history complete" if any((self.folder / "history").glob("*.npz")) else "",
            lambda: "own recipe judged" if self._decisions(own) else "",
            lambda: "own recipe refused" if not any(self._decisions(own)) else self._replaced(),
            lambda: "report" if any((self.folder / "reports").glob("*.html")) else "",
        ]

    def _decisions(self, recipe: str) -> list[bool]:
        """Return whether each artifact of a recipe was promoted."""
        found = [json.loads(one.read_text()) for one in (self.folder / "artifacts").glob("[0-9]*/manifest.json")]
        return [one["decision"]["promote"] for one in found if one["recipe"]["name"] == recipe]

    def _filled_by_starter(self) -> str:
        from bot.record.ledger import Ledger

        path = self.folder / "ledger.sqlite"
        if not path.is_file():
            return ""
        ledger = Ledger(path, read_only=True)
        try:
            filled = [(one.state, one.filled_by) for one in ledger.entries(limit=50)]
        finally:
            ledger.close()
        return "starter confirmed" if ("confirmed", "starter") in filled else ""

    def _replaced(self) -> str:
        pointer = self.folder / "artifacts" / "champions" / f"{self._recipe}.json"
        return "own recipe promoted" if pointer.is_file() and not (self.folder / "starter").exists() else ""

    def bytes(self) -> int:
        """Return the bytes that it takes on disk."""
        total = 0
        for path in self.folder.rglob("*"):
            with suppress(OSError):
                total += path.lstat().st_blocks * 512
        return total


def play(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Serve a world, start the daemon on an empty state directory, and return a row for each step."""
    from bot.sandbox.schedule import Schedule
    from bot.sandbox.server import Sandbox
    from bot.sandbox.world.generate import World, generate

    kept = options.world or folder / "world"
    made = (kept / "truth" / "world.json").is_file()
    world = World.open(kept) if made else generate(kept, size=world_size(options.scale))
    served = sum(path.stat().st_size for path in kept.glob("v5.3/*.parquet"))
    print(f"world: {served / 1e6:,.0f} MB of parquet; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    schedule = Schedule.every(
        timedelta(days=2),
        window=timedelta(days=1, hours=20),
        first_round=1405,
        first_open=datetime.now(UTC).replace(microsecond=0),
    )
    rate = options.mb_per_s * 1e6 if options.mb_per_s else None
    with Sandbox(world, schedule=schedule, bytes_per_s=rate) as sandbox, (folder / "log.jsonl").open("w") as log:
        environment = environment_of(sandbox.url, folder / "state", options.recipe)
        command = [sys.executable, "-m", "bot", "run"]
        daemon = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            return list(follow(daemon, sandbox, State(folder / "state", options.recipe), options.limit_s))
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)
            if options.log:
                shutil.copyfile(folder / "log.jsonl", options.log)


def environment_of(url: str, state: Path, recipe: str) -> dict[str, str]:
    """Return the environment of a daemon that plays against the sandbox at *url*."""
    from bot.sandbox.demo import settings_for

    outside = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "NUMERAI_"))}
    own = {"BOT_STARTER": "true", "BOT_RECIPE": recipe, "BOT_TICK_S": "2", "BOT_LOG_FORMAT": "json"}
    own |= {"PYTHONPATH": str(ROOT), "BOT_DIAGNOSTICS": "off", "BOT_SCORES": "off", "BOT_BACKUP": "off"}
    return outside | settings_for(url, state) | own


def follow(
    daemon: subprocess.Popen[bytes], sandbox: "Sandbox", state: State, limit_s: float
) -> Iterator[dict[str, Any]]:
    """Print and yield a row for each step when it has happened; end this process where one does not happen in time."""
    tree, waiting, began = ProcessTree(daemon.pid), state.steps(), time.monotonic()
    cpu_s, fetched = 0.0, 0
    while waiting:
        time.sleep(LOOK_S)
        tree.look()
        wall_s, spent_s, sent = time.monotonic() - began, tree.cpu_s(), sandbox.file_bytes
        if daemon.poll() is not None or wall_s > limit_s:
            sys.exit(f"the next step did not happen within {wall_s:.0f} s; --log keeps the log")
        while waiting and (step := waiting[0]()):
            del waiting[0]
            row = {"step": step, "wall_s": wall_s, "cpu_s": spent_s - cpu_s, "peak_mib": tree.peak_mib}
            row |= {"fetched": sent - fetched, "disk": state.bytes()}
            show(row)
            yield row
            cpu_s, fetched, tree.peak_mib = spent_s, sent, 0.0


def show(row: dict[str, Any]) -> None:
    """Print a line of the table."""
    print(
        f"{row['step']:<22}{row['wall_s']:>9.0f}{row['cpu_s']:>9.1f}{row['peak_mib']:>10.0f}"
        f"{row['fetched'] / 1e6:>12.1f}{row['disk'] / 1e6:>11.1f}",
        flush=True,
    )


def main() -> None:
    """Play the first day, print the timeline, and fail where a goal of scale 1 is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="1 is the world `full`")
    parser.add_argument("--mb-per-s", type=float, default=20.0, help="speed of the server in MB/s; 0 for full speed")
    parser.add_argument("--recipe", default="demo", help="the slot's own recipe; `standard` at scale 1")
    parser.add_argument("--world", type=Path, help="folder of a world that is kept; made when absent")
    parser.add_argument("--limit-s", type=float, default=6 * 3600.0, help="give up after this time")
    parser.add_argument("--log", type=Path, help="keep the daemon's log here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory(prefix="first-day-") as scratch:
        print(f"{'step':<22}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}{'fetched MB':>12}{'disk MB':>11}")
        rows = play(options, Path(scratch))
    save(options.json, {"scale": options.scale, "mb_per_s": options.mb_per_s, "recipe": options.recipe, "steps": rows})
    missed = [name for name in GOALS_S if name not in [row["step"] for row in rows]]
    missed += [row["step"] for row in rows if row["wall_s"] > GOALS_S.get(row["step"], math.inf)]
    if missed and (options.scale >= 1 or REFUSED in [row["step"] for row in rows]):
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
