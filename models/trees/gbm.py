"""
Train the LightGBM member; with :mod:`models.trees._gbm_data` all that imports lightgbm's Python package, never to serve.

The Dataset is kept for the next training where a cache is given,
and a training that was killed goes on from its last snapshot where a folder for them is given.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import lightgbm
import numpy as np
import numpy.typing as npt

from models.stopping import TrainingStopped
from models.trees._gbm_data import DatasetCache, dataset, dataset_key
from models.trees._gbm_snapshots import Part, Progress, Snapshots, column_seed, joined
from models.trees.gbm_options import PRESETS, Chunks, Column, Device, GbmOptions, data_parameters, train_parameters

__all__ = ["PRESETS", "Chunks", "Column", "DatasetCache", "GbmOptions", "Snapshots", "train_gbm"]

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


Labels = npt.NDArray[np.floating]
Report = Callable[[int, int], None]


def train_gbm(
    chunks: Chunks,
    y: Labels,
    options: GbmOptions,
    feature_names: Sequence[str],
    on_progress: Report | None = None,
    *,
    rows_digest: str = "",
    cache: DatasetCache | None = None,
    snapshots: Snapshots | None = None,
    on_finding: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """
    Train on labelled rows and return the model as LightGBM's text.

    Args:
        chunks: The rows; columns whose values stand together are read in place, and nothing is cast.
        y: The target of each row, none of them NaN. Shape ``(rows,)``.
        options: Size and seed.
        feature_names: Of all columns in order.
        on_progress: Called after every tree with the number of trees done and of all trees.
        rows_digest: Of everything that the rows were made of; needed to find them in *cache* or *snapshots*.
        cache: Where the constructed Dataset is kept.
        snapshots: Where progress is kept. Killed at any moment and called again, the model is that of a training
            without interruption. Not used for ``dart``, which starts anew.
        on_finding: Called with a sentence for the log: no GPU after all, a Dataset that could not be kept.
        should_stop: Asked after every tree; when it says so, a last snapshot is kept and training given up.

    Raises:
        ValueError: Names and columns, or rows and targets, do not match, or a target is not finite; or there is a
            *cache* or *snapshots* but no *rows_digest*.
        OSError: A snapshot cannot be written.
        TrainingStopped: *should_stop* said so.
    """
    inputs = _Inputs(
        chunks=chunks,
        y=y,
        names=feature_names,
        rows_digest=rows_digest,
        cache=cache,
        snapshots=snapshots,
        report=on_progress or _ignore,
        finding=on_finding or _ignore,
        should_stop=should_stop,
    )
    return _train(inputs, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    chunks: Chunks
    y: Labels
    names: Sequence[str]
    rows_digest: str
    cache: DatasetCache | None
    snapshots: Snapshots | None
    report: Report
    finding: Callable[[str], None]
    should_stop: Callable[[], bool]

    def check(self) -> None:
        """Raise where something does not fit, before hours are spent."""
        if any(len(columns) != len(self.names) for columns in self.chunks):
            raise ValueError(f"a chunk has another number of columns than the {len(self.names)} names")
        rows = sum(len(columns[0]) for columns in self.chunks)
        if len(self.y) != rows or not np.isfinite(self.y).all():
            raise ValueError(
                f"every one of the {len(self.y)} targets needs its row, there are {rows}, and must be finite"
            )
        if (self.cache or self.snapshots) and not self.rows_digest:
            raise ValueError("what is kept of a training is found by the digest of its rows, which is missing")


def _train(inputs: _Inputs, options: GbmOptions) -> str:
    inputs.check()
    choice = choose_device(options.device)
    if choice.finding:
        inputs.finding(choice.finding)
    if choice.device != "cpu":
        try:
            return _train_on(choice.device, inputs, options)
        except lightgbm.basic.LightGBMError as error:
            inputs.finding(f"trees train on the CPU ({choice.device}: {error})")
    return _train_on("cpu", inputs, options)


def _train_on(device: Device, inputs: _Inputs, options: GbmOptions) -> str:
    parameters = data_parameters(options, device)
    key = dataset_key(inputs.rows_digest, inputs.names, parameters)
    data = inputs.cache.load(key, parameters) if inputs.cache else None
    if data is None:
        data = dataset(inputs.chunks, inputs.y, inputs.names, parameters, options.threads)
        if inputs.cache and (reason := inputs.cache.save(key, data)):
            inputs.finding(reason)
    return _grow(data, np.ascontiguousarray(inputs.y, dtype=np.float32), device, inputs, options)


def _grow(
    data: Any,  # noqa: ANN401 - lightgbm is untyped
    y: npt.NDArray[np.float32],
    device: Device,
    inputs: _Inputs,
    options: GbmOptions,
) -> str:
    """Grow the trees, from the last snapshot where there is one."""
    parameters = dict(train_parameters(options, device))
    keeper = inputs.snapshots if options.boosting != "dart" else None
    fingerprint = _fingerprint(parameters, y, inputs)
    past = keeper.load(fingerprint) if keeper else None
    if past is not None and past.rounds > options.num_trees:
        past = None
    data.set_label(y)
    data.set_field("init_score", None if past is None else past.scores)
    if past is not None:
        seed = past.parts[0].text.partition("[feature_fraction_seed: ")[2].partition("]")[0]
        columns = sum(data.feature_num_bin(index) > 0 for index in range(data.num_feature()))
        parameters["feature_fraction_seed"] = column_seed(
            int(seed), trees=past.rounds, columns=columns, share=options.colsample_bytree
        )
    booster = lightgbm.Booster(parameters, data)
    parts = () if past is None else past.parts
    first, kept, total = 0 if past is None else past.rounds, 0, options.num_trees
    for done in range(first + 1, total + 1):
        booster.update()
        stop = done < total and inputs.should_stop()
        if keeper and (done % keeper.every == 0 or done == total or stop) and booster.num_trees() > kept:
            parts = (*parts, Part.of(booster.model_to_string(num_iteration=-1, start_iteration=kept)))
            kept = booster.num_trees()
            keeper.save(fingerprint, Progress(rounds=done, parts=parts, scores=_scores(booster)))
        inputs.report(done, total)
        if stop:
            raise TrainingStopped(f"stopped after tree {done} of {total}")
    if past is None:
        return str(booster.model_to_string(num_iteration=-1))
    # LightGBM writes the text anew, so that the columns' importance counts the trees of all parts.
    return str(lightgbm.Booster(model_str=joined(parts)).model_to_string(num_iteration=-1))


def _scores(booster: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - lightgbm is untyped
    """Return the sum of the trees for every row of the training set, as the booster keeps it."""
    seen = []

    def look(scores: npt.NDArray[np.float64], _data: object) -> tuple[str, float, bool]:
        seen.append(scores.copy())
        return "scores", 0.0, True

    booster.eval_train(look)
    return seen[0]


def _fingerprint(parameters: Mapping[str, object], y: npt.NDArray[np.float32], inputs: _Inputs) -> str:
    """Return the name of a training: everything its trees depend on, but not how many they shall be."""
    content = {
        "parameters": {
            name: value for name, value in parameters.items() if name not in {"num_iterations", "num_threads"}
        },
        "columns": list(inputs.names),
        "rows": inputs.rows_digest,
        "label": hashlib.sha256(y.tobytes()).hexdigest(),
        "lightgbm": lightgbm.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _ignore(*_: object) -> None:
    """Take what nobody wants to hear."""


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
