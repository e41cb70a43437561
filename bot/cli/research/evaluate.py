"""`bot evaluate`: an artifact's scores on eras that it has not seen."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import console, print_table
from bot.cli.evaluation import evaluate_and_report
from bot.reporting.chart_axes import format_number
from bot.serving.names import ENSEMBLE
from bot.settings import load_settings
from bot.system import logs


def evaluate_artifact(artifact: str | None, pay: str | None) -> Answer:
    """Evaluate an artifact, by default the champion; print its figures, and return them with the paths of JSON and page."""
    settings = load_settings()
    logs.configure(**settings.logging)
    identity = assembly.find_artifact(settings, artifact)
    evaluation = evaluate_and_report(settings, identity, pay)
    _show(evaluation.content)
    return Answer(
        lines=(str(evaluation.figures), str(evaluation.page)),
        content={"artifact": identity, "page": evaluation.page, "figures": evaluation.content},
    )


def _show(content: Mapping[str, Any]) -> None:
    """Print the scores of members and ensemble: in all, by target, and by third of the eras."""
    out = console()
    print_table(out, _scores(content))
    print_table(out, _corr_by_part(content))
    pairs = [
        f"{' and '.join(one['of'])} {format_number(one['mean'], 2)}"
        for one in content["alike"]
        if one["of"][0] == ENSEMBLE
    ]
    out.print(f"rank correlation: {', '.join(pairs)}", soft_wrap=True)
    for line in _notes(content):
        out.print(line, soft_wrap=True, markup=False)


def _scores(content: Mapping[str, Any]) -> Table:
    about = f"Artifact {content['artifact']} of recipe {content['recipe']}"
    table = Table(title=f"{about}, eras {content['eras'][0]} to {content['eras'][-1]}", title_justify="left")
    newest = content["members"][ENSEMBLE]["corr"]["recent"]["eras"]
    for name in ("member", "CORR", "Sharpe", "drawdown", "MMC", "BMC", "FNC", f"newest {newest}"):
        table.add_column(name, justify="left" if name == "member" else "right")
    for member, figures in content["members"].items():
        corr = figures["corr"]
        others = [_interval(figures[score]) if score in figures else "not computed" for score in ("mmc", "bmc", "fnc")]
        risk = (format_number(corr["sharpe"], 2), format_number(corr["max_drawdown"], 3))
        table.add_row(member, _interval(corr), *risk, *others, _interval(corr["recent"]))
    for name, corr in content["references"].items():
        risk = (format_number(corr["sharpe"], 2), format_number(corr["max_drawdown"], 3))
        table.add_row(name, _interval(corr), *risk, "", "", "", _interval(corr["recent"]))
    return table


def _corr_by_part(content: Mapping[str, Any]) -> Table:
    members = content["members"]
    table = Table(title="CORR by target and by third of the eras", title_justify="left")
    table.add_column("")
    for member in members:
        table.add_column(member, justify="right")
    for target, figures in content["by_target"].items():
        table.add_row(target, *(_interval(figures[member]) for member in members))
    for regime in content["regimes"]:
        for level in regime["levels"]:
            scores = (_interval(level["scores"][member]) for member in members)
            table.add_row(f"{regime['name']}: {level['name']}", *scores)
    return table


def _notes(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines below the tables: pay, churn, leaks, and figures that could not be computed."""
    if content["pay"] is not None:
        terms, paid = content["pay"]["terms"], content["pay"]["members"]
        pays = ", ".join(f"{value:g} x {name}" for name, value in terms["multipliers"].items())
        means = ", ".join(f"{member} {_interval(one)}" for member, one in paid.items())
        yield f"pay of 1 an era, by {terms['source']} ({pays}): {means}"
    if content["churn"] is not None:
        yield f"churn against {content['churn']['champion']}: {_interval(content['churn'])}"
    for finding in content["leaks"]:
        if not finding["ok"] or (finding["gate"] == "too_good" and isinstance(finding["value"], str)):
            yield f"do not believe these figures: {finding['message']}"
    for figure, reason in content["not_computed"].items():
        yield f"not computed: {figure}: {reason}"


def _interval(figure: Mapping[str, Any]) -> str:
    """Return a mean, with its interval where there is one."""
    mean, low, high = (format_number(figure[name], 3) for name in ("mean", "low", "high"))
    return mean if low == format_number(None) else f"{mean} [{low}, {high}]"
