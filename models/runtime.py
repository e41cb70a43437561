"""
Score rows with an exported network, with onnxruntime and numpy alone: torch is never imported here.

For LightGBM's half see :mod:`models.trees`.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _ort

METADATA_KEY = "network"
"""Where :mod:`models.export` keeps the network's config as JSON."""

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
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
"""onnxruntime's errors have no root of their own."""

_INPUTS = ("features", "engineered", "window", "predictions")


class OnnxNetwork:
    """
    An exported network ready to score.

    Attributes:
        targets: What the logits stand for, in order.
        inputs: Which of ``features``, ``engineered``, ``window`` and ``predictions`` the network takes.

    Args:
        path: The ONNX file that :func:`models.export.export` wrote.
        threads: Cores to use; onnxruntime would take all of them.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or not a network of this bot.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                Path(path).read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except _ORT_ERRORS as error:
            raise ValueError(f"{path} is not an ONNX model that runs here: {error}") from None
        shapes = {node.name: node.shape for node in self._session.get_inputs()}
        if "features" not in shapes or not set(shapes) <= set(_INPUTS):
            raise ValueError(f"{path} takes {sorted(shapes)}, not the inputs of an exported network")
        self.inputs = tuple(name for name in _INPUTS if name in shapes)
        self._shapes = {name: tuple(shapes[name] if name == "window" else shapes[name][1:]) for name in self.inputs}
        try:
            config = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA_KEY])
            self.targets = tuple(str(target) for target in config["targets"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path} does not say which targets it predicts: it was not exported by this bot"
            ) from None

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
        Return the logits of each row's targets and classes.

        What the network does not take is ignored, except that engineered columns it does take must be there.

        Args:
            features: Prepared codes; the graph centres them itself. Shape ``(rows, F)``, int8.
            engineered: Shape ``(rows, E)``, float32.
            window: Feature returns that were resolved at the rows' era, newest first, the same for all rows. Shape
                ``(L, F, K)``, float32; ``None`` masks it with zeros, as training does at times.
            predictions: Another model's predictions of each target. Shape ``(rows, T)``, float32; ``None`` masks them.
            chunk: Rows scored at a time. 64 to 256 run 1.5 times faster than all at once, in a third of the memory.

        Returns:
            Shape ``(rows, T, 5)``, float32.

        Raises:
            ValueError: An input is missing, or has another type or shape than the network's.
        """
        rows = len(features)
        given: dict[str, npt.NDArray[np.generic]] = {"features": features}
        for name, value in (("engineered", engineered), ("window", window), ("predictions", predictions)):
            if name not in self.inputs:
                continue
            if value is None and name == "engineered":
                raise ValueError("the network takes engineered columns, and none are given")
            shape = self._shapes[name] if name == "window" else (rows, *self._shapes[name])
            given[name] = np.zeros(shape, dtype=np.float32) if value is None else value
        self._check(given, rows)
        pieces = []
        for start in range(0, rows, chunk):
            part = slice(start, start + chunk)
            pieces.append(
                self._run({name: value if name == "window" else value[part] for name, value in given.items()})
            )
        return np.concatenate(pieces) if pieces else np.zeros((0, len(self.targets), 5), dtype=np.float32)

    def _check(self, given: dict[str, npt.NDArray[np.generic]], rows: int) -> None:
        for name, value in given.items():
            dtype = np.int8 if name == "features" else np.float32
            expected = self._shapes[name] if name == "window" else (rows, *self._shapes[name])
            if value.dtype != dtype or value.shape != expected:
                raise ValueError(
                    f"{name}: expected {np.dtype(dtype)} of shape {expected}, got {value.dtype} of {value.shape}"
                )

    def _run(self, feed: dict[str, npt.NDArray[np.generic]]) -> Floats:
        try:
            (logits,) = self._session.run(["logits"], feed)
        except _ORT_ERRORS as error:
            raise ValueError(f"the network does not run: {error}") from None
        return np.asarray(logits, dtype=np.float32)
