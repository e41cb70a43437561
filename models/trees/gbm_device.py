"""Find out whether LightGBM can train on a GPU here, without risking this process."""

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Literal

from models.trees.gbm_options import Device

TRIAL_S = 120.0
_TRIAL = """
import sys, numpy, lightgbm
X = numpy.random.default_rng(0).integers(0, 5, (512, 8)).astype(numpy.float32)
parameters = {"objective": "regression", "device_type": sys.argv[1], "verbosity": -1, "num_leaves": 7}
try:
    lightgbm.train(parameters, lightgbm.Dataset(X, X[:, 0] + X[:, 1]), num_boost_round=2)
except lightgbm.basic.LightGBMError as error:
    sys.exit(str(error).strip().splitlines()[0])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """
    Where to train.

    Attributes:
        device: As LightGBM calls it.
        finding: Why it is not the one that was asked for; empty where it is.
    """

    device: Device
    finding: str = ""


def choose_device(wanted: Literal["auto", "cpu", "cuda", "gpu"]) -> DeviceChoice:
    """
    Return *wanted* where a tiny training succeeds on it, and the CPU with the reason where it does not.

    ``auto`` tries CUDA, then OpenCL. A trial runs in a child process, since a driver that fails may take its process
    along, and once per device: the answer is kept.
    """
    if wanted == "cpu":
        return DeviceChoice(device="cpu")
    tried: tuple[Device, ...] = ("cuda", "gpu") if wanted == "auto" else (wanted,)
    reasons = []
    for device in tried:
        reason = _trial(device)
        if not reason:
            return DeviceChoice(device=device)
        reasons.append(f"{device}: {reason}")
    return DeviceChoice(device="cpu", finding=f"trees train on the CPU ({'; '.join(reasons)})")


@cache
def _trial(device: Device) -> str:
    """Train on *device* in a child process; return why it failed, or nothing."""
    command = [sys.executable, "-c", _TRIAL, device]
    try:
        # An argument list of this interpreter and a constant; no shell and nothing from outside in it.
        done = subprocess.run(command, capture_output=True, check=False, timeout=TRIAL_S, text=True)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the trial ended with {done.returncode}"
