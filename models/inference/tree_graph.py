"""
Score rows with exported trees by onnxruntime, without the library that trained them.

:mod:`models.inference.tree_export` writes the files. LightGBM's have their own, faster evaluation in :mod:`models.trees.trees`.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.inference._sessions import open_session, run

METADATA_KEY = "trees"
"""Key of the file's metadata: JSON with ``inputs``, ``targets`` and ``library``."""

FEATURES, ENGINEERED, SCORES = "features", "engineered", "scores"
"""Names of the graph's inputs, int8 ``(rows, F)`` and float32 ``(rows, E)``, and of its output ``(rows, targets)``."""

CHUNK = 512
"""Number of rows that are scored at a time; it limits the copy as float32 to 7 MB for 3,555 columns."""

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]


class TreeGraph:
    """
    Exported trees ready to score.

    Attributes:
        inputs: Names of the columns in order: features first, then engineered columns.
        targets: Names of the predicted targets.

    Args:
        path: File that :func:`models.inference.tree_export.export_trees` wrote.
        threads: Number of threads.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged, was not exported by this bot, or names other files with weights.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._session = open_session(path, threads=threads)
        try:
            noted = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA_KEY])
            self.inputs = tuple(str(name) for name in noted["inputs"])
            self.targets = tuple(str(name) for name in noted["targets"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} does not name its columns: it was not exported by this bot") from None
        shapes = {node.name: node.shape for node in self._session.get_inputs()}
        outputs = [node.name for node in self._session.get_outputs()]
        if not set(shapes) <= {FEATURES, ENGINEERED} or FEATURES not in shapes or outputs != [SCORES]:
            raise ValueError(f"{path} takes {sorted(shapes)}, not the inputs of exported trees")
        self._engineered = ENGINEERED in shapes

    def predict(self, features: Codes, engineered: Floats | None = None) -> Floats:
        """
        Return the score of each row for every target.

        Args:
            features: Codes as the trees were trained on them. Shape ``(rows, F)``, int8.
            engineered: Engineered columns, if any. Shape ``(rows, E)``, float32.

        Returns:
            Scores. Shape ``(rows, targets)``, float32.

        Raises:
            ValueError: ``F + E`` is not the number of inputs, or an input has another type or is not finite.
        """
        made = np.empty((len(features), 0), dtype=np.float32) if engineered is None else engineered
        if features.dtype != np.int8 or made.dtype != np.float32 or len(made) != len(features):
            raise ValueError(f"expected int8 and float32 of the same rows, got {features.dtype} and {made.dtype}")
        if features.shape[1] + made.shape[1] != len(self.inputs) or bool(made.shape[1]) != self._engineered:
            raise ValueError(f"the trees take {len(self.inputs)} columns, not {features.shape[1]} + {made.shape[1]}")
        if not np.isfinite(made).all():
            raise ValueError("an engineered column holds values that are not finite")
        scores = np.empty((len(features), len(self.targets)), dtype=np.float32)
        for start in range(0, len(features), CHUNK):
            part = slice(start, start + CHUNK)
            feed: dict[str, npt.NDArray[np.generic]] = {FEATURES: np.ascontiguousarray(features[part])}
            if self._engineered:
                feed[ENGINEERED] = np.ascontiguousarray(made[part])
            scores[part] = run(self._session, SCORES, feed)
        return scores
