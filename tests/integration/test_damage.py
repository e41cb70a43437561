"""Flipped bits, changed schemas, a killed ledger, rounds in a row: short forms of tests/soak/damage.py and rounds.py."""

import shutil
import subprocess
import sys

import pytest

from bot.sandbox.world.generate import World
from tests.harness import damage, rounds
from tests.harness.installation import LIMIT_S
from tests.harness.trials import bots

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runner(trained):
    with bots(trained / "artifacts") as started:
        yield started


@pytest.fixture
def world(world_folder, tmp_path):
    return World.open(shutil.copytree(world_folder, tmp_path / "world"))


def test_no_damaged_artifact_opens(trained, tmp_path):
    """400 flipped bits and 200 truncations of an artifact's files: none is accepted."""
    artifacts = shutil.copytree(trained / "artifacts", tmp_path / "artifacts")
    tally = damage.damaged_artifact(artifacts, flips=400, truncations=200)

    assert tally.trials >= 600
    assert not tally.breaches


def test_no_damaged_download_is_published(world, tmp_path):
    """A live file that changes between its arrival and its publication, or is spliced onto another one's, is never taken."""
    tally = damage.damaged_download(world, tmp_path / "trial", flips=40, truncations=20)
    sys.stdout.write(f"{tally}\n")

    assert tally.trials == 60
    assert not tally.breaches


def test_damaged_live_file_is_fetched_again(runner, world, tmp_path):
    """A live file that rotted between two runs is replaced before anything is scored on it."""
    tally = damage.damaged_live(runner, world, tmp_path / "trial", flips=10, truncations=5)

    assert tally.trials == 15
    assert not tally.breaches


def test_every_change_of_schema_meets_its_decision(runner, world, tmp_path):
    """Harmless schema changes are ignored, missing values are filled as in training, missing columns are refused, the rest is retried."""
    tally = damage.changed_schema(runner, world, tmp_path / "trial")

    assert tally.trials == len(damage.DECISIONS) >= 20
    assert not tally.breaches


def test_killed_ledger_loses_nothing(tmp_path):
    """SIGKILL while the ledger is written: every acknowledged row is there, and the file is sound."""
    script = (
        "import sys; from pathlib import Path; from tests.harness.damage import killed_ledger\n"
        "tally = killed_ledger(Path(sys.argv[1]), 40); print(tally.kills, tally.attempts, tally.breaches)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    kills, written, *breaches = result.stdout.split()

    assert (int(kills), breaches) == (40, ["[]"])
    assert int(written) >= 40


def test_rounds_in_a_row_never_go_astray(runner, world, tmp_path):
    """Stale and spliced files, rollovers, closes and late starts: nothing for a wrong round, nothing after a close."""
    tally, confirmed = rounds.season(runner, world, tmp_path / "trial", 40, seed=1)

    assert sum(confirmed.values()) > 15
    assert tally.faults > 40
    assert not tally.breaches
