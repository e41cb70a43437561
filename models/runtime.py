"""
Score rows with an exported network, with onnxruntime and numpy alone: torch is never imported here.

For LightGBM's half see :mod:`models.trees`.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _ort

METADATA_KEY = "network"
"""Where :mod:`models.export` keeps the network's config as JSON."""

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
History = Floats | Callable[[slice], Floats]
"""The history of all rows, or what makes that of some rows; 7,000 of them at once would be 70 MB and more."""

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

_INPUTS = ("features", "engineered", "history")


class OnnxNetwork:
    """
    An exported network ready to score.

    Attributes:
        targets: What the logits stand for, in order.
        inputs: Which of ``features``, ``engineered`` and ``history`` the network takes.
        lookback: Steps of the history, 0 without one.
        channels: Channels of the history, 0 without one.

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
        self._widths = {name: tuple(shapes[name][1:]) for name in self.inputs}
        try:
            config = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA_KEY])
            self.targets = tuple(str(target) for target in config["targets"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path} does not say which targets it predicts: it was not exported by this bot"
            ) from None
        self.lookback, self.channels = self._widths.get("history", (0, 0))

    def logits(
        self,
        features: Codes,
        engineered: Floats | None = None,
        history: History | None = None,
        *,
        chunk: int = 256,
    ) -> Floats:
        """
        Return the logits of each row's targets and classes.

        Args:
            features: Prepared codes; the graph centres them itself. Shape ``(rows, F)``, int8.
            engineered: Shape ``(rows, E)``, float32; ignored by a network without engineered columns.
            history: Shape ``(rows, L, C)``, float32, or a function that returns it for a slice of the rows; None masks
                it with zeros, as training does at times; ignored by a network without history.
            chunk: Rows scored at a time. 64 to 256 run 1.5 times faster than all at once, in a third of the memory.

        Returns:
            Shape ``(rows, T, 5)``, float32.

        Raises:
            ValueError: An input is missing, or has another type or shape than the network's.
        """
        if "engineered" in self.inputs and engineered is None:
            raise ValueError("the network takes engineered columns, and none are given")
        rows = len(features)
        masked = np.zeros((min(chunk, rows), self.lookback, self.channels), dtype=np.float32)
        pieces = []
        for start in range(0, rows, chunk):
            part = slice(start, min(start + chunk, rows))
            feed: dict[str, npt.NDArray[np.generic]] = {"features": features[part]}
            if engineered is not None and "engineered" in self.inputs:
                feed["engineered"] = engineered[part]
            if "history" in self.inputs:
                if history is None:
                    feed["history"] = masked[: part.stop - part.start]
                else:
                    feed["history"] = history(part) if callable(history) else history[part]
            self._check(feed, part.stop - part.start)
            pieces.append(self._run(feed))
        return np.concatenate(pieces) if pieces else np.zeros((0, len(self.targets), 5), dtype=np.float32)

    def _check(self, feed: dict[str, npt.NDArray[np.generic]], rows: int) -> None:
        for name, value in feed.items():
            dtype = np.int8 if name == "features" else np.float32
            expected = (rows, *self._widths[name])
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
