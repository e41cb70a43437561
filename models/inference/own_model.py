"""
Score rows with a person's own ONNX file, of any origin.

A sidecar, JSON beside the file, names the file's columns and their coding, because an ONNX graph has only numbered columns.
Whatever the file cannot be is refused with one line: :class:`OwnModel` checks its form, :func:`examine` its scores.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.bins import FEATURE_VALUES, MIDDLE_BIN, MISSING_CATEGORY
from models.inference._sessions import open_session, run

Codes = npt.NDArray[np.int8]
Coding = Literal["codes", "centred", "unit"]

LARGEST_BYTES = 256 << 20
"""Largest file. It is in memory twice while it is opened, and a submission may take 600 MiB."""

CHUNK = 512
"""Number of rows that are scored at a time; it limits the copy in the file's coding to 7 MB for 3,555 columns."""

TIMED_ROWS = 7_200
"""Rows of a live round at the end of 2026, about."""

LONGEST_S = 120.0
"""Most seconds for :data:`TIMED_ROWS`. A round has an hour, but the five members of a slot share it with uploads."""

BATCH_TOLERANCE = 1e-3
"""Largest difference of a score in batches of other sizes, in standard deviations of the scores."""

_LARGEST_MISSING = 1e6
_TYPES: Mapping[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(int8)": np.int8}
_OUTPUTS = ("tensor(float)", "tensor(double)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """
    What a person writes beside an ONNX file.

    Attributes:
        features: Names of the columns in the file's order.
        coding: Values of the columns: ``codes`` 0 to 4, ``centred`` -2 to 2, ``unit`` 0 to 1.
        input: Name of the file's input; ``None`` for its only one.
        output: Position of the output with the scores.
        missing: Number in place of a missing value, in the file's own coding; ``None`` for the middle bin.
    """

    features: tuple[str, ...]
    coding: Coding = "codes"
    input: str | None = None
    output: int = 0
    missing: float | None = None

    @classmethod
    def from_json(cls, text: str) -> "Sidecar":
        """
        Parse a sidecar.

        Raises:
            ValueError: A key is unknown or missing, or a value cannot be used; the message names it.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the sidecar is no JSON: {error}") from None
        for problem in _problems(content):
            raise ValueError(f"the sidecar {problem}")
        missing = content.get("missing")
        return cls(
            features=tuple(content["features"]),
            coding=content.get("coding", "codes"),
            input=content.get("input"),
            output=content.get("output", 0),
            missing=None if missing is None else float(missing),
        )

    def values(self, kind: type[np.generic]) -> npt.NDArray[np.generic]:
        """
        Return the number of each code, that of a missing value last.

        Raises:
            ValueError: A number is no value of the type *kind*.
        """
        codes = np.array(FEATURE_VALUES, dtype=np.float64)
        coded = {"codes": codes, "centred": codes - MIDDLE_BIN, "unit": codes / codes[-1]}[self.coding]
        wanted = np.append(coded, coded[MIDDLE_BIN] if self.missing is None else self.missing)
        if kind == np.int8 and (np.abs(wanted).max() > 127 or (wanted != np.round(wanted)).any()):
            raise ValueError(f"coding {self.coding!r} and missing {self.missing} are no int8, which the file takes")
        found: npt.NDArray[np.generic] = wanted.astype(kind)
        return found


class OwnModel:
    """
    A person's own model ready to score.

    Attributes:
        sidecar: Its sidecar.

    Args:
        path: The ONNX file.
        sidecar: Its sidecar.
        threads: Number of threads.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is too large, does not run here, names other files, or has other inputs or outputs.
    """

    def __init__(self, path: Path, sidecar: Sidecar, *, threads: int = 1) -> None:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise ValueError(f"{path.name} has {size >> 20:,} MiB; at most {LARGEST_BYTES >> 20} are loaded")
        self.sidecar, self._name = sidecar, path.name
        self._session = open_session(path, threads=threads)
        kind = self._take_input()
        self._output = self._take_output()
        self._values = sidecar.values(kind)

    def predict(self, features: Codes, *, seconds: float | None = None) -> npt.NDArray[np.float64]:
        """
        Return the score of each row.

        Args:
            features: Codes 0 to 4, and 5 for a missing value, of the sidecar's features in their order. Shape
                ``(rows, F)``, int8.
            seconds: Most seconds; ``None`` for any number.

        Returns:
            Scores. Shape ``(rows,)``, float64.

        Raises:
            ValueError: The rows do not fit, the file does not run or takes too long, or a score is not finite.
        """
        if features.dtype != np.int8 or features.ndim != 2 or features.shape[1] != len(self.sidecar.features):
            raise ValueError(f"{self._name} takes int8 of {len(self.sidecar.features)} columns, not {features.shape}")
        scores = np.empty(len(features))
        with _bounded(seconds) as options:
            for start in range(0, len(features), CHUNK):
                part = features[start : start + CHUNK]
                scores[start : start + CHUNK] = self._run(part, options)
        if not np.isfinite(scores).all():
            raise ValueError(f"{self._name} gave {int((~np.isfinite(scores)).sum())} scores that are not finite")
        return scores

    def _run(self, codes: Codes, options: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - onnxruntime is untyped
        if codes.size and (codes.min() < 0 or codes.max() > MISSING_CATEGORY):
            raise ValueError(f"codes are 0 to {MISSING_CATEGORY}")
        try:
            found = run(self._session, self._output, {self._input: self._values[codes]}, options)
        except ValueError as error:
            reason = "it takes too long" if options.terminate else error
            raise ValueError(f"{self._name} gives no scores: {reason}") from None
        if found.shape not in ((len(codes),), (len(codes), 1)):
            raise ValueError(
                f"{self._name} gives an output of shape {found.shape} for {len(codes)} rows, not one score a row"
            )
        return found.reshape(-1).astype(np.float64)

    def _take_input(self) -> type[np.generic]:
        """Find the input; return the type of its values."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or self.sidecar.input not in (None, inputs[0].name):
            names = ", ".join(one.name for one in inputs)
            raise ValueError(
                f"{self._name} takes the inputs {names}; it must take one, {self.sidecar.input or 'of features'}"
            )
        (taken,) = inputs
        wanted = len(self.sidecar.features)
        if taken.type not in _TYPES:
            raise ValueError(f"{self._name} takes {taken.type}; it must take float or int8")
        if len(taken.shape) != 2 or isinstance(taken.shape[0], int):
            raise ValueError(
                f"{self._name} takes the shape {taken.shape}; it must take (rows, features) for any number of rows"
            )
        if isinstance(taken.shape[1], int) and taken.shape[1] != wanted:
            raise ValueError(f"{self._name} takes {taken.shape[1]} columns, and its sidecar names {wanted} features")
        self._input = taken.name
        return _TYPES[taken.type]

    def _take_output(self) -> str:
        outputs = self._session.get_outputs()
        if self.sidecar.output >= len(outputs):
            raise ValueError(
                f"{self._name} has {len(outputs)} outputs, and its sidecar takes number {self.sidecar.output}"
            )
        taken = outputs[self.sidecar.output]
        shape = taken.shape or []
        several = len(shape) > 2 or (len(shape) == 2 and isinstance(shape[1], int) and shape[1] != 1)
        if taken.type not in _OUTPUTS or several:
            raise ValueError(f"{self._name} gives {taken.type} of shape {shape}; it must give one float a row")
        return str(taken.name)


def examine(model: OwnModel, *, seed: int = 1) -> float:
    """
    Let a model score random rows, and return the seconds that it takes for a round.

    Raises:
        ValueError: It takes too long, gives every row the same score, or scores a row by the others beside it.
    """
    codes = np.random.default_rng(seed).integers(
        FEATURE_VALUES[0], FEATURE_VALUES[-1] + 1, (TIMED_ROWS, len(model.sidecar.features)), dtype=np.int8
    )
    few = codes[:7]
    alone = np.concatenate([model.predict(row[None], seconds=LONGEST_S) for row in few])
    began = time.perf_counter()
    scores = model.predict(codes, seconds=LONGEST_S)
    seconds = time.perf_counter() - began
    spread = scores.std()
    if spread == 0:
        raise ValueError("every row gets the same score")
    if np.abs(scores[: len(few)] - alone).max() > BATCH_TOLERANCE * spread:
        raise ValueError("the score of a row depends on the other rows of its batch; scores must be row by row")
    return seconds


@contextmanager
def _bounded(seconds: float | None) -> Iterator[Any]:
    """Yield options that end a run of onnxruntime after some seconds."""
    options = onnxruntime.RunOptions()
    if seconds is None:
        yield options
        return
    timer = threading.Timer(max(seconds, 0), setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def _problems(content: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield a line for each part of a sidecar that cannot be used."""
    if not isinstance(content, dict):
        yield 'must be an object such as {"features": ["feature_a"], "coding": "codes"}'
        return
    known = [one.name for one in fields(Sidecar)]
    yield from (f"has the unknown key {key!r}; keys: {', '.join(known)}" for key in content if key not in known)
    features, missing, output = content.get("features"), content.get("missing", 0), content.get("output", 0)
    if not isinstance(features, list) or not features or not all(isinstance(one, str) for one in features):
        yield "needs features, a list of names"
    elif len(set(features)) != len(features):
        yield "names a feature twice"
    if content.get("coding", "codes") not in get_args(Coding):
        yield f"has another coding than {', '.join(get_args(Coding))}"
    if not isinstance(content.get("input"), str | None):
        yield "has an input that is no name"
    if type(output) is not int or output < 0:
        yield "has an output that is no position, 0 or more"
    if type(missing) not in (int, float, type(None)) or not abs(missing or 0) <= _LARGEST_MISSING:
        yield f"has a missing that is no number up to {_LARGEST_MISSING:g}"
