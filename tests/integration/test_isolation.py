"""A working folder full of other programs' modules: neither the bot nor a process that it starts imports one of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.installation import LIMIT_S
from tests.harness.process import running, until
from tests.harness.traps import set_traps

SAFE = (sys.executable, "-P", "-m", "bot")
"""The command `bot`, as its script starts it: without the working folder among the places to import from."""


def bot(installation, *arguments):
    return subprocess.run(
        [*SAFE, *arguments],
        env=installation.environment | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        cwd=installation.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


def test_submit_imports_nothing_from_the_working_folder(installation, sandbox):
    """The submission and Numerai's validation in its child process load installed packages only."""
    record = set_traps(installation.root)
    done = bot(installation, "submit")

    assert done.returncode == 0, done.stderr
    assert not record.exists()


def test_python_m_bot_imports_nothing_else_from_the_working_folder(installation):
    """`python -m bot` imports the bot from where it is installed, and no `numpy.py` from the working folder."""
    record = set_traps(installation.root, without=("bot",))
    done = installation.new_bot("submit")

    assert done.returncode == 0, done.stderr
    assert not record.exists()


def test_the_daemon_and_its_children_import_nothing_from_the_working_folder(installation, sandbox):
    """`bot run` submits in a child process, in a folder full of traps; the child gets the key and no other secret."""
    record = set_traps(installation.root)
    settings = {"BOT_RETRAIN": "off", "BOT_BACKUP": "off", "BOT_SCORES": "off", "BOT_SYNC": "off", "BOT_TICK_S": "1"}
    others = {"BOT_ALERT_URLS": "json://127.0.0.1:9/", "BOT_WEBHOOK_TOKEN": "a-token-of-16-chars", "GITHUB_TOKEN": "x"}
    with running(installation, program=(*SAFE, "run"), **settings, **others) as daemon:
        variables = until(lambda: daemon.child("submit"), LIMIT_S, "no attempt was made").environ()
        until(lambda: sandbox.tournament.submissions, LIMIT_S, "nothing was submitted")

    assert not record.exists(), daemon.log.read_text()
    assert "NUMERAI_SECRET_KEY" in variables
    assert not others.keys() & variables.keys()


RECIPE = 'base = "demo"\n[data]\nevery = 3\n[network]\nepochs = 1\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("retrain", "--recipe", "small"),
        ("tune", "--trials", "1", "--chunk", "60", "--every", "8"),
        ("evaluate",),
        ("export", "numerai-model", "--python", sys.executable),
    ],
    ids=lambda command: command[0],
)
def test_training_imports_nothing_from_the_working_folder(installation, trained, command):
    """Retrain, tune, evaluate and export, and the processes they start, load installed packages only."""
    for name in ("data", "store", "history"):
        if (trained / name).is_dir():
            shutil.copytree(trained / name, installation.state / name)
    shutil.copy(trained / "speed.json", installation.state)
    record = set_traps(installation.root)
    (installation.root / "recipes").mkdir(exist_ok=True)
    (installation.root / "recipes" / "small.toml").write_text(RECIPE, encoding="utf-8")
    done = bot(installation, *command)

    assert done.returncode == 0, done.stderr
    assert not record.exists()
