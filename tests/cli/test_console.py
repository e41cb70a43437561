"""Progress on a terminal and in a log."""

import threading
import time

import pytest
from rich.table import Table
from rich.text import Text

from bot.cli import console
from bot.cli.console import training_bar
from bot.system import redaction
from bot.training.planning.time_estimate import Estimate, Stage


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test moves."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def plan():
    return Estimate(plan=[Stage(name="sync", seconds=10.0), Stage(name="fit gbm", seconds=100.0)])


def shown(capsys):
    return capsys.readouterr().err.splitlines()


def test_a_line_has_the_time_left_of_stage_and_plan(clock, capsys):
    """Number of the stage, note, and both times."""
    with training_bar(plan()) as bar:
        bar("sync", 0.0, "5 of 80 MB")

    assert shown(capsys) == ["[1/2] sync: 5 of 80 MB · 10 s left · all: 2 min left"]


def test_a_log_gets_a_line_a_minute(clock, capsys):
    """A stage prints when it begins, and then once a minute however often it reports."""
    with training_bar(plan()) as bar:
        for second in range(150):
            clock[0] = float(second)
            bar("fit gbm", second / 1000, f"{second} of 1,000 trees")

    lines = shown(capsys)
    assert [line.partition(" · ")[0] for line in lines] == [
        "[2/2] fit gbm: 0 of 1,000 trees",
        "[2/2] fit gbm: 60 of 1,000 trees",
        "[2/2] fit gbm: 120 of 1,000 trees",
    ]
    assert lines[2].endswith("15 min left · all: 15 min left")


def test_a_log_is_not_silent_during_a_long_call(clock, capsys, monkeypatch):
    """The last report is printed again after a minute in which a library did not return."""
    printed, show = threading.Semaphore(0), console.Console.print
    monkeypatch.setattr(console, "LINE_S", 0.04)
    monkeypatch.setattr(console.Console, "print", lambda *line, **more: (show(*line, **more), printed.release()))
    with training_bar(plan()) as bar:
        bar("sync", 0.0, "digests")
        printed.acquire()
        clock[0] = 5.0
        printed.acquire()  # the thread prints; nothing else does

    assert shown(capsys) == [
        "[1/2] sync: digests · 10 s left · all: 2 min left",
        "[1/2] sync: digests · 5 s left · all: 2 min left",
    ]


def test_a_long_note_is_cut_before_the_times(clock):
    """On a narrow terminal, the times stay readable."""
    with training_bar(plan()) as bar:
        bar("fit gbm", 0.0, "a note that is much too long for the terminal")

        assert bar.line(60) == "[2/2] fit gbm: a note that i… · 2 min left · all: 2 min left"
        assert len(bar.line(60)) <= 60


def test_brackets_of_a_note_are_no_markup(clock, capsys):
    """A note is printed as it is."""
    with training_bar() as bar:
        bar("tune", 0.0, "[red]trial[/] 3")

    assert shown(capsys) == ["tune: [red]trial[/] 3"]


@pytest.mark.parametrize("place", ["line", "cell", "text"])
def test_a_secret_that_would_be_folded_is_hidden(monkeypatch, capsys, place):
    """In a line, a cell of a table and a text, stars stand for a secret that is longer than the terminal is wide."""
    hidden = "SECRETKEY1234567890ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(console, "WIDTH", 30)
    redaction.hide([hidden])
    try:
        shown = f"[bold]refused[/]: {hidden} is wrong"
        table = Table("reason")
        table.add_row(shown)
        console.console().print({"line": shown, "cell": table, "text": Text(shown)}[place])
    finally:
        redaction.forget()
    out = capsys.readouterr().out

    assert redaction.STARS in out
    assert not any(hidden[start : start + 8] in out for start in range(len(hidden) - 8))
