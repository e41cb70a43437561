"""
Predict with LightGBM's shared library through ctypes, for models that :mod:`models.trees._tree_bits` cannot evaluate.

LightGBM's Python package is not imported: where sklearn is installed, ``import lightgbm`` costs 0.9 s and 150 MB that
scoring does not need. Opening the library takes 3 ms.
"""

import ctypes
import weakref
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

_FLOAT32 = 0
_ROW_MAJOR = 1
_NORMAL = 0
_ALL_TREES = -1


class LightGbmError(RuntimeError):
    """LightGBM's library is missing, or a call of it failed. The message is LightGBM's."""


class NativeBooster:
    """
    A model inside LightGBM's library. It is freed with the object.

    Args:
        text: The model as ``Booster.save_model`` writes it. Check it with :func:`models.trees.tree_text.parse` first,
            because the library does not.
        threads: Number of threads of :meth:`predict`.

    Raises:
        LightGbmError: The library is missing or refuses the model.
    """

    def __init__(self, text: bytes, *, threads: int = 1) -> None:
        self._library = _library()
        self._parameters = f"num_threads={threads} verbosity=-1".encode()
        handle, iterations = ctypes.c_void_p(), ctypes.c_int()
        self._call("LGBM_BoosterLoadModelFromString", text, ctypes.byref(iterations), ctypes.byref(handle))
        self._handle = handle
        self._free = weakref.finalize(self, self._library.LGBM_BoosterFree, handle)
        count = ctypes.c_int()
        self._call("LGBM_BoosterGetNumFeature", handle, ctypes.byref(count))
        self._columns = count.value

    def predict(self, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """
        Return the model's output for each row.

        Args:
            X: Rows in C order, float32. Shape ``(rows, columns)``.

        Raises:
            ValueError: The number of columns is not the model's, or *X* is not float32 in C order.
            LightGbmError: The library reports an error.
        """
        if X.dtype != np.float32 or X.ndim != 2 or not X.flags.c_contiguous or X.shape[1] != self._columns:
            raise ValueError(f"expected float32 rows of {self._columns} columns, got {X.dtype} {X.shape}")
        out = np.empty(len(X))
        length = ctypes.c_int64()
        self._call(
            "LGBM_BoosterPredictForMat",
            self._handle,
            X.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int(_FLOAT32),
            ctypes.c_int32(len(X)),
            ctypes.c_int32(self._columns),
            ctypes.c_int(_ROW_MAJOR),
            ctypes.c_int(_NORMAL),
            ctypes.c_int(0),
            ctypes.c_int(_ALL_TREES),
            self._parameters,
            ctypes.byref(length),
            out.ctypes.data_as(ctypes.c_void_p),
        )
        if length.value != len(X):
            raise LightGbmError(f"LightGBM returned {length.value} predictions for {len(X)} rows")
        return out

    def _call(self, name: str, *arguments: object) -> None:
        if self._library[name](*arguments):
            raise LightGbmError(f"{name}: {self._library.LGBM_GetLastError().decode('utf-8', 'replace')}")


@cache
def _library() -> ctypes.CDLL:
    """Open the shared library of the lightgbm package without importing the package."""
    found = find_spec("lightgbm")
    if found is None or found.origin is None:
        raise LightGbmError("the lightgbm package is not installed")
    try:
        library = ctypes.CDLL(str(Path(found.origin).parent / "lib" / "lib_lightgbm.so"))
    except OSError as error:
        raise LightGbmError(f"LightGBM's library does not open: {error}") from None
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    library.LGBM_BoosterFree.argtypes = [ctypes.c_void_p]
    return library
