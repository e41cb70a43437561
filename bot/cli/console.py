"""The terminal as all commands use it: console, progress bar, and cells of tables."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.findings import Finding

WIDTH = 100
"""Columns used off a terminal, where rich would guess 80 and fold the gates."""


def console() -> Console:
    """Return a console on standard output."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


def gate_result(finding: Finding) -> str:
    """Return the cell that shows a gate's verdict, value and limit."""
    value = f"{finding.value:.4f}" if isinstance(finding.value, float) else str(finding.value)
    mark = "[green]ok[/]" if finding.ok else "[red]refused[/]"
    return f"{mark}  {value} (limit {finding.limit})"


@contextmanager
def training_bar() -> Iterator[Callable[[str, float, str], None]]:
    """Show a bar on a terminal; off a terminal print a line whenever a new stage begins."""
    out = Console(stderr=True, highlight=False)
    if not out.is_terminal:
        begun: set[str] = set()

        def line(stage: str, _share: float, note: str) -> None:
            if stage not in begun:
                begun.add(stage)
                out.print(f"{stage}: {note}", soft_wrap=True)

        yield line
        return
    columns = (SpinnerColumn(), TextColumn("{task.fields[stage]:<8}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=out, transient=True) as bar:
        task = bar.add_task("", total=1.0, stage="", note="")

        def show(stage: str, share: float, note: str) -> None:
            bar.update(task, completed=share, stage=stage, note=note)

        yield show
