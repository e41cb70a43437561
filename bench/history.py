"""
CPU seconds of the table of feature returns, beside the bare matrix product that it needs.

Four targets, one thread, files in the page cache. The bound is ``y.T @ x`` of each era with x in float32, plus the cast from
int8 to float32, which every implementation needs.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from full_width import store
from measure import save

from bot.history.factor_history import HistoryState, feature_returns

V53_ERAS = 1231
TARGETS = ("target_ender_20", "target_ender_60", "target_jasper_60", "target_teager2b_60")
LOOKBACK, FILE_GOAL_MB = 52, 4.0


def main() -> None:
    """Measure, print the table, and fail if the published file is larger than its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="share of v5.3's 1,231 eras, all of them as wide")
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="history-") as scratch:
        held = store(options.folder or Path(scratch), options.scale)
        columns = held.select(held.manifest.features, TARGETS)
        spent = {"ours": 0.0, "cast": 0.0, "product": 0.0}
        positions = range(1, 41)
        for position in positions:
            features, targets = columns.features(position), columns.targets(position)
            int(features.max())
            began = time.process_time()
            feature_returns(features, targets)
            spent["ours"] += time.process_time() - began
            began = time.process_time()
            x = features.astype(np.float32)
            spent["cast"] += time.process_time() - began
            y = np.nan_to_num(targets).astype(np.float32)
            began = time.process_time()
            _ = y.T @ x
            spent["product"] += time.process_time() - began
        rows = int(np.mean(np.diff(held.offsets)))
        features_count = len(columns.feature_names)
    state = HistoryState(
        features=columns.feature_names,
        targets=TARGETS,
        window=np.zeros((LOOKBACK, features_count, len(TARGETS)), dtype=np.float32),
        newest_era=dict.fromkeys(TARGETS, "1217"),
        built_from_era="1231",
    )
    size = len(state.to_bytes()) / 1e6
    print(f"{rows:,} rows an era x {features_count:,} features x {len(TARGETS)} targets, one thread")
    for name, seconds in spent.items():
        an_era = seconds / len(positions)
        print(f"{name:<9}{an_era * 1000:>8.1f} ms CPU an era{an_era * V53_ERAS:>8.0f} s for {V53_ERAS:,} eras")
    bound = spent["cast"] + spent["product"]
    print(f"ours takes {spent['ours'] / bound:.1f} times cast and product together")
    table = V53_ERAS * features_count * len(TARGETS) * 4 / 2**20
    print(f"table in memory {table:.0f} MiB; published file of {LOOKBACK} eras {size:.2f} MB (goal {FILE_GOAL_MB})")
    save(options.json, {"cpu_s": spent, "eras": len(positions), "bound_ratio": spent["ours"] / bound, "file_mb": size})
    if size > FILE_GOAL_MB:
        sys.exit("missed")


if __name__ == "__main__":
    main()
