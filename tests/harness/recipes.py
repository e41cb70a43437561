"""Recipes that differ from a built-in one in a few options of its members."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.network.options import NetworkOptions
from bot.members.stored import named_members
from bot.training.recipes import Recipe


def network_of(recipe: Recipe) -> NetworkOptions:
    """Return the options of a recipe's network."""
    found: NetworkOptions = next(one.options.network for one in recipe.members if one.kind == "tsmixer")
    return found


def preset_of(recipe: Recipe) -> str:
    """Return the preset of a recipe's trees."""
    found: LightGBMOptions = next(one.options for one in recipe.members if one.kind == "lightgbm")
    return found.preset


def remade(
    recipe: Recipe,
    *,
    weights: Mapping[str, float] | None = None,
    preset: str | None = None,
    residual: bool = False,
    network: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Recipe:
    """
    Return a recipe with other members.

    Args:
        recipe: Recipe with one network and trees, such as the demo's.
        weights: Share of each member: ``tsmixer`` and ``gbm``, or either with the rest of a target's name.
        preset: Preset of the trees.
        residual: Whether the network learns the residual of the benchmark.
        network: Options of the network that change.
        changes: Other attributes of the recipe that change.
    """
    shares = {one.name: one.weight for one in recipe.members} if weights is None else weights
    members = named_members(
        shares.items(),
        main=None,
        network=replace(network_of(recipe), **(network or {})),
        residual=residual,
        preset=preset or preset_of(recipe),
    )
    return replace(recipe, members=members, **changes)
