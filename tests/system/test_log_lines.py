"""Events as lines for a person, on a terminal and beside a progress bar."""

import io
import json
import subprocess
import sys

import structlog
from rich.console import Console
from rich.progress import Progress

from bot.system import logs
from bot.system.log_lines import human_line

AT = "2026-11-24T13:00:05Z"


def said(level="info", **event):
    return human_line({"timestamp": AT, "level": level, **event}).partition("  ")[2]


def test_a_confirmed_round_is_one_short_line():
    """Round, slot and how long it took; digests and ids stay in the file."""
    line = said(
        event="round.finished", round=1422, slot="my_model", artifact="2026", seconds={"fetch": 1.4, "score": 3.3}
    )

    assert line == "round 1422 · my_model · confirmed in 5 s"


def test_a_refusal_says_why():
    """Warnings and errors begin with their level; the reason is the line."""
    assert said(event="submission.failed", level="error", round=7, slot="a", kind="refused", reason="exposure: .4") == (
        "round 7 · a · error: refused: exposure: .4"
    )


def test_an_event_without_words_shows_name_and_fields():
    """Nothing is hidden of an event that the table does not know, nor of one that lacks a field of its words."""
    assert said(event="store.eras_left_out", reason="no labels", count=3, share=0.25) == (
        "store eras left out: no labels, count 3, share 0.25"
    )
    assert said(event="round.open", round=1) == "round 1 · round open"


def test_a_terminal_without_the_dot_gets_a_hyphen():
    """An old terminal shows no escaped character between the parts of a line."""
    line = human_line({"timestamp": AT, "event": "submission.uploaded", "round": 7}, encoding="ascii")

    assert line.endswith("round 7 - uploaded")


def test_a_name_from_outside_stays_in_its_line():
    """Line ends and control characters of a value do not reach the terminal."""
    assert said(event="x", reason="a\n\x1b[2Jb") == "x: a  [2Jb"


def test_a_line_beside_a_bar_stands_on_its_own(monkeypatch):
    """While a bar is drawn on the terminal, a log line is printed above it and not at its end."""
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    console = Console(stderr=True, force_terminal=True, width=60)
    logs.configure(log_format="console")
    try:
        with Progress(console=console, auto_refresh=False) as bar:
            bar.add_task("fit gbm", total=10)
            bar.refresh()
            structlog.get_logger().info("submission.uploaded", round=1422)
            bar.refresh()
    finally:
        structlog.reset_defaults()
    (line,) = [one for one in screen.getvalue().splitlines() if "uploaded" in one]

    assert "fit gbm" not in line
    assert line.rstrip().endswith("round 1422 · uploaded")


def test_a_terminal_gets_lines_and_the_file_the_fields(tmp_path):
    """With lines for a person on the terminal, every event is kept as JSON beside the rounds."""
    script = (
        "import structlog; from pathlib import Path; from bot.system import logs\n"
        f"logs.configure(log_format='console', rounds=Path({str(tmp_path / 'rounds')!r}))\n"
        "structlog.get_logger().info('web.started', host='h', port=1, url='http://h:1/')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    kept = json.loads((tmp_path / "log.jsonl").read_text())

    assert done.stderr.strip().endswith("pages at http://h:1/")
    assert (kept["event"], kept["port"]) == ("web.started", 1)
