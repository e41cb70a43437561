"""`bot evaluate compare`: recipes on the same folds, in tables and as a page."""

import json
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from bot.cli.answer import Answer
from bot.cli.console import console, print_table
from bot.cli.research._experiment import open_experiment
from bot.errors import BadConfig
from bot.judging.adoption import refuse_elsewhere
from bot.reporting import comparison_page
from bot.reporting.chart_axes import format_number
from bot.research.recipe_comparison import SCORES, Comparison, compare
from bot.training import recipe_file


def compare_recipes(names: Sequence[str], *, seeds: int, eras: int | None, every: int, chunk: int) -> Answer:
    """
    Compare recipes, print the tables, write a page, and return the result.

    Raises:
        BadConfig: A recipe is unknown or named twice, or there is only one.
    """
    if len(set(names)) < 2 or len(set(names)) != len(names):
        raise BadConfig("name at least two recipes, each once: bot evaluate compare RECIPE RECIPE")
    recipes = [recipe_file.find(name) for name in names]
    for recipe in recipes:
        refuse_elsewhere(recipe)
    with open_experiment(names[0], eras=eras, every=every, chunk=chunk, others=recipes) as experiment:
        result = compare(experiment, recipes, seeds=seeds)
    show(result)
    return write_page(result)


def write_page(result: Comparison) -> Answer:
    """Write the page of a comparison beside its JSON; return the result with both paths."""
    page, content = result.path.with_name("comparison.html"), json.loads(result.path.read_text(encoding="utf-8"))
    comparison_page.write(content, page)
    return Answer(
        lines=(str(result.path), str(page)), content={"file": result.path, "page": page, "comparison": content}
    )


def show(result: Comparison) -> None:
    """Print the scores of each recipe, their differences, and how alike they are."""
    out = console()
    pay = " + ".join(f"{weight:g} x {name}" for name, weight in result.pay.items())
    title = f"{result.folds} folds, {len(result.eras)} eras, {result.seeds} seeds ({result.target}); pay is {pay}{_without_meta_model(result)}"
    scores = Table(title=title, title_justify="left")
    for name in ("recipe", *SCORES, "Sharpe", "largest fall", "scatter", "like benchmark", "seconds"):
        scores.add_column(name, justify="left" if name == "recipe" else "right")
    for row in result.rows:
        risk = (format_number(row.sharpe, 2), format_number(row.drawdown, 3), format_number(row.scatter, 4))
        means = (format_number(row.means[score], 4) for score in SCORES)
        scores.add_row(row.name, *means, *risk, format_number(row.alike, 2), f"{row.seconds:.0f}")
    print_table(out, scores)
    differences = Table(title="Differences, paired by era", title_justify="left")
    for name in ("recipe", "less", "score", "mean", "error", "t", "detectable", "eras"):
        differences.add_column(name, justify="left" if name in ("recipe", "less", "score") else "right")
    for one in result.differences:
        figures = (f"{one.mean:+.4f}", f"{one.error:.4f}", f"{one.t:.1f}", f"{one.detectable:.4f}", str(one.eras))
        differences.add_row(one.late, one.early, one.score, *figures)
    print_table(out, differences)
    out.print("error: Newey-West; detectable: what these eras would have shown in four of five cases")
    pairs = [(a, b, value) for a, row in result.alike.items() for b, value in row.items() if a < b]
    out.print(f"rank correlation: {', '.join(f'{a} and {b} {value:.2f}' for a, b, value in pairs)}", soft_wrap=True)


def _without_meta_model(result: Comparison) -> str:
    """Return how many eras have no MMC, so that pay takes BMC there; empty where every era has it."""
    first = result.series[result.rows[0].name]
    count = int(np.isnan(first["MMC"]).sum())
    return f", with BMC for MMC in the {count} eras that have no meta model" if count else ""
