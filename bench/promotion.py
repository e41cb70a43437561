"""
Number of promotions after retrains on healthy and on shuffled targets.

Four retrains share a generated world. ``healthy``: the world's own targets, first without a champion, then with another
seed against the first champion. ``shuffled``: targets are exchanged at random within every era, differently for each
retrain, so that there is nothing to learn; again first without a champion, then against the healthy champion. The recipe
is the demo's without the refit, which comes after the judgement and does not change it.

Goals: no shuffled challenger is promoted, and nine in ten healthy challengers are.

With ``--weeks N``, no model is trained: a challenger a week is simulated in many installations instead
(:mod:`promotion_weeks`).
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from promotion_weeks import report

from bot.judging.challenger import Retrainer
from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.sandbox.world.generate import World, generate
from bot.sandbox.world.schema import SIZES, WorldSize
from bot.serving.artifacts import ArtifactStore
from bot.tournament.client import NumeraiClient
from bot.training.recipes import DEMO, Recipe

OPENED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KINDS = ("healthy, first", "healthy, against champion", "shuffled, first", "shuffled, against champion")


def shuffle_targets(folder: Path, seed: int) -> None:
    """Exchange the targets of a world's rows within every era; a row's targets stay together."""
    random = np.random.default_rng(seed)
    for name in ("train.parquet", "validation.parquet"):
        file = pq.ParquetFile(folder / name)
        table, group_rows = file.read(), file.metadata.row_group(0).num_rows
        eras = np.asarray(table["era"].to_pylist())
        order = np.arange(len(eras))
        for era in np.unique(eras):
            rows = np.flatnonzero(eras == era)
            order[rows] = random.permutation(rows)
        for index, column in enumerate(table.column_names):
            if column.startswith("target"):
                table = table.set_column(index, table.schema.field(index), table[column].take(pa.array(order)))
        pq.write_table(table, folder / name, row_group_size=group_rows)


def retrain(world: Path, state: Path, recipe: Recipe) -> tuple[bool, str]:
    """Retrain once against a sandbox that serves *world*; return whether the challenger was promoted, and why."""
    state.mkdir(exist_ok=True)
    with Sandbox(World.open(world), clock=SandboxClock(OPENED + timedelta(minutes=1))) as sandbox:
        retrainer = Retrainer(
            client=NumeraiClient(
                api_url=sandbox.url, public_id=DEMO_ACCOUNT.public_id, secret_key=DEMO_ACCOUNT.secret_key
            ),
            artifacts=ArtifactStore(state / "artifacts"),
            state_dir=state,
            device="cpu",
        )
        result = retrainer.retrain(recipe.resolved(data_version="v5.3", feature_set="medium", target="target_ender_60"))
    shown = "; ".join(f"{finding.gate} {finding.value}" for finding in result.decision.findings)
    return result.decision.promote, f"{result.decision.reason} | {shown}"


def world_round(root: Path, seed: int, size: WorldSize) -> dict[str, tuple[bool, str]]:
    """Return the outcomes of the four retrains on the world of one *seed*."""
    healthy, shuffled, again = root / "healthy", root / "shuffled", root / "again"
    generate(healthy, size=size, seed=seed)
    for number, folder in enumerate((shuffled, again)):
        shutil.copytree(healthy, folder)
        shuffle_targets(folder / "v5.3", 2 * seed + number)
    one = replace(DEMO, refit=False)
    mixer, *others = one.members
    network = replace(mixer.options.network, seed=mixer.options.network.seed + seed)
    other = replace(one, members=(replace(mixer, options=replace(mixer.options, network=network)), *others))
    runs = {
        KINDS[0]: (healthy, root / "a", one),
        KINDS[1]: (healthy, root / "a", other),
        KINDS[2]: (shuffled, root / "b", one),
        KINDS[3]: (again, root / "a", other),
    }
    return {kind: retrain(*arguments) for kind, arguments in runs.items()}


def main() -> int:
    """Count promotions, print them, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=10, help="each gives two healthy and two shuffled retrains")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--weeks", type=int, help="simulate so many weekly challengers instead")
    parser.add_argument("--installations", type=int, default=200, help="simulated installations")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.weeks:
        return report(arguments.installations, arguments.weeks, arguments.json)
    promoted: Counter[str] = Counter()
    log = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.worlds):
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
            outcome = world_round(Path(folder), seed, SIZES["tiny"])
        for kind, (done, why) in outcome.items():
            promoted[kind] += done
            log.append({"seed": seed, "kind": kind, "promoted": done, "why": why})
            print(
                f"world {seed}, {kind}: {'promoted' if done else 'not promoted'} | {why}", file=sys.stderr, flush=True
            )
    print(f"{'retrains':<28}{'promoted':>10}{'of':>6}  goal")
    for kind in KINDS:
        goal = "none" if kind.startswith("shuffled") else "nine in ten"
        print(f"{kind:<28}{promoted[kind]:>10}{arguments.worlds:>6}  {goal}")
    if arguments.json:
        arguments.json.write_text(json.dumps(log, indent=1), encoding="utf-8")
    healthy = sum(promoted[kind] for kind in KINDS[:2])
    return int(promoted[KINDS[2]] + promoted[KINDS[3]] > 0 or healthy < 0.9 * 2 * arguments.worlds)


if __name__ == "__main__":
    sys.exit(main())
