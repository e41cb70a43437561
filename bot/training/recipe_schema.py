"""JSON schema of recipe files, for editors that complete and check TOML by a schema."""

from typing import Any

from pydantic import TypeAdapter

from bot.members import registry
from bot.members.member import Member
from bot.training.recipe_file import DATA
from bot.training.recipes import RECIPES, Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema of a recipe file in its present form, with the options of every installed kind."""
    definitions: dict[str, Any] = {}
    recipe = _object(Recipe, definitions)
    data = {name: recipe.pop(name) for name in DATA}
    for name in ("name", "members"):
        del recipe[name]
    member = _object(Member, definitions)
    for name in ("name", "options", "kind"):
        del member[name]
    kinds = registry.names()
    properties = {
        "base": {"enum": sorted(RECIPES), "default": "standard"},
        **recipe,
        **data,
        "data": {"type": "object", "properties": data, "additionalProperties": False},
        "members": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"kind": {"enum": list(kinds)}, **member},
                "allOf": [_of_kind(kind, member, definitions) for kind in kinds],
            },
        },
    }
    return {
        "$schema": DIALECT,
        "title": "Recipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _of_kind(kind: str, member: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the condition that a member of a kind has only the keys of members and the options of that kind."""
    options = _object(registry.find(kind).options, definitions)
    allowed = {"kind": {"const": kind}, **member, **options}
    return {
        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
        "then": {"properties": allowed, "additionalProperties": False},
    }


def _object(kind: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a dataclass; types that they refer to are added to *definitions*."""
    found = TypeAdapter(kind).json_schema(ref_template="#/$defs/{model}")
    definitions.update(found.pop("$defs", {}))
    properties: dict[str, Any] = found.get("properties", {})
    return properties
