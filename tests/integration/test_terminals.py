"""Every command that shows something, on a terminal of 40 columns without colour, and in a pipe without UTF-8."""

import re
import shutil
from datetime import timedelta

import pytest

from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation
from tests.harness.terminal_runs import run_all

SHOWN = {
    "submit": (0, "official_validation"),
    "submit --slot none": (78, "'none' is not configured"),
    "status": (0, f"round {FIRST_ROUND}"),
    "status latest": (0, "official_validation"),
    "doctor": (0, "rounds can be submitted"),
    "scores --offline": (0, "no live score yet"),
    "health": (75, "no daemon has run in"),
    "backup": (0, "backed up to"),
    "verify": (0, ": intact"),
    "recipes": (0, "contribution"),
    "recipes show demo": (0, "max_drawdown"),
    "recipes schema": (0, '"properties"'),
    "pause": (0, "every slot is paused"),
    "resume": (0, "every slot is resumed"),
    "retry": (78, "no bot runs with"),
    "alert test": (78, "BOT_ALERT_URLS"),
    "sync": (0, "every file is current"),
    "retrain --plan": (0, "demo: about"),
    "evaluate": (0, "target_ender_20"),
    "report": (0, ".html"),
    "pack --new-key": (0, "BOT_TRUSTED_KEYS="),
    "pack": (0, "signed by"),
    "diagnose --account none": (78, "account 'none' is unknown"),
    "data export --features small": (0, "lists them with sha256"),
    "unpack none.pack": (78, "BOT_TRUSTED_KEYS"),
    "rollback": (78, "no champion before"),
    "--help": (0, "Everyday"),
}
"""Exit code and a part of the text of each command; on standard output, errors are not shown."""

KINDS = {
    "narrow terminal without colour": {"COLUMNS": "40", "LINES": "24", "TERM": "xterm", "NO_COLOR": "1"},
    "pipe without UTF-8": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
}
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|38|48)(?:;\d+)*m")


@pytest.fixture(scope="module")
def shown(world_folder, trained, tmp_path_factory):
    """What each command showed, by the kind of output."""
    found = {}
    for kind, environment in KINDS.items():
        folder = tmp_path_factory.mktemp("terminal")
        shutil.copytree(trained, folder / "state")
        clock, schedule = (
            SandboxClock(OPENED + timedelta(minutes=1), rate=0),
            Schedule(first_round=FIRST_ROUND, first_open=OPENED),
        )
        with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
            bot = Installation(sandbox=sandbox, root=folder, settings={"BOT_MAX_EXPOSURE": "1"})
            found[kind] = run_all(bot, list(SHOWN), environment, terminal="terminal" in kind)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("words", SHOWN)
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_is_readable(shown, kind, words):
    """The exit code is that of the work, the text is whole, tables fit, and nothing is escaped, coloured or cut."""
    run, (code, part) = shown[kind][words], SHOWN[words]
    tables = [line for line in run.text.splitlines() if line.lstrip().startswith(("│", "┃", "|"))]

    assert run.code == code, run.text
    assert part in run.text or (code and kind == "pipe without UTF-8"), run.text
    assert not COLOUR.search(run.text)
    assert "Traceback" not in run.text
    assert not re.search(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}", run.text)
    if kind == "narrow terminal without colour":
        assert max(map(len, (re.sub(r"\x1b\[[\d;]*m", "", line) for line in tables)), default=0) <= 40
        assert not [line for line in tables if "…" in line]
    else:
        assert "\x1b" not in run.text


@pytest.mark.slow
def test_a_terminal_has_colour_where_it_is_not_refused(installation):
    """The check of colours finds those of the doctor's verdicts."""
    shown = run_all(installation, ["doctor"], {"TERM": "xterm", "COLUMNS": "120"}, terminal=True)

    assert COLOUR.search(shown["doctor"].text)
    assert SLOT in shown["doctor"].text
