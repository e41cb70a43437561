"""`bot doctor`: print every check as it is done."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import typer
from rich.markup import escape

from bot.cli.console import console
from bot.doctor.checks import Check, exit_code
from bot.doctor.examination import examine

COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failure": "red"}


def examine_everything(*, as_json: bool) -> int:
    """Run every check, print each as it is done, and return the exit code."""
    return exit_code(list(_shown(examine(), as_json=as_json)))


def _shown(checks: Iterable[Check], *, as_json: bool) -> Iterator[Check]:
    """Print each check, its fix below it, and yield it."""
    out = console()
    for check in checks:
        if as_json:
            typer.echo(json.dumps(asdict(check)))
        else:
            verdict = f"[{COLOURS[check.verdict]}]{check.verdict:<8}[/] {check.name:<18} "
            out.print(verdict, escape(check.what), soft_wrap=True, sep="")
            if check.fix:
                out.print(f"{'':<27} -> {escape(check.fix)}", soft_wrap=True)
        yield check
