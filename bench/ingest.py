"""
CPU seconds and memory to make the history trainable from parquet files: pandas, pyarrow and the era store.

Each side is a fresh process: ``pandas.read_parquet`` of both files; ``pyarrow.parquet.read_table`` of both; the era store
of ``bot sync``, written and synced to disk. The world has v5.3's 3,555 features and a share ``--scale`` of its 1,231 eras
(1 takes about an hour and 35 GB of disk).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from full_width import FILES, world
from measure import run, save

V53_ROWS, V53_COLUMNS = 6_853_308, 41
CPU_GOAL, MEMORY_GOAL, FULL_GOAL_MIB = 1 / 2, 1 / 12, 2048


def pandas(folder: Path) -> None:
    """Load both files as data frames."""
    import pandas as pd

    frames = [pd.read_parquet(folder / "v5.3" / name) for name in FILES]
    print(f"pandas: {sum(map(len, frames)):,} rows")


def pyarrow(folder: Path) -> None:
    """Load both files as tables."""
    import pyarrow.parquet as pq

    tables = [pq.read_table(folder / "v5.3" / name) for name in FILES]
    print(f"pyarrow: {sum(table.num_rows for table in tables):,} rows")


def ours(folder: Path) -> None:
    """Convert both files to the era store."""
    from bot.data.ingest import update

    store = update(folder / "store", [folder / "v5.3" / name for name in FILES], version="v5.3")
    print(f"ours: {store.offsets[-1]:,} rows")


def main() -> None:
    """Measure every side, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1, help="share of v5.3's 1,231 eras, all of them as wide")
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--role", choices=["pandas", "pyarrow", "ours"])
    options = parser.parse_args()
    if options.role:
        {"pandas": pandas, "pyarrow": pyarrow, "ours": ours}[options.role](options.folder)
        return
    with tempfile.TemporaryDirectory(prefix="ingest-") as scratch:
        folder = options.folder or Path(scratch)
        world(folder, options.scale)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        spent = {
            role: run([__file__, "--role", role, "--folder", str(folder)], environment)
            for role in ("pandas", "pyarrow", "ours")
        }
        from bot.data.era_store import EraStore

        store = EraStore.open(next((folder / "store").iterdir()))
        rows, features = int(store.offsets[-1]), len(store.manifest.features)
    print(f"\n{rows:,} rows x {features:,} features, {rows * features / 1e9:.2f} GB as int8; {os.cpu_count()} cores")
    print(f"{'side':<10}{'CPU s':>9}{'of pandas':>11}{'anonymous MiB':>15}{'of pandas':>11}")
    for role, (cpu, memory) in spent.items():
        shares = cpu / spent["pandas"].cpu_s, memory / spent["pandas"].anonymous_mib
        print(f"{role:<10}{cpu:>9.2f}{shares[0]:>11.3f}{memory:>15.0f}{shares[1]:>11.3f}")
    # Beyond one row group, memory grows only with the ids and targets of one file at a time.
    more = (V53_ROWS - rows) * (4 * V53_COLUMNS + 16) / 2**20
    print(f"extrapolated to v5.3 ({V53_ROWS:,} rows): ours at most {spent['ours'].anonymous_mib + more:.0f} MiB")
    missed = [
        name
        for name, value, goal in (
            ("CPU", spent["ours"].cpu_s / spent["pandas"].cpu_s, CPU_GOAL),
            ("memory", spent["ours"].anonymous_mib / spent["pandas"].anonymous_mib, MEMORY_GOAL),
            ("memory at full size", spent["ours"].anonymous_mib + more, FULL_GOAL_MIB),
        )
        if value > goal
    ]
    save(options.json, {role: one._asdict() for role, one in spent.items()} | {"rows": rows, "missed": missed})
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
