"""
Write the submission file, read it back from disk, and validate it with Numerai's own function.

The validation runs in a process of its own, because it needs pandas, which the submitting process never loads. It needs
only the validation of ``numerai_tools``. The scoring there imports scikit-learn and scipy.stats, which take three quarters
of a second and 200 MB of an image; placeholders that fail when they are used stand in for them.
"""

import subprocess
import sys
import types
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.live_file import LONGEST_TEXT
from bot.data.parquet_columns import FETCHED_AGAIN, LIVE, open_columns
from bot.errors import GateFailed, RetryLater
from bot.system.child_environment import ISOLATED, child_environment
from bot.tournament.columns import ID, PREDICTION

HEADER = f"{ID},{PREDICTION}"
"""First line of a submission: the columns in Numerai's order."""

_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRows:
    """
    Rows of a submission file.

    Attributes:
        ids: Ids in file order.
        predictions: Predictions of the same rows. Shape ``(rows,)``, float64.
    """

    ids: tuple[str, ...]
    predictions: np.ndarray


def render(ids: Sequence[str], predictions: np.ndarray) -> bytes:
    """Return the file in Numerai's format."""
    rows = [f"{identity},{value:.9f}" for identity, value in zip(ids, predictions.tolist(), strict=True)]
    return ("\n".join([HEADER, *rows]) + "\n").encode()


def read_submission(path: Path) -> SubmissionRows:
    """
    Return ids and predictions as they lie on disk, so that the gates check the file that would be sent.

    Raises:
        GateFailed: The file is not one of :func:`render`.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.split(",") for line in lines[1:]]
    if lines[:1] == [HEADER] and all(len(pair) == 2 for pair in pairs):
        with suppress(ValueError):
            values = np.array([float(prediction) for _, prediction in pairs])
            return SubmissionRows(ids=tuple(identity for identity, _ in pairs), predictions=values)
    raise GateFailed(f"{path} is not the file that was written, with the columns {HEADER}; check the disk")


class OfficialValidation:
    """Numerai's validation of a file, started in the background; :meth:`verdict` waits for it."""

    def __init__(self, live: Path, csv: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this module, two paths of ours
            [*ISOLATED, "-m", "bot.submission.submission_file", str(live), str(csv)],
            # No key; and no PYTHONOPTIMIZE, which would switch off the assert by which numerai_tools checks.
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def verdict(self) -> str | None:
        """
        Return ``None`` if Numerai's function accepts the file, else its message.

        Raises:
            RetryLater: The validation did not end in two minutes.
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


class _Placeholder(types.ModuleType):
    """A library that is imported but must not be called: a call raises ``RuntimeError``."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any name
        if name.startswith("__"):
            raise AttributeError(name)
        return _Placeholder(f"{self.__name__}.{name}")

    def __call__(self, *_: object, **__: object) -> None:
        raise RuntimeError(f"{self.__name__} is not loaded while a submission is validated")


def _validate(live: str, csv: str, absent: Sequence[str] = ()) -> None:
    """Validate a file; modules named *absent* cannot be imported by pandas, and by nothing else in this process from then on."""
    with open_columns(Path(live), LIVE, remedy=FETCHED_AGAIN) as file:
        ids = file.texts(ID, LONGEST_TEXT)
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None marks a module that cannot be imported
    import pandas as pd  # noqa: PLC0415 - only this child process pays for it
    from numerai_tools.submissions import validate_submission_numerai  # noqa: PLC0415

    validate_submission_numerai(pd.Series(ids, name=ID), pd.read_csv(csv))


if __name__ == "__main__":
    for module in ("sklearn", "sklearn.preprocessing", "scipy", "scipy.stats"):
        sys.modules[module] = _Placeholder(module)
    # pandas imports pyarrow.compute where there is pyarrow: a tenth of a second, for columns that are not used here.
    _validate(sys.argv[1], sys.argv[2], absent=("pyarrow",))
