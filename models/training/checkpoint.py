"""The checkpoint of a training: one file, replaced atomically, which only the same run can use."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.files import publish

_DIGEST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """
    A file that holds the state of one training run.

    Attributes:
        path: Path of the file. Missing folders are made.
        key: Digest of the run's data, network and options. A file with another key is not used.
    """

    path: Path
    key: str

    def save(self, state: dict[str, Any]) -> None:
        """Write tensors and plain values. After a crash, the last complete file remains."""
        buffer = io.BytesIO()
        torch.save({"key": self.key, "state": state}, buffer)
        content = buffer.getvalue()
        publish(self.path, lambda file: file.writelines((hashlib.sha256(content).digest(), content)))

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, or ``None`` if there is none, or it is damaged or of another run."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        held: dict[str, Any] = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
        if held["key"] != self.key:
            return None
        state: dict[str, Any] = held["state"]
        return state

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
