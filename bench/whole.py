"""
Whole commands, each beside a plain script that does the same work in the way of example notebooks, in one run.

A sandbox serves a generated world. The bot syncs, syncs again a week later, retrains a recipe of three members (a
TSMixer-Ext, LightGBM with 2,000 trees, a ridge regression), evaluates the artifact over the hold-out, and submits. The
plain script (``notebook_way.py``) reads the same files with pandas, fits and scores the same models, and scores the live
file. Every command is a process of its own with one thread for each library. Counted are the CPU seconds of a process and
its children, the peak anonymous memory of one of them, and the bytes of files that the server sent.

``bot evaluate`` runs twice: with the members' scores that the retrain has kept, and without them.
"""

import argparse
import compileall
import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from measure import Spent, run_tree, save

ROOT = Path(__file__).resolve().parents[1]
PLAIN = Path(__file__).with_name("notebook_way.py")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
GROUPS = 54
"""Row groups of the validation file; v5.3's has as many with 128,000 rows each."""

GOALS = {
    "evaluate": (1 / 15, None),
    "retrain": (0.6, 1 / 4),
    "submit": (0.2, None),
}
"""Largest shares of the plain script's CPU seconds and memory."""

WEEK_GOAL, SUBMIT_MIB, CORR_WITHIN = 0.02, 280.0, 0.005
"""A weekly sync's share of a full one, both beyond a sync that finds nothing new; the memory of `bot submit`; and the most that plain CORR
may be above the bot's."""

RECIPE = """
base = "demo"
targets = []
[data]
engineered = []
holdout_eras = {eras}
[members.tsmixer]
kind = "tsmixer"
weight = 0.34
[members.gbm]
kind = "lightgbm"
weight = 0.33
preset = "small"
[members.gbm.params]
num_trees = {trees}
[members.ridge]
kind = "linear"
weight = 0.33
"""


def serve(world: Path, served: Path, *, weeks_ago: int) -> None:
    """Put the world's files as they were some weeks ago into *served*."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from bot.tournament.columns import SPANNED_ERAS

    served.mkdir(parents=True, exist_ok=True)
    for path in (world / "v5.3").glob("*"):
        if not path.name.startswith("validation"):
            shutil.copy2(path, served / path.name)  # the server's ETag follows the time of the change
    for name in ("live.parquet", "live_benchmark_models.parquet"):
        shutil.copy2(world / "rounds" / "0" / name, served / name)
    for path in (world / "v5.3").glob("validation*.parquet"):
        table = pq.read_table(path)
        rows = -(-table.num_rows // GROUPS)
        if weeks_ago and "era" in table.column_names:
            eras = sorted(pc.unique(table["era"]).to_pylist())
            table = table.filter(pc.less(table["era"], eras[-weeks_ago]))
            for index, column in enumerate(table.column_names):
                days = column.rpartition("_")[2]
                if column.startswith("target") and (column == "target" or days.isdigit()):
                    hidden = eras[-SPANNED_ERAS[int(days) if days.isdigit() else 60] - 1 - weeks_ago]
                    late = pc.greater_equal(table["era"], hidden)
                    values = pc.if_else(late, pa.scalar(float("nan"), pa.float32()), table[column])
                    table = table.set_column(index, table.schema.field(index), values)
        pq.write_table(table, served / path.name, row_group_size=rows)


class Commands:
    """Runs commands of both sides and keeps what they cost."""

    def __init__(self, folder: Path, environment: dict[str, str], server: Any) -> None:  # noqa: ANN401 - imported late
        self._folder, self._environment, self._server = folder, environment, server
        self.spent: dict[str, dict[str, float]] = {}

    def bot(self, name: str, *arguments: str) -> str:
        """Run a command of the bot; return what it printed."""
        before = self._server.file_bytes
        spent, text = run_tree(["-m", "bot", *arguments], self._environment, self._folder)
        return self._keep(name, "bot", spent, text, fetched=self._server.file_bytes - before)

    def plain(self, name: str, *arguments: str) -> str:
        """Run the plain script; return what it printed."""
        spent, text = run_tree([str(PLAIN), *arguments], self._environment, self._folder)
        return self._keep(name, "plain", spent, text)

    def _keep(self, name: str, side: str, spent: Spent, text: str, **more: float) -> str:
        self.spent[f"{name}, {side}"] = {**spent._asdict(), **more}
        megabytes = f"{more['fetched'] / 1e6:>12.2f}" if "fetched" in more else ""
        print(f"{name:<28}{side:<8}{spent.cpu_s:>9.1f}{spent.anonymous_mib:>9.0f}{megabytes}", flush=True)
        return text


def environment_of(url: str, folder: Path) -> dict[str, str]:
    """Return the variables of both sides."""
    from bot.sandbox.demo import settings_for

    kept_out = ("BOT_", "NUMERAI_", "PYTHONDONTWRITEBYTECODE")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
    own = {"BOT_RECIPE": "whole", "BOT_FEATURE_SET": "medium", "PYTHONPATH": str(ROOT), "BOT_MAX_EXPOSURE": "1"}
    return outside | settings_for(url, folder / "state") | own | ONE_THREAD


def play(folder: Path, options: argparse.Namespace) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Run every command of both sides; return what they cost, and the CORR of both over the hold-out."""
    from bot.sandbox.clock import SandboxClock
    from bot.sandbox.demo import OPENED
    from bot.sandbox.server import Sandbox
    from bot.sandbox.world.generate import generate
    from bot.sandbox.world.schema import SIZES

    size = replace(SIZES["small"], train_eras=160, validation_eras=options.eras + 40, rows=(options.rows, options.rows))
    world = generate(folder / "world", size=size)
    world.live(0)
    data, work = folder / "served" / "v5.3", folder / "work"
    work.mkdir()
    for package in ("bot", "models"):  # as an installer does; the libraries of both sides are compiled likewise
        compileall.compile_dir(ROOT / package, quiet=1)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "whole.toml").write_text(RECIPE.format(eras=options.eras, trees=options.trees))
    serve(world.directory, data, weeks_ago=1)
    print(f"{'command':<28}{'side':<8}{'CPU s':>9}{'MiB':>9}{'fetched MB':>12}")
    with Sandbox(data.parent, clock=SandboxClock(OPENED + timedelta(minutes=1), rate=0)) as sandbox:
        commands = Commands(folder, environment_of(sandbox.url, folder), sandbox)
        commands.bot("sync, all", "sync")
        commands.bot("sync, nothing new", "sync")
        serve(world.directory, data, weeks_ago=0)
        commands.bot("sync, a week later", "sync")
        sizes = ("--eras", str(options.eras), "--trees", str(options.trees))
        theirs = json.loads(commands.plain("retrain", "retrain", str(data), str(work), *sizes).splitlines()[-1])
        commands.bot("retrain", "retrain")
        (manifest,) = (folder / "state" / "artifacts").glob("[0-9]*/manifest.json")
        if not (manifest.parents[1] / "champions" / "whole.json").exists():  # the gate keeps models of little data back
            commands.bot("promote", "promote", manifest.parent.name)
        commands.plain("evaluate", "evaluate", str(data), str(work), *sizes)
        commands.bot("evaluate", "evaluate")
        shutil.rmtree(folder / "state" / "judged_scores")
        commands.bot("evaluate, scores not kept", "evaluate")
        commands.plain("submit", "submit", str(data), str(work))
        commands.bot("submit", "submit", "--round", "latest")
    ours = json.loads(manifest.read_text(encoding="utf-8"))["scores"]["ensemble"]["mean"]
    return commands.spent, {"bot": ours, "plain": theirs["corr"]}


def missed_goals(spent: dict[str, dict[str, float]], corr: dict[str, float]) -> list[str]:
    """Print each ratio beside its goal; return the names of missed goals."""
    rows = []
    for name, (cpu, memory) in GOALS.items():
        ours, theirs = spent[f"{name}, bot"], spent[f"{name}, plain"]
        for figure, goal in (("cpu_s", cpu), ("anonymous_mib", memory)):
            if goal is not None:
                rows.append((f"{name}, {figure} of plain", ours[figure] / theirs[figure], goal))
    week, whole, idle = (spent[f"sync, {which}, bot"] for which in ("a week later", "all", "nothing new"))
    rows += [
        (f"weekly sync, {figure} of full", (week[figure] - idle[figure]) / (whole[figure] - idle[figure]), WEEK_GOAL)
        for figure in ("fetched", "cpu_s")
    ]
    rows.append(("submit, MiB", spent["submit, bot"]["anonymous_mib"], SUBMIT_MIB))
    rows.append(("CORR, plain less bot", corr["plain"] - corr["bot"], CORR_WITHIN))
    for name, value, goal in rows:
        print(f"{name:<36}{value:>10.3f}{goal:>10.3f}{'' if value <= goal else '  missed'}")
    return [name for name, value, goal in rows if value > goal]


def main() -> None:
    """Run everything, print the tables, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eras", type=int, default=600, help="eras of the hold-out")
    parser.add_argument("--rows", type=int, default=500, help="rows of an era")
    parser.add_argument("--trees", type=int, default=2_000)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory(prefix="whole-") as scratch:
        spent, corr = play(options.folder or Path(scratch), options)
    print(f"CORR over {options.eras} eras: bot {corr['bot']:.4f}, plain {corr['plain']:.4f}")
    missed = missed_goals(spent, corr)
    save(options.json, {**spent, "corr": corr, "missed": missed})
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
