"""
CPU seconds to open the era store and read every feature of every era once, beside a bare mmap of the same bytes.

Each side is a fresh process on one thread with the files in the page cache; the fastest of several runs counts.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import run, save

GOAL = 2.0


def ours(folder: Path) -> None:
    """Open the store, and read all values of every era through it."""
    from bot.data.era_store import EraStore

    began = time.process_time()
    store = EraStore.open(folder)
    columns = store.select(store.manifest.features, ())
    opened = time.process_time() - began
    largest = max(int(columns.features(position).max()) for position in range(len(store.eras)))
    print(f"ours: opened in {opened * 1000:.1f} ms CPU; largest code {largest}")


def bare(folder: Path) -> None:
    """Map the same files, and read all of their bytes."""
    paths = sorted((folder / "blocks").glob("*.features"))
    largest = max(int(np.memmap(path, dtype=np.int8, mode="r").max()) for path in paths)
    print(f"bare: largest code {largest}")


def main() -> None:
    """Measure both sides, print the table, and fail if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="share of v5.3's 1,231 eras, all of them as wide")
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--role", choices=["ours", "bare"])
    options = parser.parse_args()
    if options.role:
        {"ours": ours, "bare": bare}[options.role](options.folder)
        return
    from full_width import store

    with tempfile.TemporaryDirectory(prefix="open-") as scratch:
        held = store(options.folder or Path(scratch), options.scale)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        spent = {
            role: min(
                run([__file__, "--role", role, "--folder", str(held.folder)], environment).cpu_s
                for _ in range(options.runs)
            )
            for role in ("bare", "ours")
        }
        size = sum(path.stat().st_size for path in (held.folder / "blocks").glob("*.features"))
    print(f"\n{size / 1e9:.2f} GB of features, {len(held.eras)} eras, CPU s of the whole process")
    print(
        f"bare mmap {spent['bare']:.2f}, ours {spent['ours']:.2f}, ratio {spent['ours'] / spent['bare']:.2f} (goal {GOAL})"
    )
    save(options.json, {"bytes": size, "cpu_s": spent, "goal": GOAL})
    if spent["ours"] > GOAL * spent["bare"]:
        sys.exit("missed")


if __name__ == "__main__":
    main()
