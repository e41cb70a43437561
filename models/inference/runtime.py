"""
Score rows with an exported network by onnxruntime, without torch.

:mod:`models.trees.trees` does the same for LightGBM models.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _ort

from models.inference.exported import ExportedNetwork, Floats
from models.inference.external_data import refuse_external_data

_ORT_ERRORS = (
    _ort.EPFail,
    _ort.EngineError,
    _ort.Fail,
    _ort.InvalidArgument,
    _ort.InvalidGraph,
    _ort.InvalidProtobuf,
    _ort.ModelLoadCanceled,
    _ort.NoModel,
    _ort.NotImplemented,
    _ort.RuntimeException,
)
"""All errors of onnxruntime; they have no common base class."""


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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        content = Path(path).read_bytes()
        try:
            refuse_external_data(content)
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except ValueError as error:
            raise ValueError(f"{path} is not an ONNX model that runs here: {error}") from None
        except _ORT_ERRORS as error:
            raise ValueError(f"{path} is not an ONNX model that runs here: {error}") from None
        super().__init__(
            path,
            {node.name: node.shape for node in self._session.get_inputs()},
            self._session.get_modelmeta().custom_metadata_map,
        )

    def _run(self, feed: dict[str, npt.NDArray[np.generic]]) -> Floats:
        try:
            (logits,) = self._session.run(["logits"], feed)
        except _ORT_ERRORS as error:
            raise ValueError(f"the network does not run: {error}") from None
        return np.asarray(logits, dtype=np.float32)
