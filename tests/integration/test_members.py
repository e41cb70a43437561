"""A recipe with members of every kind that the bot trains, through every command."""

import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bot.cli.main import app
from bot.cli.paths import report_paths
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import FIRST_ROUND, OPENED, Installation

RECIPE = """
base = "demo"
neutralize = 0.25

[data]
feature_set = "small"
every = 4
first_era = "0010"
half_life = 30
newest = 60
validation_eras = 14
holdout_eras = 40

[floors]
min_skill = -99.0
min_corr = -1.0
min_contribution = -1.0
max_exposure = 0.99

[members.mixer]
kind = "tsmixer"
weight = 0.4
target = "target_ender_60"
[members.mixer.network]
lookback = 6
loss = "pearson"
benchmark_penalty = 0.3
stop_on = "pay"
encoder = [16]
hidden = 8
feed_forward = 16
blocks = 1
epochs = 1
[members.mixer_20]
kind = "tsmixer"
head_of = "mixer"
weight = 0.1
target = "target_ender_20"

[members.second]
kind = "tsmixer"
weight = 0.1
target = "target_jasper_60"
feature_set = "medium"
[members.second.network]
lookback = 3
history_targets = ["target_jasper_60"]
encoder = [16]
hidden = 8
feed_forward = 16
blocks = 1
epochs = 1

[members.plain]
kind = "mlp"
weight = 0.1
[members.plain.network]
encoder = [16, 8]
epochs = 1
seeds = 1

[members.residual]
kind = "lightgbm"
label = "residual"
residual = 0.75
weight = 0.15
params = { num_trees = 12, learning_rate = 0.05, num_leaves = 7 }
feature_set = "medium"

[members.benchmark]
kind = "benchmark"
weight = 0.25
"""
TRAINED = {"mixer": 0.4, "mixer_20": 0.1, "second": 0.1, "plain": 0.1, "residual": 0.15, "benchmark": 0.25}
COMMANDS = (
    "retrain", "evaluate", "report", "recipes", "recipes show mine", "doctor --json", "submit --round latest",
    "export numerai-model --no-check", "retrain --recipe other",
)  # fmt: skip


@dataclass
class Ran:
    """
    Manifests of both recipes' artifacts, the result of every command, and the number of submissions.

    The figures of the other recipe's artifact are those from kept scores, and those computed anew.
    """

    manifest: dict[str, Any]
    other: dict[str, Any]
    results: dict[str, Result]
    submitted: int
    columns: str
    figures: list[dict[str, Any]]


@pytest.fixture(scope="module")
def ran(trained, world_folder, tmp_path_factory, short_measurements):
    """Run every command in this process, on the store that another retrain has made."""
    root = tmp_path_factory.mktemp("members")
    shutil.copytree(trained, root / "state", ignore=shutil.ignore_patterns("artifacts", "reports", "fits", "*.lock"))
    (root / "recipes").mkdir()
    (root / "recipes" / "mine.toml").write_text(RECIPE)
    other = RECIPE.replace("neutralize = 0.25", "neutralize = 0.75").replace("[members.plain]", "[members.renamed]")
    (root / "recipes" / "other.toml").write_text(other.replace("members.plain.", "members.renamed."))
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    with (
        Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        installation = Installation(sandbox=sandbox, root=root, settings={"BOT_RECIPE": "mine", "BOT_MODE": "live"})
        for name, value in installation.environment.items():
            patch.setenv(name, value)
        patch.chdir(root)
        results = {command: CliRunner().invoke(app, command.split()) for command in COMMANDS}
        assert results["retrain"].exit_code == 0, results["retrain"].output
        store = ArtifactStore(installation.state / "artifacts")
        manifest, second = (store.open(store.champions(name)[0]).manifest for name in ("mine", "other"))
        (report,) = installation.state.glob("rounds/*/*/report.json")
        figures = [_evaluated(installation, second["id"], anew=anew) for anew in (False, True)]
        (gate,) = (one for one in json.loads(report.read_text())["gates"] if one["gate"] == "columns")
        yield Ran(
            manifest=manifest,
            other=second,
            results=results,
            submitted=len(sandbox.tournament.submissions),
            columns=gate["value"],
            figures=figures,
        )


def _evaluated(installation, identity, *, anew):
    """Return the figures of an artifact; *anew* evaluates it without the scores from before."""
    if anew:
        shutil.rmtree(installation.state / "judged_scores")
        result = CliRunner().invoke(app, ["report", identity, "--again"])
        assert result.exit_code == 0, result.output
    found = json.loads(report_paths(installation.state, identity).figures.read_text())
    return {name: one for name, one in found.items() if name != "evaluated_at"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_recipe(ran, command):
    """No command fails on a recipe with several networks, own feature sets, residual labels and the benchmark."""
    result = ran.results[command]

    assert (result.exit_code, result.exception) == (0, None), result.output


def test_the_round_is_submitted_by_all_members(ran):
    """The report of the round has a score of each member."""
    assert ran.submitted == 1
    assert ran.manifest["weights"] == TRAINED


def test_every_column_that_a_member_reads_is_decoded_twice(ran):
    """The second decoding of the live file covers the feature sets of all members."""
    assert ran.columns == "84 of 84 as in the live file"


def test_every_member_is_judged(ran):
    """The evaluation has CORR and BMC of each member and of the ensemble."""
    assert set(ran.manifest["scores"]) == {*TRAINED, "ensemble"}
    assert all(one["eras"] == 40 for one in ran.manifest["scores"].values())


def test_members_and_their_files_are_in_the_manifest(ran):
    """A head has no file; judged and served models lie beside each other, and a feature set of its own has its preprocessing."""
    files = set(ran.manifest["files"])

    assert {"mixer.onnx", "judged-mixer.onnx", "second.onnx", "plain.onnx", "residual.txt"} <= files
    assert {"preprocess.json", "preprocess-medium.json", "history.npz"} <= files
    assert not {name for name in files if "mixer_20" in name or name.startswith("benchmark")}
    assert json.loads(json.dumps(ran.manifest["members"])) == ran.manifest["members"]


def test_recipes_that_share_members_train_them_once(ran):
    """Another neutralization, other weights and another name of a member take the fits of the first recipe."""
    first, second = ran.manifest["fits"], ran.other["fits"]

    assert not any(one["kept"] for one in first.values())
    assert all(one["kept"] for one in second.values())
    assert [one["fit"] for one in second.values()] == [one["fit"] for one in first.values()]
    assert "from earlier fits, with equal options and data: mixer, second, renamed, residual" in (
        ran.results["retrain --recipe other"].output
    )


def test_kept_scores_change_no_figure(ran):
    """The report of the second recipe takes the scores of the first one's judgement, and equals one computed anew."""
    kept, anew = ran.figures

    assert kept == anew
