"""
The history in a notebook: ``pandas.read_parquet`` of everything, and the era store, at `small`, `medium` and `all`.

Each side is a fresh process that does the same: read eras, features and the main target, and compute every feature's
return in every era (centred codes times the target). The sums of both sides are compared. pandas reads the parquet files
into one frame, as Numerai's notebooks do, and groups it by era; the store was made before, once, by what `bot sync` does,
and that is a line of its own. The world has v5.3's 3,555 features and a share ``--scale`` of its 1,231 eras.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from full_width import FILES, store, world
from measure import run, save

TARGET = "target_ender_60"
SETS = ("small", "medium", "all")
CPU_GOAL, MEMORY_GOAL = 1.0, 1 / 3
"""Largest share of pandas' CPU seconds, but at `small`, where imports are most of both, and of its memory, at `all`."""


def names_of(folder: Path, feature_set: str) -> list[str]:
    """Return the features of a set."""
    content = json.loads((folder / "v5.3" / "features.json").read_text(encoding="utf-8"))
    return list(content["feature_sets"][feature_set])


def returns_of(codes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the feature returns of one era from the rows whose target is known."""
    known = np.isfinite(target)
    if not known.any():
        return np.zeros(codes.shape[1], dtype=np.float32)
    values = target[known] - target[known].mean()
    return values.astype(np.float32) @ codes[known].astype(np.float32)


def pandas(folder: Path, features: list[str]) -> tuple[int, float]:
    """Return rows and the sum of absolute returns, from one frame of everything."""
    import pandas as pd

    columns = ["era", TARGET, *features]
    frame = pd.concat([pd.read_parquet(folder / "v5.3" / name, columns=columns) for name in FILES])
    total = 0.0
    for _, era in frame.groupby("era"):
        total += float(np.abs(returns_of(era[features].to_numpy(), era[TARGET].to_numpy())).sum())
    return len(frame), total


def ours(folder: Path, features: list[str]) -> tuple[int, float]:
    """Return rows and the sum of absolute returns, era by era from the store."""
    from bot.data.era_store import EraStore
    from bot.data.store_views import era_arrays

    place = EraStore.newest(folder / "store", "v5.3")
    columns = EraStore.open(place).select(features, (TARGET,))
    total = 0.0
    for position in range(len(columns.eras)):
        era = era_arrays(columns, position)
        total += float(np.abs(returns_of(era.features, era.targets[:, 0])).sum())
    return int(columns.offsets[-1]), total


def side(role: str, feature_set: str, folder: Path) -> None:
    """Do the work of one side in this process; write the result and the seconds that it took."""
    began = time.perf_counter()
    if role == "made":
        rows, total = int(store(folder, 1.0).offsets[-1]), 0.0
    else:
        rows, total = {"pandas": pandas, "ours": ours}[role](folder, names_of(folder, feature_set))
    result = {"rows": rows, "total": total, "wall_s": time.perf_counter() - began}
    (folder / f"{role}-{feature_set}.json").write_text(json.dumps(result), encoding="utf-8")


def main() -> None:
    """Measure both sides at every set, print the table, and fail if a goal is missed or the sums differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.02, help="share of v5.3's 1,231 eras, all of them as wide")
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--role", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        side(*options.role, options.folder)
        return
    figures: dict[str, object] = {}
    missed = []
    with tempfile.TemporaryDirectory(prefix="store-") as scratch:
        folder = options.folder or Path(scratch)
        world(folder, options.scale)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}

        def measured(role: str, feature_set: str) -> dict[str, float]:
            spent = run([__file__, "--folder", str(folder), "--role", role, feature_set], environment)
            result = json.loads((folder / f"{role}-{feature_set}.json").read_text(encoding="utf-8"))
            figures[f"{role} {feature_set}"] = {**result, **spent._asdict()}
            return {**result, **spent._asdict()}

        made = measured("made", "all")
        print(
            f"{made['rows']:,} rows; making the store, once: {made['cpu_s']:.1f} CPU s, {made['anonymous_mib']:.0f} MiB"
        )
        print(
            f"{'set':<8}{'features':>9}{'side':>8}{'wall s':>9}{'CPU s':>8}{'of pandas':>11}{'MiB':>8}{'of pandas':>11}"
        )
        for feature_set in SETS:
            theirs = measured("pandas", feature_set)
            for role, one in (("pandas", theirs), ("store", measured("ours", feature_set))):
                cpu, memory = one["cpu_s"] / theirs["cpu_s"], one["anonymous_mib"] / theirs["anonymous_mib"]
                count = len(names_of(folder, feature_set))
                print(
                    f"{feature_set:<8}{count:>9,}{role:>8}{one['wall_s']:>9.2f}{one['cpu_s']:>8.2f}{cpu:>11.2f}"
                    f"{one['anonymous_mib']:>8.0f}{memory:>11.2f}"
                )
            if not np.isclose(one["total"], theirs["total"], rtol=1e-4):
                missed.append(f"the same sums at {feature_set}")
            missed += [f"CPU at {feature_set}"] * (feature_set != SETS[0] and cpu > CPU_GOAL)
        missed += [f"memory at {feature_set}"] * (memory > MEMORY_GOAL)
    save(options.json, {**figures, "missed": missed})
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
