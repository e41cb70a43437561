"""A linear model of feature codes and engineered columns: its file, and its predictions in numpy."""

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.bins import MIDDLE_BIN, MISSING_CATEGORY

CHUNK = 512
"""Number of rows that are cast to float64 at a time: 15 MB for 3,555 columns."""

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

_FILES = ("inputs", "targets", "coefficients", "intercepts", "alpha", "rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearModel:
    """
    Coefficients of several targets on the same columns.

    Attributes:
        inputs: Names of the columns in order: features first, then engineered columns.
        targets: Names of the targets.
        coefficients: Coefficients on codes minus the middle bin and on raw engineered columns. Shape ``(T, inputs)``.
        intercepts: Prediction of a row whose columns are all 0. Shape ``(T,)``.
        alpha: Penalty that the coefficients were fitted with.
        rows: Number of rows that each target was fitted on.

    Raises:
        ValueError: Shapes do not match, or a number is not finite.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    coefficients: Array
    intercepts: Array
    alpha: float
    rows: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the shapes and numbers of a file before anything is scored with it."""
        shape = (len(self.targets), len(self.inputs))
        if self.coefficients.shape != shape or self.intercepts.shape != shape[:1] or len(self.rows) != shape[0]:
            raise ValueError(f"a linear model of {shape[0]} targets and {shape[1]} columns has other coefficients")
        if not np.isfinite(self.coefficients).all() or not np.isfinite(self.intercepts).all():
            raise ValueError("the linear model holds numbers that are not finite")

    def predict(self, features: Codes, engineered: Floats | None = None) -> Array:
        """
        Return the prediction of each target.

        Args:
            features: Codes 0 to 4, and 5 for a missing value, which counts as the middle bin. Shape ``(rows, F)``, int8.
            engineered: Engineered columns, if any. Shape ``(rows, E)``, float32.

        Returns:
            Predictions. Shape ``(rows, T)``, float64.

        Raises:
            ValueError: ``F + E`` is not the number of inputs, or an input has another type or is not finite.
        """
        made = np.empty((len(features), 0), dtype=np.float32) if engineered is None else engineered
        check_columns(features, made, len(self.inputs))
        width = features.shape[1]
        on_codes, on_made = self.coefficients[:, :width].T, self.coefficients[:, width:].T
        predictions = np.empty((len(features), len(self.targets)))
        for start in range(0, len(features), CHUNK):
            part = slice(start, start + CHUNK)
            rows = np.empty((len(features[part]), width), order="C")
            centre(features[part], rows)
            predictions[part] = rows @ on_codes + made[part].astype(np.float64) @ on_made + self.intercepts
        return predictions

    def to_bytes(self) -> bytes:
        """Return the model as an npz file without pickle; equal models give equal bytes."""
        content = io.BytesIO()
        np.savez(
            content,
            inputs=np.array(self.inputs, dtype=np.str_),
            targets=np.array(self.targets, dtype=np.str_),
            coefficients=self.coefficients,
            intercepts=self.intercepts,
            alpha=np.float64(self.alpha),
            rows=np.array(self.rows, dtype=np.int64),
        )
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "LinearModel":
        """
        Parse the file of :meth:`to_bytes`.

        Raises:
            ValueError: The file is damaged or is not a linear model.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                parts = {name: file[name] for name in _FILES}
            return cls(
                inputs=tuple(str(name) for name in parts["inputs"]),
                targets=tuple(str(name) for name in parts["targets"]),
                coefficients=parts["coefficients"].astype(np.float64),
                intercepts=parts["intercepts"].astype(np.float64),
                alpha=float(parts["alpha"]),
                rows=tuple(int(count) for count in parts["rows"]),
            )
        except (
            ValueError,
            KeyError,
            TypeError,
            OSError,
            EOFError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ValueError(f"the linear model is damaged: {error}") from None


def check_columns(features: Codes, engineered: Floats, inputs: int) -> None:
    """Raise ``ValueError`` if the columns are not int8 and finite float32 of the same rows, *inputs* together."""
    if features.dtype != np.int8 or engineered.dtype != np.float32 or len(engineered) != len(features):
        raise ValueError(f"expected int8 and float32 of the same rows, got {features.dtype} and {engineered.dtype}")
    if features.shape[1] + engineered.shape[1] != inputs:
        raise ValueError(f"the model takes {inputs} columns, not {features.shape[1]} + {engineered.shape[1]}")
    if not np.isfinite(engineered).all():
        raise ValueError("an engineered column holds values that are not finite")


def centre(features: Codes, out: npt.NDArray[np.floating]) -> None:
    """Write codes minus the middle bin into *out*; a missing value becomes 0, because a line has no place for it."""
    np.subtract(features, np.int8(MIDDLE_BIN), out=out)
    if features.size and features.max() >= MISSING_CATEGORY:
        out[features >= MISSING_CATEGORY] = 0
