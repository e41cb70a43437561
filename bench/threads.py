"""
Rows that training gets through in a CPU second: quiet, beside six busy processes, and within a quota of half a core.

Each figure is the median of several processes that train the standard recipe's row mixer, and LightGBM, on made rows. ``bot``
has the variables of :func:`bot.system.cores.limit_threads`, ``libraries`` what the libraries choose themselves. CPU seconds
are those of all threads of the process. The variants alternate, because other processes may use the machine too.

The quota needs the right to make a cgroup: root, and a writable ``/sys/fs/cgroup``. Without it these lines are left out.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

BUSY = 6
GOALS = {"busy": 0.8, "half": 0.9}
"""Least share of the quiet figure."""
CGROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
SHARE = 0.5
WORK = ("network", "trees")
FEATURES, ROWS = 150, 500


def child(work: str, seconds: float) -> None:
    """Train in this process for some CPU seconds; print rows per CPU second and per second, and the threads."""
    import numpy as np
    import torch
    from live_inputs import standard_manifest, standard_network
    from made_eras import MadeEras

    from models.stopping import TrainingStopped
    from models.training.training import TrainingOptions, train
    from models.trees.gbm import GbmOptions, train_gbm

    config = standard_network(standard_manifest(FEATURES), "row")
    eras = MadeEras(config, 4, ROWS)
    ends = []

    def enough() -> bool:
        ends.append((time.process_time(), time.perf_counter()))
        return ends[-1][0] - ends[0][0] > seconds

    with contextlib.suppress(TrainingStopped):
        if work == "network":
            options = TrainingOptions(
                main_target=config.targets[0], epochs=9_999, device="cpu", precision="float32", evaluations_per_epoch=1
            )
            train(config, eras, MadeEras(config, 0), options, score=lambda *_: 0.0, should_stop=enough)
        else:
            codes = [[*np.ascontiguousarray(eras.batch(index).features.T)] for index in range(4)]
            y = np.concatenate([eras.batch(index).targets[:, 0] for index in range(4)])
            names = [f"f{index}" for index in range(FEATURES)]
            size = {"max_depth": 5, "num_leaves": 31, "colsample_bytree": 0.1}
            grown = GbmOptions(num_trees=99_999, learning_rate=0.01, seed=1, **size)
            train_gbm(codes, y, grown, names, should_stop=enough)
    rows = (len(ends) - 1) * (ROWS if work == "network" else 4 * ROWS)
    cpu, wall = (last - first for first, last in zip(ends[0], ends[-1], strict=True))
    print(json.dumps({"cpu": rows / cpu, "wall": rows / wall, "threads": torch.get_num_threads()}))


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep *count* processes busy."""
    others = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in others:
            one.kill()
            one.wait()


@contextlib.contextmanager
def quota(share: float) -> Iterator[Path | None]:
    """Yield the folder of a cgroup with a quota of *share* of a core; ``None`` where none can be made."""
    name, limit = f"bench-threads-{os.getpid()}", str(int(share * PERIOD_US))
    second = (CGROUPS / "cgroup.controllers").exists()
    folder = (CGROUPS if second else CGROUPS / "cpu") / name
    try:
        folder.mkdir()
        if second:
            (folder / "cpu.max").write_text(f"{limit} {PERIOD_US}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(limit)
    except OSError as error:
        print(f"no quota here: {error}")
        with contextlib.suppress(OSError):
            folder.rmdir()
        yield None
        return
    try:
        yield folder
    finally:
        folder.rmdir()


def measure(work: str, seconds: float, *, ours: bool, cgroup: Path | None) -> dict[str, float]:
    """Return the figures of one process."""
    # A shell enters the cgroup before the interpreter starts.
    enter = f"echo $$ > {cgroup}/cgroup.procs; " if cgroup else ""
    flags = ["--work", work, "--seconds", str(seconds), *(["--limited"] if ours else [])]
    pools = ("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(pools)}
    output = subprocess.run(
        ["/bin/sh", "-c", f'{enter}exec "$@"', "sh", sys.executable, __file__, *flags],
        env={**plain, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def line(name: str, one: dict[str, float], share: float, goal: float | None) -> str:
    """Return a line of the table."""
    return f"{name:<28}{one['threads']:>8.0f}{one['cpu']:>12,.0f}{one['wall']:>12,.0f}{share:>10.2f}{goal or '':>7}"


def table(*, runs: int, seconds: float) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Measure and print every line; return the figures, and the lines that miss their goal."""
    found: dict[str, dict[str, float]] = {}
    missed: list[str] = []
    for place in ("quiet", "busy", "half"):
        with (
            busy(BUSY if place == "busy" else 0),
            quota(SHARE) if place == "half" else contextlib.nullcontext() as cgroup,
        ):
            if place == "half" and cgroup is None:
                continue
            for work in WORK:
                sides: dict[bool, list[dict[str, float]]] = {True: [], False: []}
                for _ in range(runs):
                    for ours, measured in sides.items():
                        measured.append(measure(work, seconds, ours=ours, cgroup=cgroup))
                for ours, measured in sides.items():
                    name = f"{work} {place} {'bot' if ours else 'libraries'}"
                    found[name] = {key: median(one[key] for one in measured) for key in measured[0]}
                    share = found[name]["cpu"] / found[f"{work} quiet {'bot' if ours else 'libraries'}"]["cpu"]
                    goal = GOALS.get(place) if ours else None
                    missed += [name] if goal and share < goal else []
                    print(line(name, found[name], share, goal), flush=True)
    return found, missed


def main() -> None:
    """Measure, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU seconds of each process")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--limited", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        if options.limited:
            from bot.system.cores import limit_threads

            limit_threads(os.environ)
        child(options.work, options.seconds)
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; median of {options.runs}")
    print(f"{'':<28}{'threads':>8}{'rows/CPU s':>12}{'rows/s':>12}{'to quiet':>10}{'goal':>7}")
    found, missed = table(runs=options.runs, seconds=options.seconds)
    if options.json:
        options.json.write_text(json.dumps({"measured": found, "missed": missed}, indent=1), encoding="utf-8")
    if missed:
        sys.exit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
