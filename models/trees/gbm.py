"""
Train a LightGBM model.

With a cache, the constructed Dataset is kept for the next training. With snapshots, a training that was killed
continues from its last snapshot. Only this module and :mod:`models.trees._gbm_data` import lightgbm's Python package;
serving does not.
"""

import hashlib
import json
import os
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
from models.trees._gbm_snapshots import Part, Snapshot, Snapshots, column_seed, joined
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
    weights: npt.NDArray[np.float32] | None = None,
    rows_digest: str = "",
    cache: DatasetCache | None = None,
    snapshots: Snapshots | None = None,
    on_finding: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """
    Train on labelled rows and return the model as LightGBM's text.

    Args:
        chunks: Rows of the training set. Contiguous columns are read in place; nothing is cast.
        y: Target of each row, finite. Shape ``(rows,)``.
        options: Size, kind, device and seed of the model.
        feature_names: Names of all columns in order.
        on_progress: Called after every tree with the number of trees grown and of all trees.
        weights: Weight of each row; ``None`` lets all count alike. Shape ``(rows,)``.
        rows_digest: Digest of the data that the rows were made from. *cache* and *snapshots* need it to find them.
        cache: Folder for the constructed Dataset.
        snapshots: Folder for progress. A training that is killed and called again gives the model of an uninterrupted
            one. ``dart`` does not use it and starts again.
        on_finding: Called with a line for the log: the GPU cannot be used, the Dataset could not be kept.
        should_stop: Called after every tree. When it returns true, a last snapshot is saved and the training ends.

    Raises:
        ValueError: The numbers of names and columns, or of rows and targets, differ; a target is not finite; *cache* or
            *snapshots* is given without *rows_digest*.
        OSError: A snapshot cannot be written.
        TrainingStopped: *should_stop* returned true.
    """
    inputs = _Inputs(
        chunks=chunks,
        y=y,
        names=feature_names,
        weights=weights,
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
    weights: npt.NDArray[np.float32] | None
    rows_digest: str
    cache: DatasetCache | None
    snapshots: Snapshots | None
    report: Report
    finding: Callable[[str], None]
    should_stop: Callable[[], bool]

    def check(self) -> None:
        """Raise ``ValueError`` before a long training starts with inputs that do not match."""
        if any(len(columns) != len(self.names) for columns in self.chunks):
            raise ValueError(f"a chunk has another number of columns than the {len(self.names)} names")
        rows = sum(len(columns[0]) for columns in self.chunks)
        if len(self.y) != rows or not np.isfinite(self.y).all():
            raise ValueError(
                f"every one of the {len(self.y)} targets needs its row, there are {rows}, and must be finite"
            )
        if (self.cache or self.snapshots) and not self.rows_digest:
            raise ValueError("a cache or snapshots need rows_digest, the digest of the rows")


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
    """Grow the trees, starting from the last snapshot if there is one."""
    parameters = dict(train_parameters(options, device))
    keeper = inputs.snapshots if options.boosting != "dart" else None
    fingerprint = _fingerprint(parameters, y, inputs)
    past = keeper.load(fingerprint) if keeper else None
    if past is not None and past.rounds > options.num_trees:
        past = None
    data.set_label(y)
    data.set_weight(inputs.weights)
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
            keeper.save(fingerprint, Snapshot(rounds=done, parts=parts, scores=_scores(booster)))
        inputs.report(done, total)
        if stop:
            raise TrainingStopped(f"stopped after tree {done} of {total}")
    if past is None:
        return str(booster.model_to_string(num_iteration=-1))
    # LightGBM writes the text again, so that the importance of the columns counts the trees of all parts.
    return str(lightgbm.Booster(model_str=joined(parts)).model_to_string(num_iteration=-1))


def _scores(booster: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - lightgbm is untyped
    """Return the sum of the trees for every row of the training set. Shape ``(rows,)``, float64."""
    seen = []

    def look(scores: npt.NDArray[np.float64], _data: object) -> tuple[str, float, bool]:
        seen.append(scores.copy())
        return "scores", 0.0, True

    booster.eval_train(look)
    return seen[0]


def _fingerprint(parameters: Mapping[str, object], y: npt.NDArray[np.float32], inputs: _Inputs) -> str:
    """Return a digest of everything that the trees depend on, except their number."""
    content = {
        "parameters": {
            name: value for name, value in parameters.items() if name not in {"num_iterations", "num_threads"}
        },
        "columns": list(inputs.names),
        "rows": inputs.rows_digest,
        "label": hashlib.sha256(y.tobytes()).hexdigest(),
        "weights": None if inputs.weights is None else hashlib.sha256(inputs.weights.tobytes()).hexdigest(),
        "lightgbm": lightgbm.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _ignore(*_: object) -> None:
    """Do nothing; the default of callbacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """
    The device of a training.

    Attributes:
        device: LightGBM's name of it.
        finding: Why it is not the wanted one; empty if it is.
    """

    device: Device
    finding: str = ""


def choose_device(wanted: Literal["auto", "cpu", "cuda", "gpu"]) -> DeviceChoice:
    """
    Return *wanted* if a tiny training succeeds on it; otherwise the CPU and the reason.

    ``auto`` tries CUDA, then OpenCL. Each device is tried once, in a child process, because a failing driver can end
    its process.
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
    """Train on *device* in a child process; return why it failed, or an empty string."""
    # -P: nothing is imported from the working folder. The trial needs no setting and no key.
    command = [sys.executable, "-P", "-c", _TRIAL, device]
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("BOT_", "NUMERAI_"))
    }
    try:
        # An argument list of this interpreter and a constant; no shell and nothing from outside in it.
        done = subprocess.run(  # noqa: S603
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TRIAL_S,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the trial ended with {done.returncode}"
