"""`bot evaluate e1`: scores of the network with one input more in each step, beside LightGBM."""

import math

from rich.table import Table

from bot.cli.console import console
from bot.cli.research._experiment import open_experiment
from bot.research import ablation_experiment
from bot.research.ablation_experiment import E1


def run_e1(recipe: str | None, *, eras: int | None, every: int, chunk: int) -> None:
    """Run the experiment and print its result."""
    with open_experiment(recipe, eras=eras, every=every, chunk=chunk) as experiment:
        result = ablation_experiment.e1(experiment)
    _show(result)


def _show(result: E1) -> None:
    """Print every model's scores, and the difference of each step."""
    out = console()
    title = f"The ladder, {result.folds} folds, {result.seeds} seeds a network ({result.target})"
    scores = Table(title=title, title_justify="left")
    for name in ("model", "CORR mean", "Sharpe", "max drawdown", "BMC mean", "eras"):
        scores.add_column(name, justify="left" if name == "model" else "right")
    for one in result.rungs:
        bmc = "" if math.isnan(one.bmc) else f"{one.bmc:.4f}"
        scores.add_row(one.name, f"{one.corr:.4f}", f"{one.sharpe:.2f}", f"{one.max_drawdown:.3f}", bmc, str(one.eras))
    out.print(scores)
    steps = Table(title="Paired differences by era", title_justify="left")
    for name in ("score", "model", "less", "mean", "error", "t", "detectable", "eras"):
        steps.add_column(name, justify="left" if name in ("score", "model", "less") else "right")
    for step in result.differences:
        figures = (f"{step.mean:+.4f}", f"{step.error:.4f}", f"{step.t:.1f}", f"{step.detectable:.4f}", str(step.eras))
        steps.add_row(step.score, step.late, step.early, *figures)
    out.print(steps)
    out.print("error: Newey-West; detectable: what these eras would have shown in four of five cases")
    out.print(f"{result.path} ({result.seconds:.1f} s)", soft_wrap=True)
