"""The terminal as all commands use it: console, progress bar, and cells of tables."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bot.findings import Finding
from bot.record.running import WorkState, keep_progress
from bot.system.redaction import redact
from bot.training.planning.time_estimate import Estimate

WIDTH = 100
"""Columns used off a terminal, where rich would guess 80 and fold the gates."""

UNLIMITED = 10_000
"""Columns in which every table fits."""

BAR_WIDTH = 12
"""Width of the bar of a stage."""

LINE_S = 60.0
"""Seconds between two lines of one stage off a terminal."""


class GuardedConsole(Console):
    """
    A console that hides secrets before it folds lines.

    The stream hides them too, but it does not find a secret that was folded over two lines.
    """

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - the options of rich
        """Return a string as text without secrets."""
        return _redacted(super().render_str(text, **options))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of anything that can be printed; of a text, those without secrets."""
        return super().render(_redacted(renderable) if isinstance(renderable, Text) else renderable, options)


def _redacted(text: Text) -> Text:
    """Return a text as it is where it holds no secret; one with stars loses the styles of its parts."""
    hidden = redact(text.plain)
    return text if hidden == text.plain else Text(hidden, style=text.style)


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error."""
    found = GuardedConsole(stderr=stderr, highlight=False)
    return found if found.is_terminal else GuardedConsole(stderr=stderr, highlight=False, width=WIDTH)


def print_table(out: Console, table: Table) -> None:
    """Print a table. On a terminal that is too narrow for it, each row is a block of lines instead, so that no cell is cut."""
    needed = Measurement.get(out, out.options.update(max_width=UNLIMITED), table).minimum
    if needed <= out.width or not out.is_terminal:
        out.print(table, width=max(needed, out.width))
        return
    if table.title is not None:
        out.print(table.title, style="italic", soft_wrap=True)
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        first, *others = (str(cell) for cell in cells)
        out.print(f"[bold]{first}[/]", soft_wrap=True)
        for column, cell in zip(table.columns[1:], others, strict=True):
            head = f"{column.header}: " if table.show_header and column.header else ""
            if cell:
                out.print(f"  {head}{cell}", soft_wrap=True)


def gate_result(finding: Finding) -> str:
    """Return the cell that shows a gate's verdict, value and limit."""
    value = f"{finding.value:.4f}" if isinstance(finding.value, float) else str(finding.value)
    mark = "[green]ok[/]" if finding.ok else "[red]refused[/]"
    return f"{mark}  {value} (limit {finding.limit})"


class ProgressBar:
    """
    Progress of long work: the stage, its note, and the time left of the stage and of all stages of the plan.

    Attributes:
        console: Console that other output goes to while the bar is shown.
        estimate: Estimate of the time left; replace it when another plan begins.
        stage: Stage of the last report.
        share: Share of it that is done.

    Args:
        console: The console.
        show: Called after each report.
        estimate: The first plan; ``None`` has none, and estimates the present stage only.
    """

    def __init__(
        self, console: Console, show: Callable[["ProgressBar"], None], estimate: Estimate | None = None
    ) -> None:
        self.console = console
        self.estimate, self.stage, self.share, self._note = estimate or Estimate(), "", 0.0, ""
        self._show = show

    def __call__(self, stage: str, share: float, note: str) -> None:
        """Report progress; see :data:`bot.system.progress.ProgressCallback`."""
        self.estimate.observe(stage, share, time.monotonic())
        self.stage, self.share, self._note = stage, share, note
        self._show(self)

    def line(self, width: int | None = None) -> str:
        """Return the state in a line, see :meth:`bot.record.running.WorkState.line`."""
        return self._state().line(width)

    def progress(self) -> WorkState | None:
        """Return the state for other processes; ``None`` before the first stage."""
        return self._state() if self.stage else None

    def _state(self) -> WorkState:
        left = self.estimate.left(time.monotonic())
        return WorkState(
            stage=self.stage,
            share=self.share,
            note=self._note,
            number=left.number,
            count=left.count,
            stage_s=left.stage_s,
            all_s=left.all_s,
        )


@contextmanager
def kept_bar(state_dir: Path, name: str, estimate: Estimate | None = None) -> Iterator[ProgressBar]:
    """
    Show progress as :func:`training_bar`, and keep it in the state directory for `bot status` and the page Now.

    Args:
        state_dir: The state directory.
        name: Kind of work: the name of the command.
        estimate: The first plan.
    """
    with training_bar(estimate) as bar, keep_progress(state_dir, name, bar.progress):
        yield bar


@contextmanager
def training_bar(estimate: Estimate | None = None) -> Iterator[ProgressBar]:
    """Show progress on a terminal; off a terminal print a line when a stage begins, and one a minute while it lasts."""
    out = console(stderr=True)
    if not out.is_terminal:
        with _lines(out, estimate) as lines:
            yield lines
        return
    beside = 2 + BAR_WIDTH + 1 + len("0:00:00") + 1
    columns = SpinnerColumn(), BarColumn(bar_width=BAR_WIDTH), TimeElapsedColumn(), _StateColumn(out, beside)
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("", total=1.0, state=None)
        yield ProgressBar(out, lambda state: bar.update(task, completed=state.share, state=state), estimate)


@contextmanager
def _lines(out: Console, estimate: Estimate | None) -> Iterator[ProgressBar]:
    """Print progress line by line. A thread prints while a single call of a library lasts for minutes."""
    done, begun, printed = threading.Event(), set[str](), time.monotonic()

    def show(state: ProgressBar) -> None:
        nonlocal printed
        if state.stage not in begun or time.monotonic() - printed >= LINE_S:
            begun.add(state.stage)
            printed = time.monotonic()
            out.print(state.line(), soft_wrap=True, markup=False)

    def remind() -> None:
        while not done.wait(LINE_S / 4):
            if bar.stage:
                show(bar)

    bar, thread = ProgressBar(out, show, estimate), threading.Thread(target=remind, daemon=True)
    thread.start()
    try:
        yield bar
    finally:
        done.set()
        thread.join()


class _StateColumn(ProgressColumn):
    """The line of a bar, rendered anew every second: the time left goes on between two reports."""

    max_refresh = 1.0

    def __init__(self, out: Console, beside: int) -> None:
        super().__init__()
        self._out, self._beside = out, beside

    def render(self, task: Task) -> Text:
        """Return the line."""
        state = task.fields["state"]
        return Text("" if state is None else state.line(self._out.width - self._beside), no_wrap=True)
