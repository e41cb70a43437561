"""
Time of an epoch of the standard recipe's network on v5.3's ``all``, on the device of this machine.

It runs :func:`models.training.training.train`. Generated eras are copied from memory in the first epoch; the second epoch,
which is measured, reads them on the device as far as they fit. The table has rows per second, seconds for an epoch of
train (2,746,268 rows) and of train and validation together (6,853,308 rows, as in a refit), peak memory, and the rate of
the network's matrix products as a share of the rate of a large matrix product on the same device in the same run.

The goal, an epoch of all rows within 40 s, is for one H200 and at least 200 eras; other devices have no goal. A CPU trains on two
eras and gives an indication only.
"""

import argparse
import json
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from live_inputs import standard_manifest, standard_network
from made_eras import ALL_ERAS, ALL_ROWS, ERA_ROWS, FEATURES, TRAIN_ROWS, MadeEras, product_rate, rows_per_s
from made_eras import training_flops as flops

from models.network.network_config import NetworkConfig
from models.training.training import TrainingOptions, device_named

GOAL_DEVICE, GOAL_S, GOAL_ERAS = "H200", 40.0, 200
"""Device with a goal, seconds for an epoch of all rows, and eras from which their rate is that of all of them."""
CPU_ERAS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """
    Speed of one kind of training.

    Attributes:
        mixing: Body of the network.
        compiled: Whether the network was compiled.
        rows_per_s: Rows per second.
        peak_gib: Peak memory in GiB.
        share: Rate of the network's matrix products as a share of the device's rate.
    """

    mixing: str
    compiled: bool
    rows_per_s: float
    peak_gib: float
    share: float


def device_name(device: torch.device) -> str:
    """Return the name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"CPU {model}, {torch.get_num_threads()} threads"


def peak_gib(device: torch.device) -> float:
    """Return the peak memory of the device, or on a CPU of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def time_epoch(
    config: NetworkConfig, device: torch.device, *, eras: int, rows: int, compiled: bool, rate: float
) -> Timing:
    """Train two epochs and return the speed of the second."""
    options = TrainingOptions(
        main_target=config.targets[0], epochs=2, device=device.type, compiled=compiled, evaluations_per_epoch=1
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    speed = rows_per_s(config, MadeEras(config, eras, rows), options, device=device)
    return Timing(
        mixing=config.mixing,
        compiled=compiled,
        rows_per_s=speed,
        peak_gib=peak_gib(device),
        share=flops(config) * speed / rate,
    )


def main() -> None:
    """Measure, print the table, and fail if the goal is missed on the device that has one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, help="share of the 1,231 eras; 1 on a GPU, two eras on a CPU")
    parser.add_argument("--features", type=int, default=FEATURES)
    parser.add_argument("--rows", type=int, default=ERA_ROWS, help="rows of an era")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = device_named("auto")
    on_gpu = device.type == "cuda"
    eras = max(CPU_ERAS, round(ALL_ERAS * (options.scale or float(on_gpu))))
    if not on_gpu:
        torch.set_num_threads(1)
    # The training loop uses bfloat16 on a GPU and float32 on a CPU.
    dtype = torch.bfloat16 if on_gpu else torch.float32
    name, rate = device_name(device), product_rate(device, dtype)
    print(f"{name}; matrix product {rate / 1e12:,.2f} TFLOP/s in {str(dtype).removeprefix('torch.')}")
    clock = "" if on_gpu else ", per CPU second"
    print(f"{eras:,} eras x {options.rows:,} rows x {options.features:,} features, second of two epochs{clock}")
    print(f"{'':<24}{'rows/s':>12}{'train, s':>10}{'all, s':>10}{'peak GiB':>10}{'share':>8}")
    rows = []
    for mixing in ("row", "era", "none"):
        config = standard_network(standard_manifest(options.features), mixing)
        for compiled in (False, True) if on_gpu else (False,):
            one = time_epoch(config, device, eras=eras, rows=options.rows, compiled=compiled, rate=rate)
            rows.append(one)
            label = f"mixing {mixing}{', compiled' if compiled else ''}"
            print(
                f"{label:<24}{one.rows_per_s:>12,.0f}{TRAIN_ROWS / one.rows_per_s:>10,.1f}"
                f"{ALL_ROWS / one.rows_per_s:>10,.1f}{one.peak_gib:>10.1f}{one.share:>8.1%}"
            )
    if options.json:
        content = {"device": name, "eras": eras, "product_flops": rate, "measured": [asdict(one) for one in rows]}
        options.json.write_text(json.dumps(content, indent=1))
    if GOAL_DEVICE not in name or eras < GOAL_ERAS or (options.features, options.rows) != (FEATURES, ERA_ROWS):
        print("no goal here")
        return
    standard = min(ALL_ROWS / one.rows_per_s for one in rows if one.mixing == "row")
    print(f"an epoch of all rows, mixing row: {standard:.1f} s (goal {GOAL_S:.0f})")
    if standard > GOAL_S:
        sys.exit("missed")


if __name__ == "__main__":
    main()
