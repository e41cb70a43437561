"""
Imitate Numerai's machine for uploaded models: a fresh environment with its packages, and a child process under its limits.

The packages are those that a packed artifact can import, at the versions of Numerai's image for each Python
(numerai/numerai-predict, ``py3.*/requirements.txt``, 2026-04). The image has some eighty more, which change nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bot.errors import GateFailed, OperatorNeeded, RetryLater
from bot.hosted import _runner
from bot.system.child_environment import child_environment

LIMIT_S = 600.0
"""Longest run of an uploaded model on Numerai's machine, in seconds (numerai/docs, model-uploads.md)."""

_INSTALL_S = 1800.0
_SHARED = {"python-dateutil": "2.9.0.post0", "pytz": "2025.2", "six": "1.17.0"}
_JULY_2025 = {
    **_SHARED,
    "cloudpickle": "3.1.1",
    "numpy": "2.1.3",
    "onnx": "1.18.0",
    "pandas": "2.3.1",
    "protobuf": "5.29.5",
    "scipy": "1.16.0",
    "typing-extensions": "4.14.1",
    "tzdata": "2025.2",
}
IMAGES: Mapping[str, Mapping[str, str]] = {
    "3.11": {**_JULY_2025, "lightgbm": "4.6.0", "pyarrow": "21.0.0"},
    "3.12": {**_JULY_2025, "lightgbm": "4.5.0", "pyarrow": "18.1.0"},
    "3.13": {
        **_SHARED,
        "cloudpickle": "3.1.2",
        "lightgbm": "4.5.0",
        "ml-dtypes": "0.5.4",
        "numpy": "2.2.6",
        "onnx": "1.20.1",
        "pandas": "2.3.3",
        "protobuf": "5.29.6",
        "pyarrow": "18.1.0",
        "scipy": "1.17.1",
        "typing-extensions": "4.15.0",
        "tzdata": "2025.3",
    },
}
"""Versions of the packages in Numerai's image, by Python version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedRun:
    """
    Result of a model's run under Numerai's limits.

    Attributes:
        ids: Ids of the rows, in the live file's order.
        predictions: Predictions. Shape ``(rows,)``, float64.
        seconds: Seconds from loading the first package to the last prediction.
        peak_bytes: Largest resident memory.
    """

    ids: tuple[str, ...]
    predictions: np.ndarray
    seconds: float
    peak_bytes: int


def this_python() -> str:
    """
    Return the version of this interpreter, as in the names of Numerai's images.

    Raises:
        OperatorNeeded: Numerai has no image for it.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version not in IMAGES:
        raise OperatorNeeded(
            f"Numerai runs no models of Python {version}; export with one of {', '.join(IMAGES)}, which the bot runs on too"
        )
    return version


def requirements(version: str) -> Path:
    """Return the file with the pins of :data:`IMAGES` and their hashes."""
    return Path(__file__).with_name(f"numerai-{version}.txt")


def make_environment(folder: Path, version: str) -> Path:
    """
    Make a fresh environment with Numerai's packages; return its interpreter.

    Args:
        folder: Folder of the environment, some 600 MB.
        version: A key of :data:`IMAGES`.

    Raises:
        RetryLater: The packages cannot be installed now.
    """
    python = folder / "bin" / "python"
    # Checked against the hashes of every file of these versions (`make hashes`), wherever pip finds them.
    files = ("--no-deps", "--require-hashes", "--requirement", str(requirements(version)))
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:")
    environment = child_environment() | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    # Isolated (-I): neither the working folder nor PYTHONPATH takes part in the fresh environment.
    for command in (
        [sys.executable, "-I", "-m", "venv", str(folder)],
        [str(python), "-I", "-m", "pip", "install", *quiet, *files],
    ):
        try:
            result = subprocess.run(  # noqa: S603 - this interpreter, and the one it has just made
                command, env=environment, capture_output=True, text=True, check=False, timeout=_INSTALL_S
            )
        except subprocess.TimeoutExpired:
            raise RetryLater(f"Numerai's packages did not install within {_INSTALL_S:.0f} s") from None
        if result.returncode:
            raise RetryLater(f"Numerai's packages do not install here: {_last_line(result.stderr or result.stdout)}")
    return python


def run(python: Path, model: Path, live: Path, benchmarks: Path | None, scratch: Path) -> HostedRun:
    """
    Score a live file with a pickled model under Numerai's limits.

    Args:
        python: Interpreter, from :func:`make_environment`.
        model: The pickle. Only the child process loads it.
        live: The live file.
        benchmarks: File of the benchmark models, for a model that takes it.
        scratch: Folder for the child's output.

    Raises:
        GateFailed: The model failed, took too long or too much memory, or Numerai would refuse its result.
    """
    scratch = scratch.resolve()  # the child's folder: paths of this process mean something else there
    output, paths = (
        scratch / "predictions.csv",
        [str(one.resolve()) if one else "" for one in (model, live, benchmarks)],
    )
    try:
        result = subprocess.run(  # noqa: S603 - the runner beside this module, with paths made here
            [str(python), "-I", _runner.__file__, *paths, str(output)],
            env={"HOME": str(scratch), "TMPDIR": str(scratch)},
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise GateFailed(
            f"the model runs longer than {LIMIT_S:.0f} s on one core, which Numerai does not allow"
        ) from None
    if result.returncode:
        reason = _last_line(result.stderr) or f"it ended with status {result.returncode}"
        raise GateFailed(f"the model does not run on Numerai's machine: {reason}")
    measured = json.loads(result.stdout.splitlines()[-1])
    pairs = [line.rsplit(",", 1) for line in output.read_text(encoding="utf-8").splitlines()]
    return HostedRun(
        ids=tuple(pair[0] for pair in pairs),
        predictions=np.array([float(pair[1]) for pair in pairs]),
        seconds=float(measured["seconds"]),
        peak_bytes=int(measured["peak_bytes"]),
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
