"""Open ONNX files in onnxruntime, and turn its errors into ``ValueError``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _ort

from models.inference.external_data import refuse_external_data

ORT_ERRORS = (
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


def open_session(path: Path, *, threads: int) -> Any:  # noqa: ANN401 - onnxruntime is untyped
    """
    Return a session on the CPU.

    Args:
        path: The ONNX file.
        threads: Number of threads. onnxruntime's default is one a core.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged, does not run in this onnxruntime, or names other files with weights.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for work would spin, and take the time of other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    content = Path(path).read_bytes()
    try:
        refuse_external_data(content)
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (ValueError, *ORT_ERRORS) as error:
        raise ValueError(f"{path} is not an ONNX model that runs here: {error}") from None


def run(
    session: Any,  # noqa: ANN401 - onnxruntime is untyped
    output: str,
    feed: Mapping[str, npt.NDArray[np.generic]],
    options: Any = None,  # noqa: ANN401 - onnxruntime is untyped
) -> npt.NDArray[np.generic]:
    """
    Return one output of a session.

    Raises:
        ValueError: The model does not run on these inputs.
    """
    try:
        (found,) = session.run([output], dict(feed), options)
    except ORT_ERRORS as error:
        raise ValueError(f"the model does not run: {error}") from None
    return np.asarray(found)
