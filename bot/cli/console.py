"""What a person sees on the terminal: one table for a submission, one for a retrain, a bar while training."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.doctor.checks import Check
from bot.findings import Finding
from bot.judging.promotion import Decision
from bot.live.live_scores import LiveRound
from bot.live.sync import Calibration
from bot.reporting.chart_axes import format_number
from bot.submission.receipt import Receipt

SHOWN = 30
"""Live rounds that are shown; the export has all of them."""

WIDTH = 100
"""Columns used off a terminal, where rich would guess 80 and fold the gates."""


def console() -> Console:
    """Return a console on standard output."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


def show_receipt(receipt: Receipt) -> None:
    """Print everything that is to be known about one submission."""
    out = console()
    if receipt.outcome == "already confirmed":
        out.print(
            f"round {receipt.round.number}, slot {receipt.slot}: already confirmed, nothing to do"
            f" (submission {receipt.submission_id})",
            soft_wrap=True,
        )
        return
    table = Table(title=f"Round {receipt.round.number}, slot {receipt.slot}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("opens", f"{receipt.round.opens_at:%a %Y-%m-%d %H:%M:%S} UTC")
    table.add_row("closes", f"{receipt.round.closes_at:%a %Y-%m-%d %H:%M:%S} UTC")
    table.add_row("data", f"{receipt.data_version}, sha256 {receipt.data_sha256[:12]}")
    table.add_row("artifact", receipt.artifact)
    if receipt.rung != "champion":
        table.add_row("rung", f"[bold yellow]{receipt.rung}[/]: nothing above it could fill the slot, see the report")
    for finding in receipt.findings:
        table.add_row(f"gate {finding.gate}", _gate(finding))
    table.add_row("predictions", f"sha256 {receipt.csv_sha256[:12]}")
    table.add_row("submission", receipt.submission_id or "none: dry run, set BOT_MODE=live to upload")
    table.add_row("outcome", f"[bold green]{receipt.outcome}[/]" if receipt.submission_id else receipt.outcome)
    table.add_row("seconds", f"{receipt.seconds_used:.1f} used, {receipt.seconds_left:.0f} left until the close")
    out.print(table)


def show_checks(checks: Iterable[Check], *, as_json: bool = False) -> list[Check]:
    """Print the doctor's findings as they come, each with its mend below it; return them."""
    out, colours = console(), {"ok": "green", "note": "cyan", "warning": "yellow", "failure": "red"}
    seen = []
    for check in checks:
        seen.append(check)
        if as_json:
            print(json.dumps(asdict(check)))  # noqa: T201 - plain lines for a program
            continue
        out.print(
            f"[{colours[check.verdict]}]{check.verdict:<8}[/] {check.name:<18} ",
            escape(check.what),
            soft_wrap=True,
            sep="",
        )
        if check.fix:
            out.print(f"{'':<27} -> {escape(check.fix)}", soft_wrap=True)
    return seen


def show_live(rounds: Sequence[LiveRound], calibrated: Sequence[Calibration]) -> None:
    """Print the newest live rounds, and what artifacts promised beside what came."""
    out = console()
    if not rounds:
        out.print("no live score yet: a round is scored some days after it closes")
        return
    names = sorted({name for one in rounds for name in one.scores})
    table = Table(title="Live scores", title_justify="left")
    money = ("staked", "paid NMR", "over terms") if any(one.paid is not None for one in rounds) else ()
    for name in ("round", "model", *names, "pay of 1", *money, "day", ""):
        table.add_column(name, justify="left" if name in ("model", "") else "right")
    for one in rounds[-SHOWN:]:
        cells = [f"{one.scores[name]:+.4f}" if name in one.scores else "" for name in names]
        pay = "" if one.pay is None else f"{one.pay:+.4f}"
        figures = [one.at_risk, one.paid, one.unlike] if money else []
        cells += [pay, *("" if value is None else f"{value:.4f}" for value in figures)]
        table.add_row(str(one.round), one.slot, *cells, str(one.day), "resolved" if one.resolved else "")
    out.print(table)
    for held in calibrated:
        error = "" if math.isnan(held.error) else f" ± {held.error:.4f}"
        out.print(
            f"{held.artifact}: promised CORR {held.promised:.4f}, live {held.live:.4f}{error} over {held.rounds} rounds",
            soft_wrap=True,
        )


def show_scores(artifact: str, scores: Mapping[str, Any], decision: Decision, seconds: float) -> None:
    """Print a retrain's scores on the hold-out, what was looked at, and what became of its artifact."""
    table = Table(title=f"Artifact {artifact}", title_justify="left")
    for name in ("member", "CORR mean", "Sharpe", "max drawdown", "eras"):
        table.add_column(name, justify="left" if name == "member" else "right")
    for member, score in scores.items():
        table.add_row(member, f"{score.mean:.4f}", f"{score.sharpe:.2f}", f"{score.max_drawdown:.3f}", str(score.eras))
    looked = Table(title="Against the floors and the champion", title_justify="left", show_header=False)
    for finding in decision.findings:
        looked.add_row(finding.gate, _gate(finding))
    out = console()
    out.print(table)
    out.print(looked)
    verdict = "promoted" if decision.promote else "not promoted, the champion stays"
    out.print(f"{verdict}: {decision.reason}; trained in {seconds:.1f} s", soft_wrap=True)


def show_evaluation(content: Mapping[str, Any]) -> None:
    """Print how members and ensemble scored on eras they had not seen: in all, by target, and by third of the eras."""
    members = content["members"]
    table = Table(title=f"Artifact {content['artifact']}, eras {content['eras'][0]} to {content['eras'][-1]}")
    table.title_justify = "left"
    for name in ("member", "CORR", "Sharpe", "drawdown", "MMC", "BMC", "FNC", f"newest {_recent(content)}"):
        table.add_column(name, justify="left" if name == "member" else "right")
    for member, by in members.items():
        corr = by["corr"]
        contributions = [_spread(by[score]) if score in by else "not computed" for score in ("mmc", "bmc", "fnc")]
        risk = (format_number(corr["sharpe"], 2), format_number(corr["max_drawdown"], 3))
        table.add_row(member, _spread(corr), *risk, *contributions, _spread(corr["recent"]))
    split = Table(title="CORR by target and by third of the eras", title_justify="left")
    split.add_column("")
    for member in members:
        split.add_column(member, justify="right")
    for target, by in content["by_target"].items():
        split.add_row(target, *(_spread(by[member]) for member in members))
    for regime in content["regimes"]:
        for level in regime["levels"]:
            scores = (_spread(level["scores"][member]) for member in members)
            split.add_row(f"{regime['name']}: {level['name']}", *scores)
    out = console()
    out.print(table, markup=False)
    out.print(split, markup=False)
    pairs = [
        f"{' and '.join(one['of'])} {format_number(one['mean'], 2)}"
        for one in content["alike"]
        if one["of"][0] == "ensemble"
    ]
    out.print(f"rank correlation: {', '.join(pairs)}", soft_wrap=True)
    for line in _notes(content):
        out.print(line, soft_wrap=True, markup=False)


def _notes(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is said below the tables of an evaluation."""
    if content["pay"] is not None:
        terms, paid = content["pay"]["terms"], content["pay"]["members"]
        pays = ", ".join(f"{value:g} x {name}" for name, value in terms["multipliers"].items())
        means = ", ".join(f"{member} {_spread(one)}" for member, one in paid.items())
        yield f"pay of 1 an era, by {terms['source']} ({pays}): {means}"
    if content["churn"] is not None:
        yield f"churn against {content['churn']['champion']}: {_spread(content['churn'])}"
    for finding in content["leaks"]:
        if not finding["ok"] or (finding["gate"] == "too_good" and isinstance(finding["value"], str)):
            yield f"do not believe these figures: {finding['message']}"
    for what, why in content["not_computed"].items():
        yield f"not computed: {what}: {why}"


@contextmanager
def training_bar() -> Iterator[Callable[[str, float, str], None]]:
    """Show a bar on a terminal; off a terminal print a line whenever a new stage begins."""
    out = Console(stderr=True, highlight=False)
    if not out.is_terminal:
        seen: set[str] = set()

        def line(stage: str, _share: float, note: str) -> None:
            if stage not in seen:
                seen.add(stage)
                out.print(f"{stage}: {note}", soft_wrap=True)

        yield line
        return
    columns = (SpinnerColumn(), TextColumn("{task.fields[stage]:<8}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=out, transient=True) as bar:
        task = bar.add_task("", total=1.0, stage="", note="")

        def show(stage: str, share: float, note: str) -> None:
            bar.update(task, completed=share, stage=stage, note=note)

        yield show


def _gate(finding: Finding) -> str:
    value = f"{finding.value:.4f}" if isinstance(finding.value, float) else str(finding.value)
    mark = "[green]ok[/]" if finding.ok else "[red]refused[/]"
    return f"{mark}  {value} (limit {finding.limit})"


def _spread(figure: Mapping[str, Any]) -> str:
    """Return a mean, with its interval where there is one."""
    mean, low, high = (format_number(figure[name], 3) for name in ("mean", "low", "high"))
    return mean if low == format_number(None) else f"{mean} [{low}, {high}]"


def _recent(content: Mapping[str, Any]) -> int:
    return int(content["members"]["ensemble"]["corr"]["recent"]["eras"])
