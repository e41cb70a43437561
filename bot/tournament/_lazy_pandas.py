"""
Import a library that binds pandas at its top without importing pandas.

numerapi imports pandas for methods that the bot never calls. This would cost the daemon 75 MiB for as long as it runs,
and each submission a third of a second. A method that needs pandas still imports it when it is called.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Pandas(ModuleType):
    """Stand-in for the module pandas that imports the real one when an attribute is read."""

    DataFrame = type("DataFrame", (), {})
    """Stand-in for annotations, which Python evaluates while the library is imported."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of pandas
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module("pandas"), name)


def load(name: str) -> ModuleType:
    """Import the module *name* with a stand-in for pandas, or with pandas if it is imported already."""
    if "pandas" in sys.modules:
        return importlib.import_module(name)
    sys.modules["pandas"] = _Pandas("pandas")
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules["pandas"]
