"""
Numerai's own validation of a submission file, in a process of its own.

``numerai_tools`` pulls in scikit-learn and scipy.stats, which the submitting process never loads.
"""

import subprocess
import sys
from pathlib import Path

from bot.errors import RetryLater

_TIMEOUT_S = 120


class OfficialValidation:
    """The official check, started in the background; :meth:`verdict` waits for it."""

    def __init__(self, live: Path, csv: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this module, two paths of ours
            [sys.executable, "-m", "bot.official", str(live), str(csv)],
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


def _validate(live: str, csv: str) -> None:
    import pandas as pd  # noqa: PLC0415 - only this child process pays for it
    import pyarrow.parquet as pq  # noqa: PLC0415
    from numerai_tools.submissions import validate_submission_numerai  # noqa: PLC0415

    universe = pd.Series(pq.ParquetFile(live).read(columns=["id"]).column(0).to_pylist(), name="id")
    submission = pd.read_csv(csv)
    validate_submission_numerai(universe, submission)


if __name__ == "__main__":
    _validate(*sys.argv[1:])
