"""The ladder of `bot evaluate e1`: recipes whose network has one input more in each step, beside LightGBM."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.errors import OperatorNeeded
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.kinds.tsmixer import TSMixerOptions
from bot.members.member import Member
from bot.members.network.options import NetworkOptions
from bot.research.experiment import Experiment
from bot.training.recipes import Recipe

TREES = "LightGBM"
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "MLP": {"mixing": "none", "heads": False, "z": False, "x": False},
    "s": {"mixing": "row", "heads": False, "z": False, "x": False},
    "s+heads": {"mixing": "row", "heads": True, "z": False, "x": False},
    "s+heads+z": {"mixing": "row", "heads": True, "z": True, "x": False},
    "s+heads+z+x": {"mixing": "row", "heads": True, "z": True, "x": True},
    "by era": {"mixing": "era", "heads": True, "z": True, "x": True},
}
"""Variants of the network: their body, and whether they have heads for all targets, predictions z and history x."""

STEPS = (
    ("s", "MLP"),
    ("s+heads", "s"),
    ("s+heads+z", "s+heads"),
    ("s+heads+z+x", "s+heads+z"),
    ("by era", "s+heads+z+x"),
    ("MLP", TREES),
    ("s+heads+z", TREES),
    ("s+heads+z+x", TREES),
    ("by era", TREES),
)
"""Comparisons: a variant, and the one it is compared with."""


def ladder(experiment: Experiment) -> tuple[Recipe, ...]:
    """
    Return LightGBM and every variant of the recipe's network as recipes of one member.

    Raises:
        OperatorNeeded: The recipe has no network, or no history to try.
    """
    recipe, network = experiment.recipe, experiment.network
    if network is None or not network.lookback or not network.history_targets:
        raise OperatorNeeded(f"recipe {recipe.name!r} has no history to try; choose one with a lookback")
    preset = next(
        (one.options for one in recipe.members if isinstance(one.options, LightGBMOptions)), LightGBMOptions()
    )
    trees = Member(name="trees", kind="lightgbm", options=preset)
    variants = [replace(recipe, name=TREES, members=(trees,), targets=(), weighting="fixed")]
    for name, parts in NETWORKS.items():
        options = _options(network, parts, chunk=experiment.chunk)
        member = Member(name="network", kind="tsmixer", options=TSMixerOptions(network=options))
        targets = recipe.targets if parts["heads"] else ()
        variants.append(replace(recipe, name=name, members=(member,), targets=targets, weighting="fixed"))
    return tuple(variants)


def _options(network: NetworkOptions, parts: Mapping[str, Any], *, chunk: int) -> NetworkOptions:
    """Return the network's options with the parts of a variant; all variants learn the targets and stop on CORR."""
    return replace(
        network,
        mixing=parts["mixing"],
        lookback=network.lookback if parts["x"] else 0,
        stacked=parts["z"],
        stacked_chunk=max(chunk // 2, 2),
        benchmark_penalty=0.0,
        stop_on="corr",
    )
