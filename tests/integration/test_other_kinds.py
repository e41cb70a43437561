"""A kind from another package: one module and one entry point, no file of the bot changed."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, Installation

PACKAGE = Path(__file__).parents[1] / "harness" / "kind_package"
RECIPE = """
base = "demo"
[data]
feature_set = "small"
every = 6
validation_eras = 14
holdout_eras = 40
[floors]
min_skill = -99.0
min_corr = -1.0
min_contribution = -1.0
max_exposure = 1.0
[members.signs]
kind = "mean"
features = 5
[members.residual_signs]
kind = "mean"
label = "residual"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the package into a folder of its own, as pip installs it anywhere."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(PACKAGE, tmp_path_factory.mktemp("source") / "package")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return folder


@pytest.fixture
def run(trained, world_folder, tmp_path, installed):
    """Run a command of the bot in an environment with the package, or without it."""
    shutil.copytree(
        trained, tmp_path / "state", ignore=shutil.ignore_patterns("artifacts", "reports", "fits", "*.lock")
    )
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text(RECIPE)
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        installation = Installation(
            sandbox=sandbox, root=tmp_path, settings={"BOT_RECIPE": "mine", "BOT_MODE": "live", "BOT_MAX_EXPOSURE": "1"}
        )

        def run(*words, site=installed):
            # The module is started with -c: with -m, PYTHONPATH would be of no use to a bot that trusts no surroundings.
            code = f"import sys; sys.path.append({str(site)!r}); from bot.cli.main import main; main()"
            return subprocess.run(
                [sys.executable, "-c", code, *words],
                cwd=tmp_path,
                env={**os.environ, **installation.environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )

        yield run


def test_a_kind_of_another_package_fills_a_slot(run, tmp_path):
    """It is trained, judged, kept, shown and submitted like the bot's own; where it is missing, one line names it."""
    trained = run("retrain")
    submitted = run("submit", "--round", "latest")
    (artifact,) = (path for path in (tmp_path / "state" / "artifacts").iterdir() if path.name[0].isdigit())
    manifest = json.loads((artifact / "manifest.json").read_text())
    exported = run("export", "numerai-model", "--no-check")
    without = run("retrain", site=tmp_path)

    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    assert [one["kind"] for one in manifest["members"]] == ["mean", "mean"]
    assert manifest["fits"]["signs"]["features"] == 5
    assert {"signs.json", "judged-residual_signs.json"} <= set(manifest["files"])
    assert "kind mean comes from another package" in exported.stderr
    assert exported.returncode == 78
    assert "kind 'mean' is unknown" in without.stderr
    assert without.returncode == 78
