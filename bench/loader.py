"""
Speed of batches of one era for torch: int8 from the era store as in training, beside a DataLoader over rows.

Ours are preprocessed batches of a training set, copied into memory that is reused, as pinned memory is. Both sides run in
this process on one thread, with files in the page cache, after one warm-up, in which eras are searched for missing
values. The unit is thousand rows per CPU second.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from full_width import store
from measure import save
from torch.utils.data import DataLoader, Dataset
from torch.utils.dlpack import from_dlpack

from bot.features.preprocess import Preprocess
from bot.training.training_set import TrainingSet

GOAL_KROWS, GOAL_RATIO = 2000.0, 20.0
WARM, ERAS, BATCH, ROWS = 1, 12, 4096, 16_384


class PerRow(Dataset[tuple[torch.Tensor, float]]):
    """One row at a time from an array in memory, as in tutorials."""

    def __init__(self, features: np.ndarray, targets: np.ndarray) -> None:
        self.features, self.targets = features, targets

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.features)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, float]:
        """Return one row as float32, and its target."""
        return torch.from_numpy(self.features[index]).to(torch.float32), float(self.targets[index])


def rate(batches: Callable[[], int]) -> float:
    """Return thousand rows per CPU second of *batches*, which returns the number of its rows."""
    began = time.process_time()
    rows = batches()
    return rows / (time.process_time() - began) / 1e3


def main() -> None:
    """Measure, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="share of v5.3's 1,231 eras, all of them as wide")
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loader-") as scratch:
        held = store(options.folder or Path(scratch), options.scale)
        columns = held.select(held.manifest.features, ("target_ender_60",))
        data = TrainingSet.build(
            columns,
            Preprocess(features=columns.feature_names, groups={}),
            targets=columns.target_names,
            history_targets=(),
            lookback=0,
        )
        source = data.eras(range(WARM, WARM + ERAS))
        buffer = torch.empty(len(columns.feature_names) * 8192, dtype=torch.int8)

        def eras() -> int:
            rows = 0
            for index in range(ERAS):
                batch = from_dlpack(source.batch(index).features).T
                rows += buffer[: batch.numel()].view(batch.shape).copy_(batch).shape[1]
            return rows

        first = np.concatenate([columns.features(position) for position in range(WARM, WARM + 3)])[:ROWS]
        targets = np.concatenate([columns.target(position, "target_ender_60") for position in range(WARM, WARM + 3)])
        loader = DataLoader(PerRow(np.ascontiguousarray(first), targets[:ROWS]), batch_size=BATCH, shuffle=True)
        eras()
        ours = max(rate(eras) for _ in range(5))
        theirs = max(rate(lambda: sum(len(features) for features, _ in loader)) for _ in range(2))
    print(f"{len(columns.feature_names):,} features, one thread, krows per CPU second")
    print(
        f"era batches, int8 {ours:,.0f} (goal {GOAL_KROWS:,.0f}); DataLoader per row, float32 {theirs:,.1f};", end=" "
    )
    print(f"ratio {ours / theirs:.0f} (goal {GOAL_RATIO:.0f})")
    save(
        options.json, {"krows_per_cpu_s": ours, "per_row_loader": theirs, "goal": GOAL_KROWS, "goal_ratio": GOAL_RATIO}
    )
    if ours < GOAL_KROWS or ours < GOAL_RATIO * theirs:
        sys.exit("missed")


if __name__ == "__main__":
    main()
