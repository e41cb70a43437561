"""
Snapshots of a training under way, and how it goes on from one as if nothing had happened.

A snapshot holds the trees so far and the score of every row, in float64 as LightGBM keeps it: gradients follow from
the scores, so the next tree is the same tree, but for the columns it may look at. Those LightGBM draws from a generator
that a new booster starts afresh; it is therefore started where the old one stood, which is what
:func:`column_seed` works out. (``init_model`` of LightGBM's Python package restarts it: every continuation would look at
the columns of the first trees again.) Nothing is different for a training that was not interrupted, and the number of
trees between snapshots does not change the model either.
"""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_STATE = "progress.json"
_WORD = 1 << 32
_FACTOR, _STEP = 214_013, 2_531_011
"""Of LightGBM's linear congruential generator, ``include/LightGBM/utils/random.h`` of 4.7.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """
    Where a training leaves its progress.

    Attributes:
        folder: Of this training alone.
        every: Trees between two snapshots; this many are lost at most.
    """

    folder: Path
    every: int = 500

    def load(self, fingerprint: str) -> "Progress | None":
        """Return the progress of the training called *fingerprint*; ``None`` where there is none, or it is damaged."""
        try:
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            if state["fingerprint"] != fingerprint:
                return None
            content = {}
            for name, digest in state["files"].items():
                content[name] = (self.folder / name).read_bytes()
                if hashlib.sha256(content[name]).hexdigest() != digest:
                    return None
            return Progress(
                rounds=state["rounds"],
                parts=tuple(
                    Part(text=content[name].decode("utf-8"), sha256=state["files"][name]) for name in state["parts"]
                ),
                scores=np.frombuffer(content[state["scores"]], dtype=np.float64),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, fingerprint: str, progress: "Progress") -> None:
        """
        Record *progress*; killed at any moment, the one before it still stands.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        names = [f"{part.sha256[:32]}.trees" for part in progress.parts]
        for name, part in zip(names, progress.parts, strict=True):
            if not (self.folder / name).exists():
                self._write(name, part.text.encode())
        raw = progress.scores.astype(np.float64).tobytes()
        scores = f"{progress.rounds}.scores"
        self._write(scores, raw)
        files = {name: part.sha256 for name, part in zip(names, progress.parts, strict=True)}
        files[scores] = hashlib.sha256(raw).hexdigest()
        state = {"fingerprint": fingerprint, "rounds": progress.rounds, "parts": names, "scores": scores}
        self._write(_STATE, json.dumps({**state, "files": files}).encode())
        for path in self.folder.iterdir():
            if path.name != _STATE and path.name not in files:
                path.unlink()

    def clear(self) -> None:
        """Remove the snapshots, once the model is where it belongs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, data: bytes) -> None:
        draft = self.folder / f".{name}"
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """LightGBM's text of some trees, and its digest."""

    text: str
    sha256: str

    @classmethod
    def of(cls, text: str) -> "Part":
        """Return *text* with its digest."""
        return cls(text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    A training under way.

    Attributes:
        rounds: Trees grown, those included that found nothing to split.
        parts: The trees, part after part.
        scores: Sum of the trees for each row of the training set. Shape ``(rows,)``, float64.
    """

    rounds: int
    parts: tuple[Part, ...]
    scores: npt.NDArray[np.float64]


def column_seed(seed: int, *, trees: int, columns: int, share: float) -> int:
    """
    Return the seed by which a new booster draws the columns of the next tree after *trees* others.

    Args:
        seed: ``feature_fraction_seed`` of the first booster.
        trees: That have been grown.
        columns: That hold more than one value.
        share: ``feature_fraction``.
    """
    drawn = max(int(columns * share + 0.5), min(1, columns))
    steps = trees * _numbers_per_tree(columns, drawn) if share < 1 else 0
    factor, offset, power, shift = 1, 0, _FACTOR, _STEP
    while steps:  # the generator's map, squared over and over
        if steps & 1:
            factor, offset = factor * power % _WORD, (offset * power + shift) % _WORD
        power, shift = power * power % _WORD, (shift * power + shift) % _WORD
        steps >>= 1
    state = (seed * factor + offset) % _WORD
    return state - _WORD if state >= _WORD // 2 else state


def _numbers_per_tree(columns: int, drawn: int) -> int:
    """Return how often LightGBM's ``Random::Sample`` asks its generator for *drawn* of *columns*."""
    if drawn >= columns or drawn <= 0:
        return 0
    return columns if drawn > 1 and drawn > columns / math.log2(drawn) else drawn


def joined(parts: Sequence[Part]) -> str:
    """Return the trees of several texts as one text, with the head and tail of the first."""
    head, _, rest = parts[0].text.partition("\nTree=")
    tail = rest[rest.index("\nend of trees") + 1 :]
    pattern = re.compile(r"^Tree=.*?(?=^Tree=|^end of trees)", re.MULTILINE | re.DOTALL)
    trees = [tree for part in parts for tree in pattern.findall(part.text)]
    blocks = [re.sub(r"\ATree=\d+", f"Tree={number}", tree) for number, tree in enumerate(trees)]
    sizes = " ".join(str(len(block.encode())) for block in blocks)
    return "\n".join([re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", head), "".join(blocks) + tail])
