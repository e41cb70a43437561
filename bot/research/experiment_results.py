"""What an experiment has found so far, piece by piece, so that one that was interrupted goes on where it was."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """
    A folder of finished pieces.

    Attributes:
        folder: Made when the first piece is kept.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, name: str, about: Mapping[str, Any]) -> "Notebook":
        """Return the notebook of an experiment called *name* on exactly what *about* says: its data and options."""
        digest = hashlib.sha256(json.dumps(plain(about), sort_keys=True).encode()).hexdigest()
        return cls(folder=root / f"{name}-{digest[:12]}")

    def text(self, name: str, make: Callable[[], str]) -> Path:
        """Return the file called *name*, written in one atomic step with what *make* returns where it is not there."""
        path = self.folder / name
        if not path.is_file():
            self._write(path, make())
        return path

    def piece(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON value of a finished piece, or make and keep it; what is not a number is ``None``."""
        path = self.text(f"{name}.json", lambda: _json(make()))
        return json.loads(path.read_text(encoding="utf-8"))

    @property
    def result(self) -> Path:
        """Return where the end of the experiment is written."""
        return self.folder / "result.json"

    def conclude(self, result: Any) -> None:  # noqa: ANN401 - any dataclass
        """Write the end of the experiment, in place of what was concluded before."""
        self._write(self.result, _json(result))

    def _write(self, path: Path, content: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = path.with_suffix(".tmp")
        with staging.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)


def _json(value: Any) -> str:  # noqa: ANN401 - what plain() takes
    return json.dumps(plain(value), indent=1) + "\n"


def plain(value: Any) -> Any:  # noqa: ANN401 - any dataclass, array or container of them
    """Return dataclasses, arrays and containers of them as what JSON knows; NaN and infinities become ``None``."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
