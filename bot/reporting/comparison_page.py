"""The page of a comparison of recipes: tables, cumulative pay, and how alike the recipes are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bot.reporting._sentences import comparison_sentences
from bot.reporting.chart_axes import format_number
from bot.reporting.charts import Line, heat_chart, is_drawn, line_chart
from bot.system.files import publish


def write(figures: Mapping[str, Any], path: Path) -> None:
    """
    Write the page in one atomic step.

    Args:
        figures: Result of :func:`bot.research.recipe_comparison.compare` as JSON.
        path: Path of the page.
    """
    environment = Environment(
        loader=PackageLoader("bot"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = format_number
    template = environment.get_template("comparison.html.j2")
    page = template.render(one=figures, charts=_charts(figures), reading=comparison_sentences(figures))
    publish(path, page.encode())


def _charts(figures: Mapping[str, Any]) -> dict[str, Markup]:
    """Return the charts that have anything to draw: one of each score, cumulative, and one of the correlations."""
    names = list(figures["series"])
    found = {}
    for score in ("pay", "CORR", "BMC", "MMC"):
        lines = [Line(name=name, values=_cumulated(figures["series"][name][score])) for name in names]
        shown = [one for one in lines if np.isfinite(one.values).any()]
        found[score] = line_chart(f"Cumulative {score}", figures["eras"], shown, across="era")
    recipes = [name for name in names if name in figures["alike"]]
    table = [[1.0 if a == b else figures["alike"][a].get(b, float("nan")) for b in recipes] for a in recipes]
    title = "Rank correlation of the recipes"
    found["alike"] = heat_chart(title, recipes, recipes, table, limit=1.0, down="recipe", across="recipe")
    return {name: chart for name, chart in found.items() if is_drawn(chart)}


def _cumulated(values: list[float | None]) -> list[float]:
    """Return the running sum; an era without a score adds nothing, and is absent where no era before has one."""
    known = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    total = np.cumsum(np.nan_to_num(known))
    first = int(np.argmax(np.isfinite(known))) if np.isfinite(known).any() else len(known)
    total[:first] = np.nan
    return [float(one) for one in total]
