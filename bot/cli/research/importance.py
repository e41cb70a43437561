"""`bot evaluate importance`: the inputs that an artifact's network depends on."""

import math

from rich.table import Table

from bot.cli.answer import Answer
from bot.cli.console import console, print_table
from bot.cli.research._experiment import open_experiment
from bot.research.experiment import plain
from bot.research.interpretation import Interpretation, interpret
from bot.serving.artifacts import ArtifactStore


def measure_importance(artifact: str | None, recipe: str | None, *, eras: int, rows: int) -> Answer:
    """Interpret an artifact, by default the champion of *recipe*; print and return the result."""
    with open_experiment(recipe, eras=eras, every=1, chunk=eras) as experiment:
        store = ArtifactStore(experiment.state_dir / "artifacts")
        chosen = store.open(store.find(artifact) if artifact else store.champions(experiment.recipe.name)[0])
        result = interpret(experiment, chosen, rows=rows)
    _show(result)
    return Answer(content={"importance": plain(result)})


def _show(result: Interpretation) -> None:
    """Print the CORR that is lost without each part, the weights of past eras, and the explained rows."""
    out = console()
    print_table(out, _losses(result))
    if result.seen:
        out.print("the network was trained on some of these eras: losses are those of what it remembers")
    for curve in result.curves:
        shown = " ".join(f"{weight:+.2f}" for weight in curve.weights[:8])
        out.print(f"network {curve.network}, {curve.target}: newest resolved eras weigh {shown}", soft_wrap=True)
    if result.rows:
        print_table(out, _rows(result))
    out.print(str(result.path), soft_wrap=True)


def _losses(result: Interpretation) -> Table:
    title = f"CORR lost when permuted within eras {result.eras[0]} to {result.eras[1]} ({result.target})"
    table = Table(title=title, title_justify="left")
    for name in ("part", "loss", "95 % interval"):
        table.add_column(name, justify="left" if name == "part" else "right")
    parts = (("group", result.groups), ("history of", result.history_targets), ("resolved eras", result.history_lags))
    for kind, weights in parts:
        for one in weights:
            interval = "too few eras" if math.isnan(one.low) else f"[{one.low:+.4f}, {one.high:+.4f}]"
            table.add_row(f"{kind} {one.name}", f"{one.value:+.4f}", interval, end_section=one is weights[-1])
    return table


def _rows(result: Interpretation) -> Table:
    table = Table(title="Rows explained: what was added to the expected CORR value", title_justify="left")
    for name in ("id", "score", "baseline", "largest parts"):
        table.add_column(name, justify="right" if name in ("score", "baseline") else "left")
    for row in result.rows:
        history = {f"history {name}": value for name, value in row.history.items()}
        stacked = {f"trees of {name}": value for name, value in row.stacked.items()}
        added = {**row.groups, "aggregates": row.engineered, **history, **stacked}
        largest = sorted(added.items(), key=lambda part: -abs(part[1]))[:4]
        text = ", ".join(f"{name} {value:+.4f}" for name, value in largest)
        table.add_row(row.id, f"{row.score:+.4f}", f"{row.baseline:+.4f}", text)
    return table
