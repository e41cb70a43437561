"""
CPU seconds of scores and neutralization, beside numerai-tools in the same process.

One thread, the fastest of several repeats; the two sides take turns. Eras have 5,500 rows with float32 predictions and
float64 targets, with ids as index; numerai-tools is called by ``groupby("era").apply``, as in its notebooks. ``uneven``
repeats CORR on eras of different sizes, each of which needs its own table of normal scores. Neutralization is to 2,376
features of one era; ``deficient`` has constant, repeated and negated features among them. Memory is that of a fresh
process that scores ten columns of files on disk, for few eras and for all of them.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from models.bins import TARGET_SHARES, TARGET_VALUES

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import measure
import numpy as np
import pandas as pd
from numerai_tools import scoring as official

from bot.scoring.metrics import corr_table, fnc_table, mmc_table
from bot.scoring.neutralize import neutralize

ROWS, FEATURES, COLUMNS, FEW = 5_500, 2_376, 10, 20
GOALS = {"CORR": 80.0, "MMC": 60.0, "uneven CORR": 40.0, "neutralize": 10.0, "deficient": 5.0}
WITHIN = {"CORR": 1e-12, "MMC": 1e-12, "uneven CORR": 1e-12, "neutralize": 1e-9, "deficient": 1e-9}


def least(repeats: int, *sides: Callable[[], object]) -> list[float]:
    """Return the fewest CPU seconds of each side; the sides take turns."""
    seconds = [np.inf] * len(sides)
    for _ in range(repeats):
        for index, side in enumerate(sides):
            began = time.process_time()
            side()
            seconds[index] = min(seconds[index], time.process_time() - began)
    return seconds


def period(eras: int, sizes: np.ndarray) -> pd.DataFrame:
    """Return predictions, meta model and targets of many eras."""
    rng = np.random.default_rng(1)
    rows = int(sizes.sum())
    y = rng.choice(TARGET_VALUES, size=rows, p=TARGET_SHARES)
    frame = pd.DataFrame({name: (0.1 * y + rng.normal(size=rows)).astype(np.float32) for name in ("p", "m")})
    frame["y"] = y
    frame["era"] = np.repeat([f"{era:04d}" for era in range(eras)], sizes)
    frame.index = pd.Index([f"n{number:015x}" for number in rng.permutation(rows)], name="id")
    return frame


def per_era(score: Callable[..., np.ndarray], eras: np.ndarray, *columns: np.ndarray) -> dict[str, np.ndarray]:
    """Score every era of columns whose rows are sorted by era."""
    starts = [0, *(np.flatnonzero(eras[1:] != eras[:-1]) + 1).tolist(), len(eras)]
    return {str(eras[start]): score(*(column[start:end] for column in columns)) for start, end in pairwise(starts)}


def scores(frame: pd.DataFrame, repeats: int, prefix: str = "") -> dict[str, tuple[float, float, float]]:
    """Return CPU seconds of both sides and their largest difference, by score."""
    p, m, y, eras = (frame[name].to_numpy() for name in ("p", "m", "y", "era"))
    sides: dict[str, tuple[Callable[[], dict[str, np.ndarray]], Callable[[pd.DataFrame], pd.Series]]] = {
        "CORR": (lambda: per_era(corr_table, eras, p, y), lambda era: official.numerai_corr(era[["p"]], era["y"])),
        "MMC": (
            lambda: per_era(mmc_table, eras, p, m, y),
            lambda era: official.correlation_contribution(era[["p"]], era["m"], era["y"]),
        ),
    }
    found = {}
    for name, (ours, one) in sides.items():
        if prefix and name != "CORR":
            continue
        scored: dict[str, np.ndarray] = {}
        few = frame[frame["era"].isin(frame["era"].unique()[:FEW])]

        def theirs(one: Callable[[pd.DataFrame], pd.Series] = one, kept: dict[str, np.ndarray] = scored) -> None:
            kept["scores"] = frame.groupby("era").apply(one)["p"].to_numpy()

        ours()
        few.groupby("era").apply(one)
        (mine,), (peer,) = least(repeats, ours), least(1, theirs)
        difference = np.abs(np.concatenate(list(ours().values())).ravel() - scored["scores"]).max()
        found[f"{prefix}{name}"] = (mine, peer, float(difference))
    return found


def neutralized(features: np.ndarray, repeats: int) -> tuple[float, float, float]:
    """Return CPU seconds of both sides for one column and one era, and their largest difference."""
    p = np.random.default_rng(3).normal(size=len(features)) + 0.05 * features[:, :20].sum(axis=1)
    frames = pd.DataFrame({"p": p}), pd.DataFrame(features)
    mine, peer = least(
        repeats, lambda: neutralize(p, features, proportion=0.7), lambda: official.neutralize(*frames, proportion=0.7)
    )
    expected = official.neutralize(*frames, proportion=0.7)["p"].to_numpy()
    return mine, peer, float(np.abs(neutralize(p, features, proportion=0.7) - expected).max())


def deficient(features: np.ndarray) -> np.ndarray:
    """Return the features with constant, repeated and negated ones, as in early eras and in feature families."""
    width = features.shape[1]
    poor = features.copy()
    poor[:, : width // 7] = 2
    poor[:, -width // 8 :] = poor[:, width // 3 : width // 3 + len(poor[0, -width // 8 :])]
    poor[:, width // 7 : width // 5] = 4 - poor[:, width // 2 : width // 2 + width // 5 - width // 7]
    return poor


def score_files(folder: Path, eras: int) -> None:
    """Score the first eras of the memory-mapped files in *folder*."""
    p, m, y, x = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "pmyx")
    for start in range(0, eras * ROWS, ROWS):
        era = slice(start, start + ROWS)
        corr_table(p[era], y[era])
        mmc_table(p[era], m[era], y[era])
        fnc_table(p[era], x[era], y[era])


def memory(folder: Path, eras: int) -> tuple[float, float, float]:
    """Return the peak MiB for few eras and for all of them, and the MiB of one era."""
    rng = np.random.default_rng(4)
    shapes = {"p": (eras * ROWS, COLUMNS), "m": (eras * ROWS,), "y": (eras * ROWS, 2), "x": (eras * ROWS, 42)}
    for name, shape in shapes.items():
        kind = np.int8 if name == "x" else np.float64
        made = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape)
        for start in range(0, len(made), ROWS):
            size = (ROWS, *shape[1:])
            made[start : start + ROWS] = rng.normal(size=size) if name in "pm" else rng.integers(0, 5, size=size)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    few, full = (
        measure.run([__file__, "--files", str(folder), "--eras", str(count)], environment).anonymous_mib
        for count in (FEW, eras)
    )
    return few, full, (ROWS * (COLUMNS + 1 + 2) * 8 + ROWS * 42) / 2**20


def main() -> None:
    """Measure, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eras", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of rows and features that is measured")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.files:
        score_files(options.files, options.eras)
        return
    rows, width = int(ROWS * options.scale), int(FEATURES * options.scale)
    sizes = np.full(options.eras, rows)
    uneven = np.random.default_rng(2).permutation(np.arange(options.eras)) + rows - options.eras // 2
    found = scores(period(options.eras, sizes), options.repeats)
    found |= scores(period(options.eras, uneven), options.repeats, "uneven ")
    features = np.random.default_rng(5).integers(0, 5, size=(rows, width), dtype=np.int8)
    found["neutralize"] = neutralized(features, 3)
    found["deficient"] = neutralized(deficient(features), 3)
    with tempfile.TemporaryDirectory(prefix="scoring-") as folder:
        few, full, one = memory(Path(folder), options.eras)
    print(f"{options.eras} eras x {rows:,} rows; {width:,} features of one era; CPU seconds, one thread")
    print(f"{'figure':<13}{'ours':>10}{'numerai-tools':>15}{'ratio':>8}{'goal':>7}{'difference':>12}{'goal':>9}")
    missed = full - few > one
    for name, (mine, peer, difference) in found.items():
        print(f"{name:<13}{mine:>10.4f}{peer:>15.3f}{peer / mine:>7.1f}x{GOALS[name]:>6.0f}x", end="")
        print(f"{difference:>12.1e}{WITHIN[name]:>9.0e}")
        missed |= peer / mine < GOALS[name] or difference > WITHIN[name]
    print(f"memory {full:.1f} MiB over {options.eras} eras, {few:.1f} over {FEW}: {full - few:+.1f} (goal {one:.1f})")
    if options.json:
        content = {name: dict(zip(("ours", "peer", "difference"), row, strict=True)) for name, row in found.items()}
        options.json.write_text(json.dumps({**content, "memory_mib": {"few": few, "all": full, "era": one}}, indent=2))
    if missed:
        sys.exit("missed")


if __name__ == "__main__":
    main()
