"""Every key of a recipe goes through retrain, evaluate, report, doctor and export."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from bot.cli.main import app
from bot.members import registry
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.member import Member
from bot.members.network.options import NetworkOptions
from bot.members.stored import from_manifest
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.training import recipe_file
from bot.training.recipe_file import DATA
from bot.training.recipes import DEMO, Recipe
from models.trees.gbm_options import PRESETS
from tests.harness.installation import FIRST_ROUND, OPENED, Installation

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("retrain", "evaluate", "report", "doctor --json", "export numerai-model --no-check")

FLOORS = """
[floors]
objective = "corr"
confidence = 0.9
min_skill = -99.0
min_corr = -1.0
min_contribution = -1.0
max_drawdown = 1e3
max_exposure = 0.99
min_champion_correlation = -1.0
max_latency_s = 600.0
suspicious_corr = 0.5
"""

RECIPE = f"""
base = "demo"
target = "target_ender_20"
targets = ["target_jasper_20"]
weighting = "constrained"
corr_multiplier = 1.0
mmc_multiplier = 2.0
neutralize = 0.5
neutralizers = "benchmark"
refit = false
[data]
feature_set = "small"
every = 5
first_era = "0010"
newest = 26
half_life = 60
missing = "category"
normalize = "standard"
engineered = ["group_mean"]
validation_eras = 14
holdout_eras = 40
[members.mixer]
kind = "tsmixer"
weight = 0.5
target = "target_ender_60"
label = "residual"
residual = 0.5
feature_set = "medium"
[members.mixer.network]
mixing = "era"
lookback = 8
history_targets = ["target_ender_60"]
encoder = [16]
hidden = 8
feed_forward = 16
blocks = 1
dropout = 0.2
input_dropout = 0.1
history_dropout = 0.1
z_dropout = 0.1
stacked = true
stacked_chunk = 80
stacked_preset = "tiny"
head = "score"
loss = "pearson"
pearson_weight = 0.5
benchmark_penalty = 0.1
epochs = 1
steps = 12
stop_on = "pay"
learning_rate = 2e-3
weight_decay = 1e-2
patience = 1
evaluations_per_epoch = 1
eras_per_step = 2
era_stride = 2
batch_rows = 512
precision = "float32"
compiled = true
ema = 0.9
seeds = 2
seed = 11
[members.jasper]
head_of = "mixer"
target = "target_jasper_60"
[members.trees]
kind = "lightgbm"
preset = "tiny"
params = {{ num_leaves = 7, learning_rate = 0.2 }}
{FLOORS}"""
"""A recipe file that sets every key to another value than its base, and the options of two kinds."""

OLDER = f"""
base = "demo"
target = "target_ender_20"
feature_set = "small"
targets = ["target_jasper_60"]
gbm = "tiny"
every = 6
refit = false
validation_eras = 14
holdout_eras = 40
[weights]
tsmixer = 1.0
tsmixer_jasper_60 = 1.0
gbm = 1.0
gbm_ender_60 = 1.0
[network]
lookback = 8
history_targets = ["target_ender_60"]
encoder = [16]
labels = "benchmark_residual"
stacked = true
stacked_chunk = 80
steps = 12
{FLOORS}"""
"""A recipe file in the form of earlier versions."""

FILES = {"mine": RECIPE, "older": OLDER}


@dataclass
class Ran:
    """A recipe, the manifest of the artifact that it made, the figures of its report, and the result of every command."""

    recipe: Recipe
    manifest: dict[str, Any]
    figures: dict[str, Any]
    results: dict[str, Result]

    @property
    def target(self) -> str:
        return self.recipe.target or "target_ender_60"


@pytest.fixture(scope="module", params=FILES)
def ran(request, trained, world_folder, tmp_path_factory, short_measurements):
    """Run every command in this process, on the store that another retrain has made."""
    name, root = request.param, tmp_path_factory.mktemp("recipe")
    shutil.copytree(trained, root / "state", ignore=shutil.ignore_patterns("artifacts", "reports", "*.lock"))
    (root / "recipes").mkdir()
    (root / "recipes" / f"{name}.toml").write_text(FILES[name])
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    with (
        Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        installation = Installation(sandbox=sandbox, root=root, settings={"BOT_RECIPE": name})
        for variable, value in installation.environment.items():
            patch.setenv(variable, value)
        patch.chdir(root)
        patch.setitem(PRESETS, "tiny", replace(PRESETS["demo"], num_trees=12))
        patch.setattr(torch, "compile", lambda network, **_: network)  # would take minutes
        results = {command: CliRunner().invoke(app, command.split()) for command in COMMANDS}
        assert results["retrain"].exit_code == 0, results["retrain"].output
        store = ArtifactStore(installation.state / "artifacts")
        manifest = store.open(store.champions(name)[0]).manifest
        (figures,) = (installation.state / "reports").glob("*.json")
        yield Ran(
            recipe=recipe_file.find(name), manifest=manifest, figures=json.loads(figures.read_text()), results=results
        )


def entries(table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a recipe file with their values; those of a table behind a dot, those of all members as one."""
    for key, value in table.items():
        if key in ("data", "floors", "network"):
            yield from ((f"{key}.{inner}", one) for inner, one in value.items())
        elif key == "members":
            for member in value.values():
                yield from ((f"members.{inner}", one) for inner, one in member.items() if inner != "network")
                yield from ((f"members.network.{inner}", one) for inner, one in member.get("network", {}).items())
        elif key != "base":
            yield key, value


def defaults() -> dict[str, Any]:
    """Return the value of every key of a recipe file where it is missing on the base of the demo recipe."""
    demo = json.loads(json.dumps(asdict(DEMO)))
    table = {key: value for key, value in demo.items() if key not in ("name", "members", *DATA)}
    mixer = {one.name: one.default for one in fields(Member) if one.name not in ("name", "options")}
    network = json.loads(json.dumps(asdict(NetworkOptions())))
    members = {"mixer": {**mixer, "network": network}, "trees": asdict(LightGBMOptions())}
    return dict(entries({**table, "data": {key: demo[key] for key in DATA}, "members": members}))


def test_every_key_of_a_recipe_is_covered():
    """The recipe changes each key."""
    base = defaults()

    assert {key for key, value in entries(tomllib.loads(RECIPE)) if base.get(key) != value} == set(base)


def test_the_documentation_shows_known_keys():
    """The examples of the documentation have the keys of a recipe, of the older form, or of a kind."""
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md")))
    shown = [tomllib.loads(text) for text in re.findall(r"```toml\n(# recipes/.*?)```", pages, re.DOTALL)]
    kinds = {f"members.{one.name}" for name in registry.BUILT_IN for one in fields(registry.find(name).options)}
    older = {key for key, _ in entries(tomllib.loads(OLDER))} | {
        f"network.{one.name}" for one in fields(NetworkOptions)
    }

    assert shown
    assert {key for table in shown for key, _ in entries(table)} <= set(defaults()) | kinds | older


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recipe_goes_through_every_command(ran, command):
    """No command fails, whatever the recipe says."""
    result = ran.results[command]

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code == 0, result.output


def test_the_artifact_is_that_of_the_recipe(ran):
    """The manifest keeps the recipe as it was written, and the pins that it has."""
    recipe, manifest = ran.recipe, ran.manifest

    assert manifest["recipe"] == json.loads(json.dumps(asdict(recipe)))
    assert [one.name for one in from_manifest(manifest)] == [one.name for one in recipe.members]
    assert [one.target for one in from_manifest(manifest)] == [one.target or ran.target for one in recipe.members]
    assert manifest["target"] == ran.target
    assert manifest["feature_set"] == (recipe.feature_set or "medium")


def test_only_a_network_with_classes_is_calibrated(ran):
    """A network with one output for each target has no probabilities; the report gives the reason."""
    network = next(one.options.network for one in ran.recipe.members if one.kind == "tsmixer")
    reason = "the network gives one score for each target, and no probabilities of classes"

    assert (ran.figures["calibration"] is None) == (network.head == "score")
    assert (ran.figures["not_computed"].get("calibration") == reason) == (network.head == "score")


def test_the_doctor_reads_the_recipe(ran):
    """The champion is held to the recipe's pins, and its target to the payout of the round."""
    checks = json.loads(ran.results["doctor --json"].stdout)["checks"]

    assert [
        check for check in checks if check["name"] == f"champion {ran.recipe.name}" and check["verdict"] != "ok"
    ] == []
    assert [ran.target in check["what"] for check in checks if check["name"] == "pay"] == [True]
