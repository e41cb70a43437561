"""Finished comparisons of recipes, as `bot evaluate compare` left them in the state directory."""

import json
from pathlib import Path
from typing import Any


def kept_comparisons(state_dir: Path) -> list[dict[str, Any]]:
    """
    Return the finished comparisons, newest first; unreadable ones are left out.

    Returns:
        The fields of :class:`bot.research.recipe_comparison.Comparison` as JSON values, without the series of eras. The
        key ``eras`` has the first and the last era and their number.
    """
    paths = sorted((state_dir / "experiments").glob("compare-*/result.json"), key=_written, reverse=True)
    return [one for one in map(_read, paths) if one is not None]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        eras = content["eras"]
        about = {"first": eras[0], "last": eras[-1], "count": len(eras)}
        shown = {
            key: content[key] for key in ("target", "recipes", "seeds", "folds", "pay", "rows", "differences", "alike")
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    differences = [{**one, "t": one["mean"] / one["error"] if one["error"] else 0.0} for one in shown["differences"]]
    return {**shown, "differences": differences, "eras": about, "path": str(path)}


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
