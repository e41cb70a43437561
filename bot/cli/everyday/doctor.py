"""`bot doctor`: run every check, then print what was found, the worst first."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from bot.cli.answer import to_json
from bot.cli.console import console
from bot.doctor.checks import Check, exit_code, summary, worst_first
from bot.doctor.examination import examine
from bot.doctor.repairs import repair
from bot.system import logs

COLOURS = {"ok": "green", "note": "cyan", "fixed": "green", "warning": "yellow", "failure": "red"}


def examine_everything(*, as_json: bool, fix: bool) -> int:
    """
    Repair what is safe to repair where *fix* says so, run every check, print the results and return the exit code.

    Args:
        as_json: Print one JSON object with all results.
        fix: Repair first.
    """
    # A check says what a log line would, with its remedy.
    logs.configure(level=logging.CRITICAL)
    with _working():
        checks = worst_first([*(repair() if fix else ()), *examine()])
    code, last = exit_code(checks), summary(checks)
    if as_json:
        typer.echo(to_json({"summary": last, "exit_code": code, "checks": checks}))
        return code
    out = console()
    for check in checks:
        _show(check, out)
    out.print(last, soft_wrap=True, markup=False)
    return code


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
    out = console(stderr=True)
    if not out.is_terminal:
        yield
        return
    with out.status("checking"):
        yield
