"""
CPU seconds and memory of ridge regression over the era store, beside numpy's bare product.

Each side is a fresh process on one thread. It reads the same eras of all 3,555 features. The bound is the cast to float32
and ``x.T @ x`` of each era, which every solution by normal equations needs. Ours adds centring, the product with two
targets, the sum in float64, and the solution. Memory is the peak that no file backs, less that of a process which only
opens the store. The whole history needs the same memory; its time is calculated.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
V53_ERAS = 1231
TARGETS = ("target_ender_20", "target_ender_60")
ALPHA = 0.01
CPU_GOAL, MEMORY_GOAL = 1.25, 3.0


def columns(folder: Path):  # noqa: ANN201 - bot is imported only where it is measured
    """Return the store's columns, and the positions of its eras in which the first target is known."""
    from bot.data.era_store import EraStore

    store = EraStore.open(next((folder / "store").iterdir()))
    selected = store.select(store.manifest.features, TARGETS)
    return selected, [one for one, known in enumerate(selected.labelled(TARGETS[0])) if known]


def opened(folder: Path) -> None:
    """Only open the store."""
    import numpy as np

    selected, positions = columns(folder)
    print(f"{len(positions):,} eras, {int(np.diff(selected.offsets)[positions].sum()):,} rows")


def product(folder: Path) -> None:
    """Multiply every era by itself with numpy."""
    import numpy as np

    selected, positions = columns(folder)
    for position in positions:
        x = selected.features(position).astype(np.float32)
        _ = x.T @ x


def ridge(folder: Path) -> None:
    """Fit two targets."""
    import numpy as np

    from models.linear.ridge import LinearRows, fit_ridge

    selected, positions = columns(folder)

    def eras():  # noqa: ANN202 - a generator of LinearRows
        for position in positions:
            codes = selected.features(position)
            made = np.empty((len(codes), 0), dtype=np.float32)
            yield LinearRows(features=codes, engineered=made, labels=selected.targets(position))

    model = fit_ridge(eras(), selected.feature_names, TARGETS, alpha=ALPHA)
    (folder / "linear.npz").write_bytes(model.to_bytes())


ROLES = {"opened": opened, "product": product, "ridge": ridge}


def main() -> None:
    """Measure every side, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.05, help="share of v5.3's 1,231 eras, all of them as wide")
    parser.add_argument("--folder", type=Path, help="keep the world here and use it again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role](options.folder)
        return
    from full_width import store
    from measure import run, save

    with tempfile.TemporaryDirectory(prefix="linear-") as scratch:
        folder = options.folder or Path(scratch)
        eras = len(store(folder, options.scale).eras)
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment = {**os.environ, **one_thread, "PYTHONPATH": str(ROOT)}
        spent = {role: run([__file__, "--role", role, "--folder", str(folder)], environment) for role in ROLES}
        size = (folder / "linear.npz").stat().st_size / 2**20
    base = spent["opened"]
    lines = [
        ("CPU s", *(spent[role].cpu_s - base.cpu_s for role in ("product", "ridge")), CPU_GOAL),
        ("MiB", *(spent[role].anonymous_mib - base.anonymous_mib for role in ("product", "ridge")), MEMORY_GOAL),
    ]
    lines += [(f"CPU s, {V53_ERAS:,} eras, calculated", *(one * V53_ERAS / eras for one in lines[0][1:3]), None)]
    missed = []
    print(f"\n{'figure':<36}{'product':>9}{'ours':>9}{'ratio':>8}{'goal':>7}")
    for name, theirs, own, goal in lines:
        print(f"{name:<36}{theirs:>9.1f}{own:>9.1f}{own / theirs:>8.2f}{goal or '':>7}")
        missed += [name] if goal and own / theirs > goal else []
    print(f"\nfile of {len(TARGETS)} targets: {size:.2f} MiB")
    save(options.json, {"lines": lines, "file_mib": size, "missed": missed})
    if missed:
        sys.exit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
