"""Members of the kinds linear, xgboost and catboost through every command; the latter two where their extras are installed."""

import shutil
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bot.cli.main import app
from bot.errors import BadConfig
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import FIRST_ROUND, OPENED, Installation

LINES = """
base = "demo"
[data]
feature_set = "small"
every = 4
validation_eras = 14
holdout_eras = 40
[floors]
min_skill = -99.0
min_corr = -1.0
min_contribution = -1.0
max_exposure = 1.0
[members.line]
kind = "linear"
alpha = 0.5
[members.line_20]
kind = "linear"
head_of = "line"
target = "target_ender_20"
[members.residual_line]
kind = "linear"
label = "residual"
"""
LIBRARIES = {
    "xgboost": """
[members.vectors]
kind = "xgboost"
num_trees = 15
learning_rate = 0.1
[members.vectors_20]
kind = "xgboost"
head_of = "vectors"
target = "target_ender_20"
""",
    "catboost": """
[members.symmetric]
kind = "catboost"
num_trees = 15
learning_rate = 0.1
depth = 4
[members.symmetric_20]
kind = "catboost"
head_of = "symmetric"
target = "target_ender_20"
""",
}
INSTALLED = [name for name in LIBRARIES if find_spec(name) is not None]
COMMANDS = (
    "retrain", "evaluate", "report", "doctor --json", "submit --round latest", "retrain --recipe lines",
    "export numerai-model --recipe lines --no-check",
)  # fmt: skip
EXPORT = "export numerai-model --no-check"


@pytest.fixture(scope="module")
def ran(trained: Path, world_folder: Path, tmp_path_factory: pytest.TempPathFactory, short_measurements: None) -> Any:
    """Return the manifest of the artifact, and the result of every command."""
    root = tmp_path_factory.mktemp("libraries")
    shutil.copytree(trained, root / "state", ignore=shutil.ignore_patterns("artifacts", "reports", "fits", "*.lock"))
    (root / "recipes").mkdir()
    (root / "recipes" / "lines.toml").write_text(LINES)
    (root / "recipes" / "mine.toml").write_text(LINES + "".join(LIBRARIES[name] for name in INSTALLED))
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    with (
        Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        settings = {"BOT_RECIPE": "mine", "BOT_MODE": "live", "BOT_MAX_EXPOSURE": "1"}
        installation = Installation(sandbox=sandbox, root=root, settings=settings)
        for name, value in installation.environment.items():
            patch.setenv(name, value)
        patch.chdir(root)
        results = {command: CliRunner().invoke(app, command.split()) for command in (*COMMANDS, EXPORT)}
        assert results["retrain"].exit_code == 0, results["retrain"].output
        store = ArtifactStore(installation.state / "artifacts")
        yield store.open(store.champions("mine")[0]).manifest, results


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_recipe(ran: tuple[dict[str, Any], dict[str, Result]], command: str) -> None:
    """No command fails on models of several targets, of scipy and of the libraries that are installed."""
    result = ran[1][command]

    assert (result.exit_code, result.exception) == (0, None), result.output


def test_heads_share_a_file_and_every_member_is_judged(ran: tuple[dict[str, Any], dict[str, Result]]) -> None:
    """A head has scores and no file; judged and served models lie beside each other."""
    manifest, _ = ran
    members = {one["name"] for one in manifest["members"]}

    assert {"line", "line_20", "residual_line"} <= members
    assert set(manifest["scores"]) == {*members, "ensemble"}
    assert {"line.npz", "judged-line.npz", "residual_line.npz"} <= set(manifest["files"])
    assert not {name for name in manifest["files"] if "_20" in name}


@pytest.mark.skipif(not INSTALLED, reason="neither the extra xgboost nor catboost is installed")
def test_trees_of_onnxruntime_do_not_travel(ran: tuple[dict[str, Any], dict[str, Result]]) -> None:
    """The export names a member that Numerai's machines cannot run, and the reason."""
    refusal = ran[1][EXPORT].exception

    assert isinstance(refusal, BadConfig)
    assert "it is scored by onnxruntime, which they lack" in str(refusal)
