"""
Score rows with an exported network by onnx's reference implementation, in numpy.

Numerai's machines run uploaded models and have no onnxruntime. 7,000 rows of the standard network take 1.5 s of CPU;
onnxruntime takes 0.6.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx.reference import ReferenceEvaluator

from models.inference.exported import ExportedNetwork, Floats
from models.inference.external_data import refuse_external_data


class ReferenceNetwork(ExportedNetwork):
    """
    An exported network, evaluated by onnx.

    Args:
        path: The ONNX file that :func:`models.inference.export.export` wrote.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged, was not exported by this bot, or names other files with weights.
    """

    def __init__(self, path: Path) -> None:
        content = Path(path).read_bytes()
        try:
            refuse_external_data(content)
            model = onnx.load_model_from_string(content)
        except (DecodeError, ValueError) as error:
            raise ValueError(f"{path} is not an ONNX model: {error}") from None
        shapes = {
            one.name: [axis.dim_value or axis.dim_param for axis in one.type.tensor_type.shape.dim]
            for one in model.graph.input
        }
        super().__init__(path, shapes, {entry.key: entry.value for entry in model.metadata_props})
        self._evaluator = ReferenceEvaluator(model)

    def _run(self, feed: dict[str, npt.NDArray[np.generic]]) -> Floats:
        (logits,) = self._evaluator.run(["logits"], feed)
        return np.asarray(logits, dtype=np.float32)
