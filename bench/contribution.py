"""
The recipe `contribution` beside `standard` on worlds whose benchmark explains a part of the signal, and what each choice adds.

A world's benchmark predicts the lasting signal of seven in ten features with little noise. As on Numerai's data, it explains
most of what a model learns. Both recipes are fitted walk-forward on the same folds
with several seeds, by `bot evaluate compare`'s own code, and so are variants of `contribution` without one of its choices.
Sizes are those of small worlds: networks are narrower, trees fewer. The choices are the recipe's.

Goal: BMC and pay of `contribution` are over those of `standard` by more than two standard errors.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bot.cli.research.compare import show
from bot.data.ingest import update
from bot.members.member import Member
from bot.research.experiment import Experiment, plain
from bot.research.recipe_comparison import Comparison, compare
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.training.recipes import CONTRIBUTION, STANDARD, Recipe

TARGET = "target_ender_60"
HISTORY = ("target_ender_20", "target_ender_60")


def smaller(member: Member) -> Member:
    """Return a member in the size of a small world, with all its choices."""
    options = member.options
    if member.kind in ("tsmixer", "mlp"):
        network = replace(options.network, encoder=(32,), seeds=1)
        network = replace(network, steps=120) if network.steps else replace(network, epochs=2)
        if member.kind == "tsmixer":
            network = replace(network, lookback=6, history_targets=HISTORY, hidden=8, feed_forward=16, blocks=1)
        options = replace(options, network=network)
    elif member.kind == "lightgbm":
        trees = {
            "num_trees": 100,
            "learning_rate": 0.05,
            "num_leaves": 15,
            "min_data_in_leaf": 200,
            "colsample_bytree": 0.3,
        }
        options = replace(options, preset="small", params=trees)
    return replace(member, options=options)


def sized(recipe: Recipe) -> Recipe:
    """Return a recipe in the size of a small world."""
    return replace(recipe, members=tuple(map(smaller, recipe.members)), targets=HISTORY, every=1, target=TARGET)


def changed(recipe: Recipe, name: str, member: str, **options: object) -> Recipe:
    """Return a recipe in which the network of one member has other options."""
    members = []
    for one in recipe.members:
        if one.name == member:
            one = replace(one, options=replace(one.options, network=replace(one.options.network, **options)))  # noqa: PLW2901
        members.append(one)
    return replace(recipe, name=name, members=tuple(members))


def without(recipe: Recipe, name: str, member: str) -> Recipe:
    """Return a recipe without one member."""
    return replace(recipe, name=name, members=tuple(one for one in recipe.members if one.name != member))


def recipes() -> list[Recipe]:
    """Return both recipes, and `contribution` without one of its choices at a time."""
    whole = sized(CONTRIBUTION)
    plain_labels = replace(
        whole,
        name="trees on the target",
        members=tuple(replace(one, label="target") if one.label == "residual" else one for one in whole.members),
    )
    free = changed(whole, "no penalty", "mlp", benchmark_penalty=0.0)
    return [
        sized(STANDARD),
        whole,
        changed(free, "no penalty", "tsmixer", benchmark_penalty=0.0),
        plain_labels,
        without(whole, "without the benchmark", "benchmark"),
        without(whole, "without TSMixer-Ext", "tsmixer"),
        without(whole, "without the perceptron", "mlp"),
    ]


def run(root: Path, chosen: Sequence[Recipe], *, seeds: int, size: Mapping[str, Any], **world: float) -> Comparison:
    """
    Generate a world of 140 and 120 eras and compare recipes on it.

    Args:
        root: Empty folder.
        chosen: The recipes.
        seeds: Repetitions of each.
        size: Values of the world's size that differ from those of `tiny`.
        world: Options of :func:`bot.sandbox.world.generate.generate`.
    """
    whole = replace(SIZES["tiny"], train_eras=140, validation_eras=120, **size)
    generate(root / "world", size=whole, **world)
    shutil.copytree(root / "world" / "v5.3", root / "state" / "data" / "v5.3")
    files = [root / "world" / "v5.3" / name for name in ("train.parquet", "validation.parquet")]
    update(root / "state" / "store", files, version="v5.3")
    experiment = Experiment(
        state_dir=root / "state",
        data_version="v5.3",
        feature_set="small",
        target=TARGET,
        recipe=chosen[0],
        eras=None,
        every=1,
        chunk=125,
        holdout_eras=0,
        device="cpu",
    )
    return compare(experiment, chosen, seeds=seeds)


def main() -> int:
    """Compare, print the tables, and return 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--world", type=int, default=1, help="seed of the world")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        size = {"rows": (250, 250), "signal": 0.12}
        benchmark = {"benchmark_share": 0.7, "benchmark_noise": 0.2}
        result = run(Path(folder), recipes(), seeds=arguments.seeds, size=size, seed=arguments.world, **benchmark)
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(plain(asdict(result)), indent=1), encoding="utf-8")
    found = {(one.late, one.score): one.t for one in result.differences}
    return int(min(found["contribution", "BMC"], found["contribution", "pay"]) <= 2)


if __name__ == "__main__":
    sys.exit(main())
