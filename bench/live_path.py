"""
CPU seconds and memory of a cold submission at full width, beside a plain script in the way of example notebooks.

Each side is a fresh process on one thread. Measured are CPU seconds from process start to the CSV on disk, and peak
resident memory:

- ``plain``: pandas, the lightgbm package, torch eager and numerai-tools.
- ``ours``: the code of ``bot submit`` from the live file to the CSV, without a connection.
- ``submit``: ``bot submit --round latest`` against a sandbox, with numerapi and the download, up to the CSV, and up to the
  confirmed receipt (Numerai's validation in a child process, upload and read-back).

All three use the same live file, network weights and trees, and must rank the rows alike.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SLOT = "sandbox_mixer"
PEAK_MIB = 600
SWAPS = 1e-2
"""Largest rank difference. Ranks may differ a little, because a standard deviation that the plain script rounds differently
can be on the other side of a tree's threshold; a wrong network or tree makes a difference of .3 and more."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def ours(folder: Path, csv: Path) -> None:
    """Score the live file with the champion, with the code of ``bot submit``."""
    from bot.data.live_file import read_live
    from bot.members.rows import RawRows
    from bot.serving.artifacts import ArtifactStore
    from bot.serving.scorer import Scorer
    from bot.submission.submission_file import render

    store = ArtifactStore(folder / "state" / "artifacts")
    scorer = Scorer(store.open(store.champions("standard")[0]))
    live = read_live(folder / "datasets" / "v5.3" / "live.parquet")
    rows = RawRows(names=live.names, values=live.values, history=scorer.history)
    csv.write_bytes(render(live.ids, scorer.score(rows).predictions))
    loaded = {"torch", "sklearn", "scipy.stats"}.intersection(sys.modules)
    if loaded:
        sys.exit(f"the live path loaded {', '.join(sorted(loaded))}")


def plain(folder: Path, csv: Path) -> None:
    """Score the live file as example notebooks do: pandas in, torch and lightgbm, numerai-tools, pandas out."""
    import lightgbm as lgb
    import numpy as np
    import pandas as pd
    import torch
    from numerai_tools.scoring import gaussian, tie_kept_rank

    from bot.history.factor_history import HistoryState
    from models.bins import CORR_VALUES
    from models.network.network import Network
    from models.network.network_config import NetworkConfig

    torch.set_num_threads(1)
    live = pd.read_parquet(folder / "datasets" / "v5.3" / "live.parquet").set_index("id")
    manifest = json.loads((folder / "models" / "preprocess.json").read_text())
    features = manifest["features"]
    X = live[features].astype(np.float32)
    made = {}
    for group, positions in manifest["groups"]:
        block = X.iloc[:, positions]
        made[f"{group}_mean"], made[f"{group}_std"] = block.mean(axis=1), block.std(axis=1, ddof=0)
        made[f"{group}_extremes"] = ((block == 0) | (block == 4)).sum(axis=1)
    config = NetworkConfig.from_json(json.loads((folder / "network.json").read_text()))
    network = Network(config).eval()
    network.load_state_dict(torch.load(folder / "network.pt"))
    booster = lgb.Booster(model_file=folder / "models" / "gbm.txt")
    order = [name for name in booster.feature_name() if name not in set(features)]
    engineered = engineered_in_order(made, order)
    window = torch.from_numpy(HistoryState.from_bytes((folder / "models" / "history.npz").read_bytes()).window)
    centred = torch.tensor(X.to_numpy()) - 2
    history = plain_history(centred, window, manifest["groups"])
    with torch.no_grad():
        codes = torch.tensor(live[features].to_numpy())
        logits = network.from_history(codes, torch.from_numpy(engineered), history)
    main = list(config.targets).index("target_ender_60")
    scores = torch.softmax(logits[:, main], dim=-1) @ torch.tensor(CORR_VALUES, dtype=torch.float32)
    trees = booster.predict(np.concatenate([X.to_numpy(), engineered], axis=1))
    members = pd.DataFrame({"tsmixer": scores.numpy(), "gbm": trees}, index=live.index)
    blended = gaussian(tie_kept_rank(members)).mean(axis=1)
    ranked = (blended.rank(method="average") / (len(blended) + 1)).rename("prediction")
    ranked.to_frame().reset_index().to_csv(csv, index=False)


def engineered_in_order(made: dict[str, Any], order: list[str]) -> Any:  # noqa: ANN401 - arrays, imported late
    """Return the aggregates in the models' order; their names are ``group_<family>_<group>``."""
    import numpy as np

    columns = []
    for name in order:
        _, family, group = name.split("_", 2)
        columns.append(np.asarray(made[f"{group}_{family}"], dtype=np.float32))
    return np.stack(columns, axis=1)


def plain_history(centred: Any, window: Any, groups: list[list[Any]]) -> Any:  # noqa: ANN401 - tensors, imported late
    """Return the lagged factor scores with one einsum per group, for all rows at once."""
    import torch

    from bot.history.factor_history import SCALE

    parts = [
        torch.einsum("nf,lft->nlt", centred[:, positions], window[:, positions, :]) / len(positions) ** 0.5
        for _, positions in groups
    ]
    return torch.cat(parts, dim=-1) * SCALE


def submit(folder: Path, csv: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run ``bot submit`` against a sandbox that serves the live file; return the result of :func:`run_process`."""
    from bot.sandbox.clock import SandboxClock
    from bot.sandbox.server import Sandbox
    from bot.sandbox.tournament import DEMO_ACCOUNT

    clock = SandboxClock(datetime(2026, 11, 24, 12, 1, tzinfo=UTC), rate=0)
    with Sandbox(folder / "datasets", clock=clock) as sandbox:
        settings = {
            "NUMERAI_PUBLIC_ID": DEMO_ACCOUNT.public_id,
            "NUMERAI_SECRET_KEY": DEMO_ACCOUNT.secret_key,
            "BOT_API_URL": sandbox.url,
            "BOT_STATE_DIR": str(folder / "state"),
            "BOT_MODE": "live",
            "BOT_MAX_EXPOSURE": "1",
        }
        rounds = folder / "state" / "rounds"
        sent = rounds / str(sandbox.tournament.schedule.first_round) / SLOT / "predictions.csv"
        spent = run_process(["-m", "bot", "submit", "--round", "latest"], {**environment, **settings}, watched=sent)
    csv.write_bytes(sent.read_bytes())
    shutil.rmtree(rounds)
    for ledger in (folder / "state").glob("ledger*"):
        ledger.unlink()
    return spent


def run_process(arguments: list[str], environment: dict[str, str], *, watched: Path | None = None) -> dict[str, float]:
    """
    Run this interpreter in a fresh process.

    Returns:
        ``cpu_s`` of the process and its children, ``to_file_s`` of the process until *watched* appeared (to 10 ms),
        ``peak_mib``, and the peaks of anonymous memory (``own_mib``) and of mapped files, with programs (``mapped_mib``).
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL)
    held = dict.fromkeys(("VmHWM", "RssAnon", "RssFile"), 0.0)
    to_file = 0.0
    about = Path(f"/proc/{process.pid}")
    while process.poll() is None:
        try:
            status = (about / "status").read_text()
            held = {
                name: max(most, float(status.split(f"{name}:")[1].split()[0]) / 1024) for name, most in held.items()
            }
            if watched is not None and not to_file and watched.is_file():
                ticks = (about / "stat").read_text().rpartition(")")[2].split()[11:13]
                to_file = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):
            break
        time.sleep(0.005)
    if process.wait() != 0:
        sys.exit(f"{' '.join(arguments)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = {"peak_mib": held["VmHWM"], "own_mib": held["RssAnon"], "mapped_mib": held["RssFile"]}
    return {"cpu_s": spent, "to_file_s": to_file or spent, **memory}


def main() -> None:
    """Measure every side in turn, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of 7,000 rows, 3,555 features and 2,000 trees")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--role", choices=["ours", "plain"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    if options.role:
        {"ours": ours, "plain": plain}[options.role](options.folder, options.csv)
        return
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    with tempfile.TemporaryDirectory(prefix="live-path-") as name:
        folder = Path(name)
        size = {"rows": int(7000 * options.scale), "features": int(3555 * options.scale)}
        # Imported here, so that the processes of one side do not load torch.
        from live_inputs import write_live_inputs

        write_live_inputs(folder, **size, trees=int(2000 * options.scale))
        spent: dict[str, list[dict[str, float]]] = {"plain": [], "ours": [], "submit": []}
        for _ in range(options.runs):
            for role in ("plain", "ours"):
                arguments = [__file__, "--role", role, "--folder", str(folder), "--csv", str(folder / f"{role}.csv")]
                spent[role].append(run_process(arguments, environment))
            spent["submit"].append(submit(folder, folder / "submit.csv", environment))
        agreement = {role: agree(folder / "plain.csv", folder / f"{role}.csv") for role in ("ours", "submit")}
    middle = {
        role: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for role, runs in spent.items()
    }
    peak = {role: max(run["peak_mib"] for run in runs) for role, runs in spent.items()}
    whole = middle["plain"]["cpu_s"]
    figures = [
        ("live file to CSV, without connection", middle["ours"]["cpu_s"], 1 / 4),
        ("cold bot submit to CSV", middle["submit"]["to_file_s"], 1 / 3),
        ("cold bot submit to confirmed", middle["submit"]["cpu_s"], None),
    ]
    print(f"{size['rows']} rows x {size['features']} features, one thread, CPU seconds, median of {options.runs}")
    print(f"{'':<40}{'ours':>9}{'plain':>9}{'ratio':>8}{'goal':>8}")
    for label, our, goal in figures:
        print(f"{label:<40}{our:>9.2f}{whole:>9.2f}{our / whole:>8.3f}{'' if goal is None else f'{goal:.3f}':>8}")
    print(f"{'peak memory of bot submit, MiB':<40}{peak['submit']:>9.0f}{peak['plain']:>9.0f}{'':>8}{PEAK_MIB:>8}")
    own, mapped = (max(run[key] for run in spent["submit"]) for key in ("own_mib", "mapped_mib"))
    print(f"of bot submit's peak, its own {own:.0f} MiB, of mapped files {mapped:.0f} MiB at most")
    print(f"largest rank difference to plain: ours {agreement['ours']:.1e}, submit {agreement['submit']:.1e}")
    if options.json:
        content = {"median": middle, "peak_mib": peak, **size, "agreement": agreement}
        options.json.write_text(json.dumps(content, indent=1))
    missed = [label for label, our, goal in figures if goal is not None and our / whole > goal]
    if peak["submit"] > PEAK_MIB:
        missed.append("peak memory")
    if max(agreement.values()) > SWAPS:
        missed.append("agreement")
    if missed:
        sys.exit("missed: " + ", ".join(missed))


def agree(one: Path, other: Path) -> float:
    """Return the largest difference between the predictions of two submissions with equal ids in equal order."""
    left, right = ([line.split(",") for line in path.read_text().splitlines()[1:]] for path in (one, other))
    if [row[0] for row in left] != [row[0] for row in right]:
        sys.exit("the two sides wrote different ids")
    return max(abs(float(a[1]) - float(b[1])) for a, b in zip(left, right, strict=True))


if __name__ == "__main__":
    main()
