"""
Base class of exported networks: their inputs, targets and checks. Subclasses evaluate the graph.

:mod:`models.inference.runtime` uses onnxruntime, :mod:`models.inference.reference` uses onnx. This module needs only numpy.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bins import TARGET_VALUES

METADATA_KEY = "network"
"""Key of the file's metadata under which :mod:`models.inference.export` stores the network's config as JSON."""

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]

_INPUTS = ("features", "engineered", "window", "predictions")


class ExportedNetwork(ABC):
    """
    An exported network ready to score.

    Attributes:
        targets: Names of the predicted targets, in the order of the logits.
        outputs: Outputs of each target: 5 classes, or 1 score.
        inputs: Those of ``features``, ``engineered``, ``window`` and ``predictions`` that the network takes.

    Args:
        path: Path of the file, for messages.
        shapes: Shapes of the graph's inputs by name. The first axis of all but ``window`` is the rows.
        metadata: Metadata of the file.

    Raises:
        ValueError: The file was not exported by this bot.
    """

    def __init__(self, path: Path, shapes: Mapping[str, Sequence[Any]], metadata: Mapping[str, str]) -> None:
        if "features" not in shapes or not set(shapes) <= set(_INPUTS):
            raise ValueError(f"{path} takes {sorted(shapes)}, not the inputs of an exported network")
        self.inputs = tuple(name for name in _INPUTS if name in shapes)
        self._shapes = {name: tuple(shapes[name] if name == "window" else shapes[name][1:]) for name in self.inputs}
        try:
            config = json.loads(metadata[METADATA_KEY])
            self.targets = tuple(str(target) for target in config["targets"])
            # Files of earlier versions have no head in their config.
            self.outputs = 1 if config.get("head") == "score" else len(TARGET_VALUES)
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} does not name its targets: it was not exported by this bot") from None

    def logits(
        self,
        features: Codes,
        engineered: Floats | None = None,
        window: Floats | None = None,
        predictions: Floats | None = None,
        *,
        chunk: int = 256,
    ) -> Floats:
        """
        Return the logits of each row's targets and classes, or their scores.

        Inputs that the network does not take are ignored.

        Args:
            features: Prepared codes; the graph centres them. Shape ``(rows, F)``, int8.
            engineered: Engineered columns; required if the network takes them. Shape ``(rows, E)``, float32.
            window: Feature returns that were resolved at the rows' era, newest first, the same for all rows. Shape
                ``(L, F, K)``, float32. ``None`` masks the window with zeros, as training sometimes does.
            predictions: Another model's predictions of each target. Shape ``(rows, T)``, float32. ``None`` masks them.
            chunk: Number of rows scored at a time. 64 to 256 are 1.5 times faster than all rows at once, and take a
                third of the memory.

        Returns:
            Logits or scores. Shape ``(rows, T, outputs)``, float32.

        Raises:
            ValueError: An input is missing, or has another type or shape than the network's.
        """
        rows = len(features)
        given: dict[str, npt.NDArray[np.generic]] = {"features": features}
        for name, value in (("engineered", engineered), ("window", window), ("predictions", predictions)):
            if name not in self.inputs:
                continue
            if value is None and name == "engineered":
                raise ValueError("the network takes engineered columns, but none are given")
            shape = self._shapes[name] if name == "window" else (rows, *self._shapes[name])
            given[name] = np.zeros(shape, dtype=np.float32) if value is None else value
        self._check(given, rows)
        pieces = []
        for start in range(0, rows, chunk):
            part = slice(start, start + chunk)
            pieces.append(
                self._run({name: value if name == "window" else value[part] for name, value in given.items()})
            )
        return np.concatenate(pieces) if pieces else np.zeros((0, len(self.targets), self.outputs), dtype=np.float32)

    def _check(self, given: dict[str, npt.NDArray[np.generic]], rows: int) -> None:
        for name, value in given.items():
            dtype = np.int8 if name == "features" else np.float32
            expected = self._shapes[name] if name == "window" else (rows, *self._shapes[name])
            if value.dtype != dtype or value.shape != expected:
                raise ValueError(
                    f"{name}: expected {np.dtype(dtype)} of shape {expected}, got {value.dtype} of {value.shape}"
                )

    @abstractmethod
    def _run(self, feed: dict[str, npt.NDArray[np.generic]]) -> Floats:
        """Return the graph's output for some rows; raise ``ValueError`` if it cannot be evaluated."""
