"""
The file that is sent: written, read back from disk, and validated by Numerai's own function.

That function runs in a process of its own, with pandas, which the submitting process never loads. Of ``numerai_tools``
it needs the validation alone; what its scoring imports beside, scikit-learn and scipy.stats, takes three quarters of a
second and 200 MB of an image, and is replaced by names that fail when they are used.
"""

import os
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bot.errors import RetryLater

_TIMEOUT_S = 120


def render(ids: Sequence[str], predictions: np.ndarray) -> bytes:
    """Return the file as Numerai wants it: ``id,prediction`` in this order and nothing else."""
    rows = [f"{identity},{value:.9f}" for identity, value in zip(ids, predictions.tolist(), strict=True)]
    return ("\n".join(["id,prediction", *rows]) + "\n").encode()


def reread(path: Path) -> tuple[list[str], np.ndarray]:
    """Return ids and predictions as they lie on disk, so that the gates judge what would be sent."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    pairs = [line.split(",") for line in lines]
    return [pair[0] for pair in pairs], np.array([float(pair[1]) for pair in pairs])


class OfficialValidation:
    """The official check, started in the background; :meth:`verdict` waits for it."""

    def __init__(self, live: Path, csv: Path) -> None:
        # numerai_tools checks with assert, which PYTHONOPTIMIZE would switch off.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this module, two paths of ours
            [sys.executable, "-m", "bot.submission.submission_file", str(live), str(csv)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def verdict(self) -> str | None:
        """
        Return ``None`` if Numerai's function accepts the file, else its message.

        Raises:
            RetryLater: The check did not end in two minutes.
        """
        try:
            output, _ = self._process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise RetryLater(f"the official validation did not end within {_TIMEOUT_S} s") from None
        if self._process.returncode == 0:
            return None
        return output.strip().splitlines()[-1] if output.strip() else f"exit status {self._process.returncode}"


class _Absent(types.ModuleType):
    """A library that is imported and never called; whoever calls it is told so."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever is asked for
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}")

    def __call__(self, *_: object, **__: object) -> None:
        raise RuntimeError(f"{self.__name__} is not loaded while a submission is validated")


def _validate(live: str, csv: str) -> None:
    import pandas as pd  # noqa: PLC0415 - only this child process pays for it
    import pyarrow.parquet as pq  # noqa: PLC0415
    from numerai_tools.submissions import validate_submission_numerai  # noqa: PLC0415

    universe = pd.Series(pq.ParquetFile(live).read(columns=["id"]).column(0).to_pylist(), name="id")
    submission = pd.read_csv(csv)
    validate_submission_numerai(universe, submission)


if __name__ == "__main__":
    for module in ("sklearn", "sklearn.preprocessing", "scipy", "scipy.stats"):
        sys.modules[module] = _Absent(module)
    _validate(*sys.argv[1:])
