"""
CPU seconds and memory of LightGBM from the era store, beside LightGBM from pandas with its defaults or by columns.

Each side is a fresh process on one thread. It trains fifty trees of the shape of Numerai's small model on the labelled
eras of the validation file, in which every column has values, as in the whole history. (LightGBM's defaults drop a
constant column, and then draw other columns for each tree. The bot keeps it, so that one Dataset serves every leaf size.)
CPU seconds to the first tree include the Dataset and LightGBM's preparations. Memory is peak anonymous memory until the
first tree, less that before the Dataset.

The goal for CPU is for a whole training, divided by its trees. The trees alone cannot differ: by default LightGBM times
the layouts by rows and by columns and keeps the faster one, and the model is the same to the last bit with both. The
store saves time before the first tree, where the defaults convert int8 to floats and lay the matrix out a second time.
With more trees this share falls; the bench prints the number of trees up to which the goal is met.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.era_store import Columns, EraStore
from models.trees.trees import TreeModel

CPU_GOAL, MEMORY_GOAL, TREES = 2.5, 5.0, 50
SHAPE = {"learning_rate": 0.01, "max_depth": 5, "num_leaves": 31, "min_data_in_leaf": 20, "seed": 1, "num_threads": 1}
SMALL = 2_000
"""Number of trees of Numerai's small model."""
TARGET, FILE = "target_ender_60", "validation.parquet"


class TreeTimer:
    """CPU time at the end of every tree, and peak anonymous memory until the first."""

    def __init__(self) -> None:
        self.base = self.peak = anonymous_mib()
        self.began = time.process_time()
        self.times: list[float] = []
        threading.Thread(target=self._poll, daemon=True).start()

    def _poll(self) -> None:
        while not self.times:
            self.peak = max(self.peak, anonymous_mib())
            time.sleep(0.005)

    def tree(self) -> None:
        """Record the end of a tree."""
        self.times.append(time.process_time())

    def report(self, text: str, folder: Path, role: str) -> None:
        """Write the model, and print the measurements as JSON."""
        model(folder, role).write_text(text, encoding="utf-8")
        print(
            json.dumps(
                {
                    "first_cpu_s": self.times[0] - self.began,
                    "tree_cpu_s": (self.times[-1] - self.times[0]) / (len(self.times) - 1),
                    "dataset_mib": self.peak - self.base,
                }
            )
        )


def model(folder: Path, role: str) -> Path:
    """Return the path of a side's model."""
    return folder / f"model-{role}.txt"


def anonymous_mib() -> float:
    """Return the anonymous memory of this process in MiB."""
    return float(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024


def pandas(folder: Path, kept: Path, role: str) -> None:
    """Read the file with pandas, and train with LightGBM's defaults or by columns."""
    import lightgbm
    import pandas as pd

    frame = pd.read_parquet(folder / "v5.3" / FILE).dropna(subset=[TARGET])
    X, y = frame[[name for name in frame.columns if name.startswith("feature_")]], frame[TARGET]
    del frame
    usual = {**SHAPE, "objective": "regression", "feature_fraction": 0.1, "deterministic": True, "verbosity": -1}
    timer = TreeTimer()
    booster = lightgbm.train(
        {**usual, "force_col_wise": role == "pandas-columns"},
        lightgbm.Dataset(X, label=y),
        num_boost_round=TREES,
        callbacks=[lambda _: timer.tree()],
    )
    timer.report(booster.model_to_string(), kept, role)


def ours(folder: Path, kept: Path, role: str) -> None:
    """Train from the era store in place; the second run reads the Dataset of the first."""
    from models.trees.gbm import DatasetCache, GbmOptions, train_gbm

    columns, positions = training_eras(folder)
    chunks = [columns.in_place(run) for run in columns.runs(positions)]
    y = np.concatenate([columns.target(position, TARGET) for position in positions])
    options = GbmOptions(
        num_trees=TREES, learning_rate=0.01, max_depth=5, num_leaves=31, colsample_bytree=0.1, seed=1, threads=1
    )
    cache = DatasetCache(folder=kept / "datasets")
    timer = TreeTimer()
    text = train_gbm(
        chunks,
        y,
        options,
        columns.feature_names,
        lambda _done, _total: timer.tree(),
        rows_digest=str(folder),
        cache=cache,
    )
    timer.report(text, kept, role)


def training_eras(folder: Path) -> tuple[Columns, list[int]]:
    """Return the store's columns and the positions of the labelled eras that the parquet file holds."""
    store = EraStore.open(next((folder / "store").iterdir()))
    columns = store.select(store.manifest.features, (TARGET,))
    labelled = columns.labelled(TARGET)
    return columns, [one for one in range(len(store.eras)) if labelled[one] and store.place(one).block.source == FILE]


ROLES = {"pandas": pandas, "pandas-columns": pandas, "ours": ours, "ours-again": ours}


def trees(path: Path) -> str:
    """Return the trees of a model, without its parameters."""
    text = path.read_text(encoding="utf-8")
    return text[text.index("Tree=0") : text.index("end of trees")]


def cpu_s(side: dict[str, float], count: int) -> float:
    """Return the CPU seconds of a whole training of *count* trees."""
    return side["first_cpu_s"] + (count - 1) * side["tree_cpu_s"]


def most(peer: dict[str, float], side: dict[str, float]) -> float:
    """Return the largest number of trees for which a whole training of *side* meets the goal."""
    saved = cpu_s(peer, 1) - CPU_GOAL * cpu_s(side, 1)
    lost = CPU_GOAL * side["tree_cpu_s"] - peer["tree_cpu_s"]
    return float("inf") if lost <= 0 else max(saved / lost + 1, 0)


def main() -> None:
    """Measure every side, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="share of v5.3's 1,231 eras, all of them as wide")
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--kept", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role](options.folder, options.kept, options.role)
        return
    from full_width import store

    with tempfile.TemporaryDirectory(prefix="lightgbm-") as scratch:
        kept = Path(scratch)
        folder = options.folder or kept
        store(folder, options.scale)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        found: dict[str, Any] = {}
        for role in ROLES:
            command = [sys.executable, __file__, "--role", role, "--folder", str(folder), "--kept", str(kept)]
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
            found[role] = json.loads(output.splitlines()[-1])
        columns, positions = training_eras(folder)
        codes = np.ascontiguousarray(columns.features(positions[-1]))
        scores = {role: TreeModel(model(kept, role)).predict(codes) for role in ROLES}
        same = {role: trees(model(kept, role)) == trees(model(kept, "ours")) for role in ROLES}
    rows = int(np.diff(columns.offsets)[positions].sum())
    print(f"{rows:,} rows x {len(columns.feature_names):,} features, depth 5, 31 leaves, one thread\n")
    print(f"{'':<16}{'CPU s to tree 1':>16}{'CPU s a tree':>14}{'MiB to tree 1':>15}  trees are ours")
    for role, one in found.items():
        figures = f"{one['first_cpu_s']:>16.2f}{one['tree_cpu_s']:>14.3f}{one['dataset_mib']:>15.0f}"
        print(f"{role:<16}{figures}  {'yes, to the last bit' if same[role] else 'no'}")
    apart = np.abs(scores["pandas"] - scores["ours"]).max()
    spread = np.corrcoef(scores["pandas"], scores["ours"])[0, 1]
    print(f"\npredictions of the defaults differ by up to {apart:.1e}, correlation {spread:.9f}")
    print(f"\n{'figure':<44}{'pandas':>9}{'ours':>9}{'ratio':>8}{'goal':>7}")
    peer, mine, again = found["pandas"], found["ours"], found["ours-again"]
    lines = [
        (f"CPU s a tree, {TREES} trees", cpu_s(peer, TREES) / TREES, cpu_s(mine, TREES) / TREES, CPU_GOAL),
        ("the same, Dataset read back", cpu_s(peer, TREES) / TREES, cpu_s(again, TREES) / TREES, CPU_GOAL),
        ("MiB until the first tree", peer["dataset_mib"], mine["dataset_mib"], MEMORY_GOAL),
        ("CPU s a tree, trees alone", peer["tree_cpu_s"], mine["tree_cpu_s"], None),
        ("CPU s to the first tree", peer["first_cpu_s"], mine["first_cpu_s"], None),
        ("CPU s to the first tree, Dataset read back", peer["first_cpu_s"], again["first_cpu_s"], None),
        (f"CPU s, {SMALL:,} trees, calculated", cpu_s(peer, SMALL), cpu_s(mine, SMALL), None),
        (f"CPU s, {SMALL:,} trees, Dataset read back", cpu_s(peer, SMALL), cpu_s(again, SMALL), None),
    ]
    missed = [] if same["pandas-columns"] and same["ours-again"] else ["an identical model"]
    for name, theirs, own, goal in lines:
        print(f"{name:<44}{theirs:>9.2f}{own:>9.2f}{theirs / own:>8.2f}{goal or '':>7}")
        missed += [name] if goal and theirs / own < goal else []
    for name, side in (("", mine), (", Dataset read back", again)):
        print(f"{CPU_GOAL} times less CPU for a whole training{name}: up to {most(peer, side):,.0f} trees")
    if options.json:
        options.json.write_text(json.dumps({**found, "identical": same, "missed": missed}), encoding="utf-8")
    if missed:
        sys.exit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
