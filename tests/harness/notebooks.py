"""Run the code cells of a notebook in a fresh namespace, without Jupyter."""

import json
from pathlib import Path
from typing import Any


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the code cells of a notebook."""
    return [one for one in json.loads(path.read_text(encoding="utf-8"))["cells"] if one["cell_type"] == "code"]


def run(path: Path, **parameters: object) -> dict[str, Any]:
    """
    Run a notebook and return its namespace.

    Args:
        path: The notebook.
        parameters: Values that replace those of the cell with the tag ``parameters``.

    Raises:
        KeyError: That cell does not set one of them.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells(path)):
        exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), namespace)  # noqa: S102 - our own
        if "parameters" in cell["metadata"].get("tags", ()):
            for name, value in parameters.items():
                if name not in namespace:
                    raise KeyError(name)
                namespace[name] = value
    return namespace
