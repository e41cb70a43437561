"""
Score rows with an exported network by onnxruntime, without torch.

:mod:`models.trees.trees` does the same for LightGBM models.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.inference._sessions import open_session, run
from models.inference.exported import ExportedNetwork, Floats


class OnnxNetwork(ExportedNetwork):
    """
    An exported network, evaluated by onnxruntime.

    Args:
        path: The ONNX file that :func:`models.inference.export.export` wrote.
        threads: Number of threads. onnxruntime's default is one a core.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged, was not exported by this bot, or names other files with weights.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._session = open_session(path, threads=threads)
        super().__init__(
            path,
            {node.name: node.shape for node in self._session.get_inputs()},
            self._session.get_modelmeta().custom_metadata_map,
        )

    def _run(self, feed: dict[str, npt.NDArray[np.generic]]) -> Floats:
        return np.asarray(run(self._session, "logits", feed), dtype=np.float32)
