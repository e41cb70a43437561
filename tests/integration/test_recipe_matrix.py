"""Every key of a recipe goes through retrain, evaluate, report, doctor and export."""

import json
import re
import shutil
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from bot.cli.main import app
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.training import recipe_file
from bot.training.recipes import DEMO, Floors, NetworkRecipe, Recipe
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
feature_set = "small"
targets = ["target_jasper_60"]
gbm = "tiny"
missing = "category"
normalize = "standard"
engineered = ["group_mean"]
weighting = "constrained"
corr_multiplier = 1.0
mmc_multiplier = 2.0
neutralize = 0.5
neutralizers = "benchmark"
validation_eras = 14
holdout_eras = 40
every = 6
refit = false
[weights]
tsmixer = 1.0
tsmixer_jasper_60 = 1.0
gbm = 1.0
gbm_ender_60 = 1.0
[network]
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
labels = "benchmark_residual"
residual = 0.5
head = "score"
loss = "pearson"
pearson_weight = 0.5
benchmark_penalty = 0.1
epochs = 1
steps = 12
stop_on = "pay"
learning_rate = 1e-3
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
{FLOORS}"""
"""A recipe file that sets every key to another value than its base."""


@dataclass
class Ran:
    """A recipe, the manifest of the artifact that it made, and the result of every command."""

    recipe: Recipe
    manifest: dict[str, Any]
    results: dict[str, Result]

    @property
    def target(self) -> str:
        return self.recipe.target or "target_ender_60"


@pytest.fixture(scope="module")
def ran(trained, world_folder, tmp_path_factory):
    """Run every command in this process, on the store that another retrain has made."""
    root = tmp_path_factory.mktemp("recipe")
    shutil.copytree(trained, root / "state", ignore=shutil.ignore_patterns("artifacts", "reports", "*.lock"))
    (root / "recipes").mkdir()
    (root / "recipes" / "mine.toml").write_text(RECIPE)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    with (
        Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        installation = Installation(sandbox=sandbox, root=root, settings={"BOT_RECIPE": "mine"})
        for name, value in installation.environment.items():
            patch.setenv(name, value)
        patch.chdir(root)
        patch.setitem(PRESETS, "tiny", replace(PRESETS["demo"], num_trees=12))
        patch.setattr(torch, "compile", lambda network, **_: network)  # would take minutes
        results = {command: CliRunner().invoke(app, command.split()) for command in COMMANDS}
        assert results["retrain"].exit_code == 0, results["retrain"].output
        store = ArtifactStore(installation.state / "artifacts")
        manifest = store.open(store.champions("mine")[0]).manifest
        yield Ran(recipe=recipe_file.find("mine"), manifest=manifest, results=results)


def keys(table: dict[str, Any]) -> set[str]:
    """Return the keys of a recipe file, those of its tables behind a dot."""
    inner = {f"{name}.{key}" for name in ("network", "floors") for key in table.get(name, {})}
    return inner | set(table) - {"network", "floors", "base"}


def changed(table: dict[str, Any]) -> set[str]:
    """Return the keys of a recipe file whose value differs from the base's."""
    base = json.loads(json.dumps(asdict(DEMO)))
    for name in ("network", "floors"):
        base |= {f"{name}.{key}": value for key, value in base.pop(name).items()}
        table = table | {f"{name}.{key}": value for key, value in table.get(name, {}).items()}
    return {key for key in keys(table) & set(base) if table[key] != base[key]}


def test_every_key_of_a_recipe_is_covered():
    """The recipe changes each key, and the README's examples have no other keys."""
    every = {field.name for field in fields(Recipe)} - {"name", "network", "floors"}
    for name, table in (("network", NetworkRecipe), ("floors", Floors)):
        every |= {f"{name}.{field.name}" for field in fields(table)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = [tomllib.loads(text) for text in re.findall(r"```toml\n(# recipes/.*?)```", readme, re.DOTALL)]

    assert changed(tomllib.loads(RECIPE)) == every
    assert shown
    assert set.union(*map(keys, shown)) <= every


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
    assert manifest["target"] == ran.target
    assert manifest["feature_set"] == (recipe.feature_set or "medium")


def test_the_doctor_reads_the_recipe(ran):
    """The champion is held to the recipe's pins, and its target to the payout of the round."""
    checks = [json.loads(line) for line in ran.results["doctor --json"].stdout.splitlines()]

    assert [check for check in checks if check["name"] == "champion mine" and check["verdict"] != "ok"] == []
    assert [ran.target in check["what"] for check in checks if check["name"] == "pay"] == [True]
