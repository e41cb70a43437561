"""
Load what imports pandas for a few of its methods, without loading pandas.

numerapi does: 75 MiB for as long as a daemon lives, and a third of a second of every submission, for methods that the bot
never calls. Those that need pandas still find it when they are called.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Pandas(ModuleType):
    """Stands where a library would have bound pandas; the real one is loaded by whoever asks it for anything."""

    DataFrame = type("DataFrame", (), {})
    """For annotations, which are evaluated while the library is imported."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever pandas has
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module("pandas"), name)


def load(name: str) -> ModuleType:
    """Import a module that binds a stand-in for pandas; where pandas is loaded already, it gets pandas itself."""
    if "pandas" in sys.modules:
        return importlib.import_module(name)
    sys.modules["pandas"] = _Pandas("pandas")
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules["pandas"]
