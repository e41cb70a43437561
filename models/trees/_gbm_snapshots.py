"""
Snapshots of a LightGBM training, from which it continues to the same model.

A snapshot holds the trees so far and the score of every row in float64, as LightGBM keeps it. Gradients follow from the
scores, so the next tree is the same, except for the columns that it may use. LightGBM draws these from a random
generator that every new booster starts again. :func:`column_seed` computes the seed that continues the old sequence.
(``init_model`` of LightGBM's Python package restarts the generator: each continuation would draw the columns of the
first trees again.) The model does not depend on interruptions or on the number of trees between snapshots.
"""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.files import publish

_STATE = "progress.json"
_WORD = 1 << 32
_FACTOR, _STEP = 214_013, 2_531_011
"""Constants of LightGBM's linear congruential generator (``include/LightGBM/utils/random.h`` of 4.7.0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """
    A folder for the progress of one training.

    Attributes:
        folder: Folder of this training alone.
        every: Number of trees between two snapshots. A killed training loses at most this many.
    """

    folder: Path
    every: int = 500

    def load(self, fingerprint: str) -> "Snapshot | None":
        """Return the progress of the training *fingerprint*, or ``None`` if there is none or it is damaged."""
        try:
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            if state["fingerprint"] != fingerprint:
                return None
            content = {}
            for name, digest in state["files"].items():
                content[name] = (self.folder / name).read_bytes()
                if hashlib.sha256(content[name]).hexdigest() != digest:
                    return None
            return Snapshot(
                rounds=state["rounds"],
                parts=tuple(
                    Part(text=content[name].decode("utf-8"), sha256=state["files"][name]) for name in state["parts"]
                ),
                scores=np.frombuffer(content[state["scores"]], dtype=np.float64),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, fingerprint: str, snapshot: "Snapshot") -> None:
        """
        Record *snapshot*. A process killed in between leaves the previous snapshot intact.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        names = [f"{part.sha256[:32]}.trees" for part in snapshot.parts]
        for name, part in zip(names, snapshot.parts, strict=True):
            if not (self.folder / name).exists():
                self._write(name, part.text.encode())
        raw = snapshot.scores.astype(np.float64).tobytes()
        scores = f"{snapshot.rounds}.scores"
        self._write(scores, raw)
        files = {name: part.sha256 for name, part in zip(names, snapshot.parts, strict=True)}
        files[scores] = hashlib.sha256(raw).hexdigest()
        state = {"fingerprint": fingerprint, "rounds": snapshot.rounds, "parts": names, "scores": scores}
        self._write(_STATE, json.dumps({**state, "files": files}).encode())
        for path in self.folder.iterdir():
            if path.name != _STATE and path.name not in files:
                path.unlink()

    def clear(self) -> None:
        """Remove the snapshots after the model has been saved."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, data: bytes) -> None:
        publish(self.folder / name, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some trees as LightGBM's text, and the digest of the text."""

    text: str
    sha256: str

    @classmethod
    def of(cls, text: str) -> "Part":
        """Return *text* with its digest."""
        return cls(text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    State of a training.

    Attributes:
        rounds: Number of boosting rounds done, including those that found nothing to split.
        parts: The trees in order.
        scores: Sum of the trees for each row of the training set. Shape ``(rows,)``, float64.
    """

    rounds: int
    parts: tuple[Part, ...]
    scores: npt.NDArray[np.float64]


def column_seed(seed: int, *, trees: int, columns: int, share: float) -> int:
    """
    Return the seed with which a new booster draws the columns that tree *trees* + 1 would have drawn.

    Args:
        seed: ``feature_fraction_seed`` of the first booster.
        trees: Number of trees grown so far.
        columns: Number of columns with more than one value.
        share: ``feature_fraction`` of the training.
    """
    drawn = max(int(columns * share + 0.5), min(1, columns))
    steps = trees * _numbers_per_tree(columns, drawn) if share < 1 else 0
    factor, offset, power, shift = 1, 0, _FACTOR, _STEP
    while steps:  # apply the generator's map *steps* times by repeated squaring
        if steps & 1:
            factor, offset = factor * power % _WORD, (offset * power + shift) % _WORD
        power, shift = power * power % _WORD, (shift * power + shift) % _WORD
        steps >>= 1
    state = (seed * factor + offset) % _WORD
    return state - _WORD if state >= _WORD // 2 else state


def _numbers_per_tree(columns: int, drawn: int) -> int:
    """Return how many numbers LightGBM's ``Random::Sample`` draws to choose *drawn* of *columns*."""
    if drawn >= columns or drawn <= 0:
        return 0
    return columns if drawn > 1 and drawn > columns / math.log2(drawn) else drawn


def joined(parts: Sequence[Part]) -> str:
    """Join the trees of several texts into one text, with the head and tail of the first."""
    head, _, rest = parts[0].text.partition("\nTree=")
    tail = rest[rest.index("\nend of trees") + 1 :]
    pattern = re.compile(r"^Tree=.*?(?=^Tree=|^end of trees)", re.MULTILINE | re.DOTALL)
    trees = [tree for part in parts for tree in pattern.findall(part.text)]
    blocks = [re.sub(r"\ATree=\d+", f"Tree={number}", tree) for number, tree in enumerate(trees)]
    sizes = " ".join(str(len(block.encode())) for block in blocks)
    return "\n".join([re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", head), "".join(blocks) + tail])
