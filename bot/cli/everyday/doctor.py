"""`bot doctor`: run every check, then print what was found, the worst first."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import typer
from rich.console import Console
from rich.markup import escape

from bot.cli.console import console
from bot.doctor.checks import Check, exit_code, summary, worst_first
from bot.doctor.examination import examine
from bot.doctor.repairs import repair

COLOURS = {"ok": "green", "note": "cyan", "fixed": "green", "warning": "yellow", "failure": "red"}


def examine_everything(*, as_json: bool, fix: bool) -> int:
    """
    Repair what is safe to repair where *fix* says so, run every check, print the results and return the exit code.

    Args:
        as_json: Print one JSON object per result, and no summary.
        fix: Repair first.
    """
    with _working():
        checks = worst_first([*(repair() if fix else ()), *examine()])
    out = console()
    for check in checks:
        if as_json:
            typer.echo(json.dumps(asdict(check)))
        else:
            _show(check, out)
    if not as_json:
        out.print(summary(checks), soft_wrap=True, markup=False)
    return exit_code(checks)


def _show(check: Check, out: Console) -> None:
    """Print a result, and its fix below it."""
    out.print(
        f"[{COLOURS[check.verdict]}]{check.verdict:<8}[/] {check.name:<18} ", escape(check.what), soft_wrap=True, sep=""
    )
    if check.fix:
        out.print(f"{'':<27} -> {escape(check.fix)}", soft_wrap=True)


@contextmanager
def _working() -> Iterator[None]:
    """Show on a terminal that the checks run: they are printed when all are done, for the worst comes first."""
    out = Console(stderr=True, highlight=False)
    if not out.is_terminal:
        yield
        return
    with out.status("checking"):
        yield
