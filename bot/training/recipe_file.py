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
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.errors import BadConfig
from bot.serving.names import NETWORK_MEMBER, TREE_MEMBER, member_target
from bot.tournament.columns import horizon
from bot.training.recipes import META_MODEL, RECIPES, Floors, NetworkRecipe, Recipe
from models.trees.gbm_options import PRESETS

FOLDER = Path("recipes")
_TABLES = {"network": NetworkRecipe, "floors": Floors}
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
    if path.is_file():
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

    Raises:
        BadConfig: A file of *folder* is not valid.
    """
    networks = [find(name, folder).network for name in names(folder)]
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
        content = tomllib.loads(path.read_text(encoding="utf-8"))
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
    network, floors = recipe.network, recipe.floors
    members = [name for name, _ in recipe.weights]
    answers = {member_target(name, main="") for name in members if name.startswith(f"{NETWORK_MEMBER}_")}
    tree_targets = [member_target(name, main="") for name in members if name.startswith(f"{TREE_MEMBER}_")]
    wrong = [
        (recipe.gbm not in PRESETS, f"gbm = {recipe.gbm!r} is no preset; presets: {', '.join(PRESETS)}"),
        (
            not all(name.split("_")[0] in (NETWORK_MEMBER, TREE_MEMBER) for name in members),
            f"weights: members are tsmixer, gbm, tsmixer_<name> and gbm_<name>, not {', '.join(members)}",
        ),
        (
            bool(answers - set(recipe.targets)),
            f"weights: the network does not learn {', '.join(sorted(answers - set(recipe.targets)))}; add it to targets",
        ),
        (
            any(weight < 0 for _, weight in recipe.weights) or not any(weight for _, weight in recipe.weights),
            "weights must be at least 0, and one of them more",
        ),
        (
            recipe.neutralizers == META_MODEL,
            "neutralizers = 'meta_model': an open round's meta model is not published; take 'benchmark' or a feature set",
        ),
        (not 0 <= recipe.neutralize <= 1, f"neutralize = {recipe.neutralize:g} is not within 0 and 1"),
        (min(recipe.validation_eras, recipe.holdout_eras) < 2, "validation_eras and holdout_eras must be at least 2"),
        (recipe.every < 1, "every must be at least 1"),
        (not 0 < floors.confidence < 1, f"floors.confidence = {floors.confidence:g} is not between 0 and 1"),
        (network.lookback < 0, "network.lookback must be at least 0"),
        (
            min(network.hidden, network.blocks, network.epochs, network.seeds, network.batch_rows) < 1,
            "network: hidden, blocks, epochs, seeds and batch_rows must be at least 1",
        ),
        (network.learning_rate <= 0, "network.learning_rate must be over 0"),
    ]
    for problem, reason in wrong:
        if problem:
            raise BadConfig(f"{path}: {reason}")
    own = () if recipe.target is None else (recipe.target,)
    for target in (*own, *recipe.targets, *network.history_targets, *tree_targets):
        try:
            horizon(target)
        except ValueError as error:
            raise BadConfig(f"{path}: {error}") from None
