"""
Read recipes from files: ``recipes/<name>.toml`` beside ``bot.toml``, in addition to the built-in ones.

::

    # recipes/patient.toml
    base = "standard"              # missing keys keep the values of this recipe; default "standard"
    target = "target_ender_60"     # without it, and without feature_set, the settings apply
    neutralize = 0.5

    [weights]                      # replaces all weights of the base
    tsmixer = 0.4
    gbm = 0.4
    gbm_ender_20 = 0.2

    [network]                      # like [floors], replaces single keys
    lookback = 26

A file may not have the name of a built-in recipe. Unknown keys, wrong types and impossible values are refused.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from bot.errors import BadConfig
from bot.serving.names import NETWORK_MEMBER, TREE_MEMBER, member_target
from bot.system.file_names import is_file_name
from bot.tournament.columns import horizon
from bot.training._recipe_limits import conflicts, out_of_range
from bot.training.recipes import META_MODEL, RECIPES, Floors, NetworkRecipe, Recipe
from models.trees.gbm_options import PRESETS

FOLDER = Path("recipes")
_FEATURE_SET = re.compile(r"[a-z]{1,40}|v[0-9]{1,3}_equivalent_features|fncv[0-9]{1,3}_features")
"""Names of feature sets in features.json of every version so far; a word may be a group of a later version."""

_SETS = "there are small, medium, all, the groups, v<n>_equivalent_features and fncv<n>_features"

_TABLES = {"network": NetworkRecipe, "floors": Floors}
log = structlog.get_logger()
_RECIPE: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the names of all recipes, built-in and in *folder*, without reading the files."""
    return tuple(sorted({*RECIPES, *(path.stem for path in folder.glob("*.toml"))}))


def find(name: str, folder: Path = FOLDER) -> Recipe:
    """
    Return the recipe called *name*.

    Raises:
        BadConfig: There is no such recipe, or its file is not valid.
    """
    path = folder / f"{name}.toml"
    # A name with a folder in it would read, and later write, outside of the recipes.
    if is_file_name(name) and path.is_file():
        return read(path)
    if name in RECIPES:
        return RECIPES[name]
    raise BadConfig(
        f"recipe {name!r} is unknown{_near(name, names(folder))}; known recipes: {', '.join(names(folder))}"
        f" (to add a recipe, write {folder}/NAME.toml)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryNeeds:
    """
    History that the recipes together need.

    Attributes:
        targets: History targets of all recipes, each once.
        lookback: Longest lookback, in resolved eras.
    """

    targets: tuple[str, ...]
    lookback: int


def history_needs(folder: Path = FOLDER) -> HistoryNeeds:
    """
    Return the history that the built-in recipes and those in *folder* need.

    A file that is not valid is left out and logged: only its own recipe fails, by the same message.
    """
    networks = []
    for name in names(folder):
        try:
            networks.append(find(name, folder).network)
        except BadConfig as error:
            log.warning("recipe.unusable", reason=str(error))
    targets = dict.fromkeys(name for network in networks for name in network.history_targets)
    return HistoryNeeds(targets=tuple(targets), lookback=max(network.lookback for network in networks))


def read(path: Path) -> Recipe:
    """
    Return the recipe of a file; the recipe has the file's name.

    Raises:
        BadConfig: The file cannot be read, is not TOML, or has an unknown key, a wrong type or an impossible value.
    """
    if path.stem in RECIPES:
        raise BadConfig(
            f"{path}: {path.stem!r} is a built-in recipe; give the file another name, and base = {path.stem!r}"
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not valid TOML: {error}") from None
    base = content.pop("base", "standard")
    if base not in RECIPES:
        raise BadConfig(f"{path}: base must be one of {', '.join(sorted(RECIPES))}, not {base!r}")
    _refuse_unknown(path, content, Recipe, "")
    merged = asdict(RECIPES[base]) | {key: value for key, value in content.items() if key not in _TABLES}
    for table, kind in _TABLES.items():
        changes = content.get(table, {})
        if not isinstance(changes, dict):
            raise BadConfig(f"{path}: {table} must be a table, [{table}]")
        _refuse_unknown(path, changes, kind, f"{table}.")
        merged[table] = asdict(getattr(RECIPES[base], table)) | changes
    if isinstance(merged["weights"], dict):
        merged["weights"] = list(merged["weights"].items())
    merged["name"] = path.stem
    try:
        # Strict JSON takes a list for a tuple and 1 for 1.0, but no text for a number.
        recipe = _RECIPE.validate_json(json.dumps(merged, default=str), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise BadConfig(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    _refuse_impossible(path, recipe)
    return recipe


def to_toml(recipe: Recipe) -> str:
    """Return the content of a recipe's file with every value; the inverse of :func:`read`."""
    content = {key: value for key, value in asdict(recipe).items() if key != "name" and value is not None}
    tables = {"weights": dict(content.pop("weights")), **{name: content.pop(name) for name in _TABLES}}
    lines = [f"{key} = {_value(value)}" for key, value in content.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:  # noqa: ANN401 - any value of a recipe: text, numbers, booleans and tuples of them
    # These values look the same in JSON and TOML, but TOML escapes DEL and has no surrogate pairs.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _refuse_unknown(path: Path, content: Mapping[str, Any], kind: type[Any], prefix: str) -> None:
    known = [field.name for field in fields(kind) if field.name != "name"]
    for key in content:
        if key not in known:
            raise BadConfig(f"{path}: {prefix}{key} is unknown{_near(key, known)}")


def _near(name: str, known: Any) -> str:  # noqa: ANN401 - any collection of names
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _refuse_impossible(path: Path, recipe: Recipe) -> None:
    """Refuse values of the right type that cannot be trained, blended or judged."""
    network, members = recipe.network, [name for name, _ in recipe.weights]
    answers = {member_target(name, main="") for name in members if name.startswith(f"{NETWORK_MEMBER}_")}
    tree_targets = [member_target(name, main="") for name in members if name.startswith(f"{TREE_MEMBER}_")]
    lists = {
        "targets": recipe.targets, "engineered": recipe.engineered, "weights": members,
        "network.history_targets": network.history_targets,
    }  # fmt: skip
    repeated = [key for key, names in lists.items() if len(set(names)) != len(names)]
    wrong = [
        (bool(repeated), f"{', '.join(repeated)}: a name occurs twice"),
        (recipe.gbm not in PRESETS, f"gbm = {recipe.gbm!r} is no preset; presets: {', '.join(PRESETS)}"),
        (
            not all(name.split("_")[0] in (NETWORK_MEMBER, TREE_MEMBER) for name in members),
            f"weights: members are tsmixer, gbm, tsmixer_<name> and gbm_<name>, not {', '.join(members)}",
        ),
        (
            bool(answers - set(recipe.targets)),
            f"weights: the network does not learn {', '.join(sorted(answers - set(recipe.targets)))}; add it to targets",
        ),
        (not any(weight for _, weight in recipe.weights), "weights must be at least 0, and one of them more"),
        (
            recipe.neutralizers == META_MODEL,
            "neutralizers = 'meta_model': an open round's meta model is not published; take 'benchmark' or a feature set",
        ),
        *(
            (not _FEATURE_SET.fullmatch(name), f"{key} = {name!r} is no feature set; {_SETS}")
            for key, name in (("neutralizers", recipe.neutralizers), ("feature_set", recipe.feature_set or "all"))
        ),
    ]
    for problem, reason in (*((True, line) for line in (*out_of_range(recipe), *conflicts(network))), *wrong):
        if problem:
            raise BadConfig(f"{path}: {reason}")
    own = () if recipe.target is None else (recipe.target,)
    for target in (*own, *recipe.targets, *network.history_targets, *tree_targets):
        try:
            horizon(target)
        except ValueError as error:
            raise BadConfig(f"{path}: {error}") from None
