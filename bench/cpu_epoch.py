"""
The standard recipe's network on a CPU: training beside a plain perceptron, and onnxruntime beside torch for a live round.

Training: rows per CPU second of :func:`models.training.training.train`, on one thread, in float32 and bfloat16. The
networks are the row-wise mixer, the mixer of whole eras, and a residual perceptron with as many parameters as the
row-wise mixer. All three have the same encoder of the 3,555 features.

Scoring: CPU seconds for 7,000 rows, on one thread, the fastest of several runs. ``torch`` calls the network once with all
rows, as example notebooks do. ``torch in chunks`` calls it with 256 rows at a time, as serving does.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from live_inputs import standard_manifest, standard_network
from made_eras import FEATURES, TRAIN_ROWS, MadeEras, rows_per_s

from models.inference.export import export, random_inputs
from models.inference.runtime import OnnxNetwork
from models.network.network import Network
from models.network.network_config import NetworkConfig
from models.training.training import TrainingOptions

LIVE_ROWS = 7_000
FASTER, DIFFERENCE, SECONDS = 1.8, 1e-5, 2.5
"""Goals: ratio of torch to onnxruntime, largest difference of a logit, and seconds for a live round of 7,000 rows."""

CPU = torch.device("cpu")


def parameters(config: NetworkConfig) -> int:
    """Return the number of a network's parameters."""
    return sum(parameter.numel() for parameter in Network(config).parameters())


def perceptron_like(config: NetworkConfig, plain: NetworkConfig) -> NetworkConfig:
    """Return *plain* with layers of the width at which it has as many parameters as *config*."""
    base, step = parameters(replace(plain, feed_forward=1)), parameters(replace(plain, feed_forward=2))
    width = 1 + round((parameters(config) - base) / (step - base))
    return replace(plain, feed_forward=width)


def training(configs: dict[str, NetworkConfig], *, eras: int, rows: int) -> dict[str, dict[str, float]]:
    """Return rows per CPU second by network and precision."""
    made: dict[str, dict[str, float]] = {name: {} for name in configs}
    for precision in ("float32", "bfloat16"):
        for name, config in configs.items():
            options = TrainingOptions(
                main_target=config.targets[0], epochs=2, device="cpu", precision=precision, evaluations_per_epoch=1
            )
            made[name][precision] = rows_per_s(config, MadeEras(config, eras, rows), options, device=CPU)
    return made


def scoring(config: NetworkConfig, *, rows: int, runs: int) -> dict[str, float]:
    """Return CPU seconds of each way to score *rows*, and the largest difference of their logits."""
    torch.manual_seed(1)
    network = Network(config).eval()
    inputs = random_inputs(config, rows, seed=0)
    features, engineered, window = inputs.values()
    with tempfile.TemporaryDirectory(prefix="cpu-epoch-") as folder:
        export(network, Path(folder) / "network.onnx", rows=300)
        served = OnnxNetwork(Path(folder) / "network.onnx")
    given = [value.numpy() for value in inputs.values()]

    def chunks() -> torch.Tensor:
        parts = [slice(start, start + 256) for start in range(0, rows, 256)]
        return torch.cat([network(features[part], engineered[part], window) for part in parts])

    sides: dict[str, Callable[[], np.ndarray]] = {
        "onnxruntime": lambda: served.logits(*given),
        "torch": lambda: network(features, engineered, window).numpy(),
        "torch in chunks": lambda: chunks().numpy(),
    }
    spent, logits = dict.fromkeys(sides, float("inf")), {}
    with torch.inference_mode():
        for _ in range(runs):
            for name, side in sides.items():
                began = time.process_time()
                logits[name] = side()
                spent[name] = min(spent[name], time.process_time() - began)
    difference = max(float(np.abs(logits["onnxruntime"] - other).max()) for other in logits.values())
    return {**spent, "difference": difference}


def main() -> None:
    """Measure, print the tables, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of 3,555 features, 2,000 rows and 7,000 rows")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    manifest = standard_manifest(int(FEATURES * options.scale))
    row, era, plain = (standard_network(manifest, mixing) for mixing in ("row", "era", "none"))
    configs = {"mixing row (standard)": row, "mixing era": era, "perceptron": perceptron_like(row, plain)}
    trained = training(configs, eras=2, rows=int(2_000 * options.scale))
    print(f"training, {row.features:,} features, one thread, rows per CPU second")
    print(f"{'':<24}{'parameters':>12}{'float32':>10}{'bfloat16':>10}{'to perceptron':>15}{'h per epoch, 2 cores':>22}")
    best = {name: max(rates.values()) for name, rates in trained.items()}
    for name, rates in trained.items():
        hours = TRAIN_ROWS / best[name] / 2 / 3600
        print(
            f"{name:<24}{parameters(configs[name]):>12,}{rates['float32']:>10,.0f}{rates['bfloat16']:>10,.0f}"
            f"{best[name] / best['perceptron']:>15.2f}{hours:>22.2f}"
        )
    rows = int(LIVE_ROWS * options.scale)
    scored = scoring(row, rows=rows, runs=options.runs)
    ours = scored["onnxruntime"]
    print(f"\nscoring {rows:,} rows with the standard network, one thread, CPU seconds, least of {options.runs}")
    print(f"{'figure':<34}{'ours':>9}{'peer':>9}{'ratio':>8}{'goal':>8}")
    print(f"{'onnxruntime; torch':<34}{ours:>9.2f}{scored['torch']:>9.2f}{scored['torch'] / ours:>8.2f}{FASTER:>8}")
    peer = scored["torch in chunks"]
    print(f"{'onnxruntime; torch in chunks':<34}{ours:>9.2f}{peer:>9.2f}{peer / ours:>8.2f}")
    print(f"{'seconds':<34}{ours:>9.2f}{'':>17}{SECONDS:>8}")
    print(f"{'largest difference of a logit':<34}{scored['difference']:>9.1e}{'':>17}{DIFFERENCE:>8.0e}")
    if options.json:
        options.json.write_text(json.dumps({"rows_per_s": trained, "scoring": scored}, indent=1))
    checks = {
        "onnxruntime against torch": scored["torch"] >= FASTER * ours,
        "seconds": ours <= SECONDS,
        "difference": scored["difference"] <= DIFFERENCE,
    }
    if missed := [name for name, met in checks.items() if not met]:
        sys.exit("missed: " + ", ".join(missed))


if __name__ == "__main__":
    main()
