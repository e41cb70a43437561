"""The page of all keys of a recipe: names, types and defaults of the JSON schema, meanings of the docstrings."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from bot.members import registry
from bot.members.member import Member
from bot.members.network.options import NetworkOptions
from bot.training.recipe_file import DATA
from bot.training.recipe_schema import schema
from bot.training.recipes import Floors, Recipe
from models.trees.gbm_options import GbmOptions

OPENING = """# Recipes

A recipe is a file `recipes/NAME.toml` beside `bot.toml`. Missing keys keep the values of its `base`.
Unknown keys, wrong types and impossible values are refused, with the likely key.
`bot recipes show NAME` prints a recipe with every value; `bot recipes schema` prints a JSON schema for editors.
[How to write a recipe](../how-to/recipe.md) has a whole file.

"""
HEAD = "| key | type | default | meaning |\n|---|---|---|---|"
ATTRIBUTE = re.compile(r"^    (\*?\w+): (.*?)(?=^    \*?\w+: |^\S|\Z)", re.MULTILINE | re.DOTALL)


def meanings(kind: type[Any]) -> dict[str, str]:
    """Return the attributes of a class with the meaning that its docstring gives them."""
    _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found = {name: " ".join(text.split()) for name, text in ATTRIBUTE.findall(attributes)}
    return {name: _plain(text) for name, text in found.items()}


def recipes_page() -> str:
    """Return the page of all keys."""
    whole = schema()
    keys, definitions = whole["properties"], whole["$defs"]
    about = {"base": "Built-in recipe whose values are kept where the file has no key.", **meanings(Recipe)}
    top = {name: one for name, one in keys.items() if name not in ("data", "members", "floors", *DATA)}
    member = keys["members"]["additionalProperties"]["properties"]
    parts = [
        OPENING + "## The recipe\n\n" + _table(top, about, definitions),
        "## [data]\n\nRows and columns to train on. The keys may also stand at the top.\n\n"
        + _table({name: keys[name] for name in DATA}, about, definitions),
        "## [floors]\n\nLimits that a challenger must hold to become champion.\n\n"
        + _table(definitions["Floors"]["properties"], meanings(Floors), definitions),
        "## [members.NAME]\n\nKeys of every member; the members of a file replace those of its base.\n\n"
        + _table(member, meanings(Member), definitions),
    ]
    for case in keys["members"]["additionalProperties"]["allOf"]:
        options = case["then"]["properties"]
        kind = registry.find(options["kind"]["const"])
        own = {name: one for name, one in options.items() if name not in member}
        summary = (inspect.cleandoc(kind.options.__doc__ or "").splitlines() or [""])[0]
        text = f'## kind = "{options["kind"]["const"]}"\n\n{_plain(summary)}\n'
        parts.append(text + ("\n" + _table(own, meanings(kind.options), definitions) if own else ""))
    parts.append(
        "## [members.NAME.network]\n\nOptions of the kinds `tsmixer` and `mlp`. The defaults are those of `tsmixer`;"
        " `bot recipes show contribution` shows those of `mlp`.\n\n"
        + _table(definitions["NetworkOptions"]["properties"], meanings(NetworkOptions), definitions)
    )
    parts.append(
        "## params of lightgbm\n\nParameters that differ from the preset, by LightGBM's names.\n\n"
        + "\n".join(f"- `{name}`: {text}" for name, text in meanings(GbmOptions).items())
        + "\n"
    )
    return "\n".join(parts)


def _table(properties: Mapping[str, Any], about: Mapping[str, str], definitions: Mapping[str, Any]) -> str:
    rows = [
        f"| `{name}` | {_type(one, definitions)} | {_default(one)} | {about.get(name, '')} |"
        for name, one in properties.items()
    ]
    return "\n".join((HEAD, *rows)) + "\n"


def _type(about: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "enum" in about:
        return ", ".join(f"`{one}`" for one in about["enum"])
    if "const" in about:
        return f"`{about['const']}`"
    if "anyOf" in about:
        return " or ".join(
            dict.fromkeys(_type(one, definitions) for one in about["anyOf"] if one.get("type") != "null")
        )
    if "$ref" in about:
        return "table"
    if about.get("type") == "array":
        return f"list of {_type(about.get('items', {}), definitions) or 'values'}"
    return {"object": "table", "string": "text"}.get(about.get("type", ""), about.get("type", "value"))


def _default(about: Mapping[str, Any]) -> str:
    value = about.get("default")
    if value is None or isinstance(value, dict):
        return "-"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in value) + "]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else "-"


def _plain(text: str) -> str:
    """Return a docstring's text as Markdown: single backticks, no roles of Sphinx, no column ends."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`").replace("|", "\\|")
    return re.sub(r"`None` (takes|has)", r"left out, it \1", text).replace("`None`", "`null`")
