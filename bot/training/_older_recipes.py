"""Read the members of recipe files that name them in ``[weights]``, with one ``[network]`` and one preset ``gbm``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from bot.errors import BadConfig, suggestion
from bot.members.member import Member
from bot.members.network.options import NetworkOptions
from bot.members.stored import named_members
from bot.training.recipes import Recipe
from models.trees.gbm_options import PRESETS

OLDER_KEYS = ("weights", "network", "gbm")
LABELS = ("target", "benchmark_residual")

log = structlog.get_logger()


def older_members(name: str, base: Recipe, tables: Mapping[str, Any]) -> tuple[Member, ...]:
    """
    Return the members of a file of the older form.

    Args:
        name: Name of the recipe, for the log.
        base: Recipe whose values are kept.
        tables: The file's values of :data:`OLDER_KEYS`.

    Raises:
        BadConfig: A key or value is unknown, or the base has other members.
    """
    networks = [one for one in base.members if one.kind == "tsmixer" and one.head_of is None]
    trees = [one for one in base.members if one.kind == "lightgbm"]
    if len(networks) != 1 or len(trees) != 1 or len(base.members) != 2:
        raise BadConfig(f"{', '.join(tables)}: write [members.NAME] tables on the base {base.name!r}")
    changes = dict(_table(tables, "network"))
    labels = changes.pop("labels", LABELS[0])
    if labels not in LABELS:
        raise BadConfig(f"network.labels must be one of {', '.join(LABELS)}, not {labels!r}")
    network = _network(networks[0].options.network, changes)
    preset = tables.get("gbm", trees[0].options.preset)
    if preset not in PRESETS:
        raise BadConfig(f"gbm = {preset!r} is no preset; presets: {', '.join(PRESETS)}")
    weights = tables.get("weights", {one.name: one.weight for one in base.members})
    if not isinstance(weights, dict) or not all(_is_number(one) for one in weights.values()):
        raise BadConfig("weights must be a table of numbers, [weights]")
    try:
        members = named_members(
            weights.items(), main=None, network=network, residual=labels == LABELS[1], preset=preset
        )
    except ValueError as error:
        raise BadConfig(f"weights: {error}") from None
    _advise(name, tuple(tables))
    return members


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise BadConfig(f"{name} must be a table, [{name}]")
    return table


def _network(base: NetworkOptions, changes: Mapping[str, Any]) -> NetworkOptions:
    known = [one.name for one in fields(NetworkOptions)]
    for key in changes:
        if key not in known:
            raise BadConfig(f"network.{key} is unknown{suggestion(key, known)}")
    try:
        text = json.dumps({**asdict(base), **changes}, default=str)
        return TypeAdapter(NetworkOptions).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise BadConfig(f"network.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@cache
def _advise(name: str, keys: tuple[str, ...]) -> None:
    """Log once how to write the members now."""
    log.info(
        "recipe.older_form",
        recipe=name,
        keys=", ".join(keys),
        todo=f"`bot recipes show {name}` prints the same recipe with [members.NAME] tables",
    )
