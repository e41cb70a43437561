"""
What the first day would take in the way of example notebooks, calculated from rates of a part of a world.

The work is that of ``first_day.py`` with the recipe `standard`: the whole files, 2,000 trees and the network on the eras before
the hold-out, and both again on all eras. Scores on the hold-out are not counted. The tools are those of ``notebook_way.py``, pandas, LightGBM and
torch's DataLoader, with the threads that they choose themselves. A DataLoader mixes rows of all eras, so the network is the
row-wise one. Every rate is measured on some eras and applied to the rows of all. Memory is that of the largest arrays that such
a script holds at once; it is calculated, because the script does not fit into the machine.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from measure import save
from notebook_way import BATCH, HISTORY, TARGET, TREES, features_of, histories, returns_by_era
from torch.utils.data import DataLoader, TensorDataset

from models.network.network import Network
from models.network.network_config import NetworkConfig

ESTIMATORS, EPOCHS, LOOKBACK, TARGETS, HOLDOUT = 2_000, 3, 52, 10, 104
"""Trees, epochs, steps of the history and targets of the recipe `standard`, and eras of its hold-out."""

EMBARGO = 16
"""Eras between training and hold-out, as in ``notebook_way.py``."""

FEW_TREES, MORE_TREES, STEPS = 10, 30, 6
"""Trees of the two fits whose difference is the time of a tree, and batches of the network that are timed."""


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds of some work, and its result."""
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def read_eras(folder: Path, features: list[str], every: int) -> tuple[pd.DataFrame, list[int], int]:
    """Return every so many eras of both files; the rows of every era; and the bytes of all files."""
    columns = ["era", *features, *HISTORY]
    paths = [folder / "train.parquet", folder / "validation.parquet"]
    eras = pd.concat([pd.read_parquet(path, columns=["era"])["era"] for path in paths])
    rows = eras.value_counts().sort_index()
    chosen = list(rows.index[::every])
    parts = [pq.read_table(path, columns=columns, filters=[("era", "in", chosen)]).to_pandas() for path in paths]
    return pd.concat(parts), rows.to_list(), sum(path.stat().st_size for path in folder.glob("*.parquet"))


def reading_s(folder: Path, features: list[str]) -> float:
    """Return the seconds a row in which pandas reads the columns: two row groups of the training file."""
    file = pq.ParquetFile(folder / "train.parquet")
    groups = list(range(min(2, file.num_row_groups)))
    seconds, frame = timed(lambda: file.read_row_groups(groups, columns=["era", *features, *HISTORY]).to_pandas())
    return seconds / len(frame)


def trees_s(x: pd.DataFrame, y: np.ndarray) -> tuple[float, float]:
    """Return the seconds a row that LightGBM needs before the first tree, and those a row and a tree."""

    def fit(trees: int) -> object:
        return lightgbm.LGBMRegressor(n_estimators=trees, verbosity=-1, **TREES).fit(x, y)

    few, more = timed(lambda: fit(FEW_TREES))[0], timed(lambda: fit(MORE_TREES))[0]
    slope = max(more - few, 0.0) / (MORE_TREES - FEW_TREES)
    return max(few - FEW_TREES * slope, 0.0) / len(x), slope / len(x)


def network_s(x: np.ndarray, groups: list[list[int]]) -> float:
    """Return the seconds a row of one epoch: batches of a DataLoader, gradients and steps of the row-wise default network."""
    names = tuple(f"target_{number}" for number in range(TARGETS))
    config = NetworkConfig(
        features=x.shape[1], targets=names, lookback=LOOKBACK, groups=tuple(map(tuple, groups)), history_targets=len(HISTORY)
    )  # fmt: skip
    network = Network(config)
    rows = min(BATCH * STEPS, len(x))
    history = torch.randn(rows, LOOKBACK, len(groups) * len(HISTORY))
    data = TensorDataset(torch.tensor(x[:rows]), history, torch.randint(0, 5, (rows, TARGETS)))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.001)

    def epoch() -> None:
        for codes, past, labels in DataLoader(data, batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            logits = network.from_history(codes, None, past)
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
            optimizer.step()

    epoch()  # the first one allocates
    return timed(epoch)[0] / rows


def main() -> None:
    """Measure the rates and print the calculated day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, required=True, help="folder of a world that was kept")
    parser.add_argument("--every", type=int, default=25, help="measure on every so many eras")
    parser.add_argument("--mb-per-s", type=float, default=20.0, help="speed of the server in MB/s")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    (folder,) = options.world.glob("v*")
    features, groups = features_of(folder)
    frame, rows, size = read_eras(folder, features, options.every)
    returns_s, returns = timed(lambda: returns_by_era(frame, features))
    histories_s, _ = timed(lambda: histories(frame, features, groups, returns))
    known = frame[TARGET].notna().to_numpy()
    x, y = frame.loc[known, features], frame.loc[known, TARGET].to_numpy()
    dataset_s, tree_s = trees_s(x, y)
    epoch_s = network_s(x.to_numpy(), groups)
    every_row, judged = sum(rows), sum(rows[: -HOLDOUT - EMBARGO])
    fitted = every_row + judged
    steps = {
        "download": size / (options.mb_per_s * 1e6),
        "pandas reads both files": reading_s(folder, features) * every_row,
        "returns and histories": (returns_s + histories_s) / len(frame) * every_row,
        "LightGBM, two fits": (dataset_s + tree_s * ESTIMATORS) * fitted,
        "network, two fits": epoch_s * EPOCHS * fitted,
    }
    arrays = {
        "frame": every_row * (len(features) + 4 * len(HISTORY) + 8),
        "LightGBM's copy as float32": every_row * len(features) * 4,
        "histories as float32": every_row * LOOKBACK * len(groups) * len(HISTORY) * 4,
    }
    print(f"{len(rows):,} eras, {every_row:,} rows, {len(features)} features; rates of {len(frame):,} rows")
    for name, seconds in steps.items():
        print(f"{name:<28}{seconds:>10,.0f} s")
    print(f"{'all':<28}{sum(steps.values()):>10,.0f} s = {sum(steps.values()) / 3600:.1f} h")
    for name, amount in arrays.items():
        print(f"{name:<28}{amount / 2**30:>10.1f} GiB")
    save(options.json, {"steps": steps, "bytes": arrays, "rows": every_row, "measured": len(frame)})


if __name__ == "__main__":
    main()
