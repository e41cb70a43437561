"""
LightGBM from the era store, beside LightGBM's defaults fed from pandas.

Each side in a fresh process with two threads and Numerai's small model's shape. CPU seconds per tree after the first;
Dataset memory is what no file backs, at its peak until the first tree, over what the data took before.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

CPU_GOAL, MEMORY_GOAL, TREES = 2.5, 5.0, 12
SHAPE = {"learning_rate": 0.01, "max_depth": 5, "num_leaves": 31, "min_data_in_leaf": 20, "seed": 1, "num_threads": 2}
TARGET = "target_ender_60"


class Watch:
    """Notes when trees are done, and the peak of anonymous memory until the first."""

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
        """Note that a tree is done."""
        self.times.append(time.process_time())

    def report(self, text: str) -> None:
        """Print what was seen, as JSON."""
        trees = text[text.index("Tree=0") : text.index("end of trees")]
        print(
            json.dumps(
                {
                    "dataset_cpu_s": self.times[0] - self.began,
                    "tree_cpu_s": (self.times[-1] - self.times[0]) / (len(self.times) - 1),
                    "dataset_mib": self.peak - self.base,
                    "model": hashlib.sha256(trees.encode()).hexdigest(),
                }
            )
        )


def anonymous_mib() -> float:
    """Return this process's memory that no file backs."""
    return float(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024


def pandas(folder: Path) -> None:
    """Read the file with pandas and train with LightGBM's defaults."""
    import lightgbm
    import pandas as pd

    frame = pd.read_parquet(folder / "v5.3" / "train.parquet")
    X, y = frame[[name for name in frame.columns if name.startswith("feature_")]], frame[TARGET]
    del frame
    watch = Watch()
    booster = lightgbm.train(
        {**SHAPE, "objective": "regression", "feature_fraction": 0.1, "deterministic": True, "verbosity": -1},
        lightgbm.Dataset(X, label=y),
        num_boost_round=TREES,
        callbacks=[lambda _: watch.tree()],
    )
    watch.report(booster.model_to_string())


def ours(folder: Path) -> None:
    """Train from the era store in place, as ``bot retrain`` does."""
    import numpy as np

    from bot.store import EraStore
    from models.gbm import GbmOptions, train_gbm

    store = EraStore.open(next((folder / "store").iterdir()))
    columns = store.select(store.manifest.features, (TARGET,))
    eras = [position for block in store.manifest.blocks if block.source == "train.parquet" for position in block.eras]
    positions = [store.eras.index(era) for era in eras]
    chunks = [columns.in_place(run) for run in columns.runs(positions)]
    y = np.concatenate([columns.target(position, TARGET) for position in positions])
    options = GbmOptions(
        num_trees=TREES, learning_rate=0.01, max_depth=5, num_leaves=31, colsample_bytree=0.1, seed=1, threads=2
    )
    watch = Watch()
    watch.report(train_gbm(chunks, y, options, columns.feature_names, lambda _done, _total: watch.tree()))


def main() -> None:
    """Measure both sides, print the table, and fail where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eras", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--role", choices=["pandas", "ours"])
    options = parser.parse_args()
    if options.role:
        {"pandas": pandas, "ours": ours}[options.role](options.folder)
        return
    from full_width import store

    with tempfile.TemporaryDirectory(prefix="lightgbm-") as scratch:
        folder = options.folder or Path(scratch)
        held = store(folder, options.eras)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        seen: dict[str, Any] = {}
        for role in ("pandas", "ours"):
            command = [sys.executable, __file__, "--role", role, "--folder", str(folder)]
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
            seen[role] = json.loads(output.splitlines()[-1])
        rows = sum(sum(block.rows) for block in held.manifest.blocks if block.source == "train.parquet")
    print(f"{rows:,} rows x {len(held.manifest.features):,} features, depth 5, 31 leaves, two threads")
    print(f"{'':<10}{'Dataset CPU s':>15}{'CPU s a tree':>14}{'Dataset MiB':>13}")
    for role, one in seen.items():
        print(f"{role:<10}{one['dataset_cpu_s']:>15.2f}{one['tree_cpu_s']:>14.3f}{one['dataset_mib']:>13.0f}")
    cpu = seen["pandas"]["tree_cpu_s"] / seen["ours"]["tree_cpu_s"]
    memory = seen["pandas"]["dataset_mib"] / seen["ours"]["dataset_mib"]
    same = seen["pandas"]["model"] == seen["ours"]["model"]
    print(f"a tree takes {cpu:.2f} times less (goal {CPU_GOAL}), the Dataset {memory:.1f} times (goal {MEMORY_GOAL})")
    print(f"models: {'identical' if same else 'different'}")
    if cpu < CPU_GOAL or memory < MEMORY_GOAL or not same:
        sys.exit("missed")


if __name__ == "__main__":
    main()
