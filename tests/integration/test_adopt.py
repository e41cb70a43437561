"""A person's program, written from the README alone, is adopted and fills a slot; its failures never lose a round."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bot.record.ledger import Ledger
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import FIRST_ROUND, SLOT

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
RECIPE = """
neutralize = 0.0
[members.mine]
kind = "command"
command = ["python", "predict.py"]
time_s = 60
"""
FAILURES = {
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "hang": "import time; time.sleep(600)",
    "wrong ids": "print('id,prediction', *(f'n{row:015x},{row}' for row in range(9)), sep='\\n', file=open('predictions.csv', 'w'))",
    "6 GB": "held = bytearray(6 << 30)",
}


@pytest.fixture
def mine(installation, trained):
    """A bot whose slot's recipe has one member, the README's program; the recipe `demo` is its fallback."""
    for name in ("store", "data", "history"):
        shutil.copytree(trained / name, installation.state / name)
    folder = installation.root / "recipes" / "mine"
    shutil.copytree(EXAMPLES / "program", folder)
    (folder.parent / "mine.toml").write_text(RECIPE)
    subprocess.run([sys.executable, folder / "train.py", installation.state / "data" / "v5.3"], check=True)
    installation.settings |= {"BOT_RECIPE": "mine", "BOT_FALLBACK": "demo"}
    return installation


def entry(installation, number=FIRST_ROUND):
    ledger = Ledger(installation.settings_as().ledger_path)
    try:
        return ledger.entry(number, SLOT)
    finally:
        ledger.close()


def change(installation, script):
    """Replace the program and adopt it without showing it an era, as if it had begun to fail later."""
    folder = installation.root / "recipes" / "mine"
    (folder / "predict.py").write_text(script)


def test_the_program_of_the_readme_fills_a_slot(mine):
    """Adopted, it predicts the round; the table says that it may have learned from the era."""
    adopted = mine.bot("adopt", "mine")
    sent = mine.bot("submit", "--round", "latest")
    champion = ArtifactStore(mine.state / "artifacts").champions("mine")[0]
    manifest = ArtifactStore(mine.state / "artifacts").open(champion).manifest

    assert adopted.returncode == 0, adopted.stderr
    assert "may have learned from these eras" in adopted.stdout
    assert f"recipe mine: champion is {champion}, on v5.3; adopted by hand, not judged" in adopted.stdout
    assert sent.returncode == 0, sent.stderr
    assert (entry(mine).state, entry(mine).artifact, entry(mine).filled_by) == ("confirmed", champion, "champion")
    assert set(manifest["fits"]["mine"]["files"]) == {"predict.py", "train.py", "model.txt"}
    assert manifest["trained_elsewhere"] == ["mine"]
