"""
Read recipes from files: ``recipes/<name>.toml`` beside ``bot.toml``, in addition to the built-in ones.

::

    # recipes/patient.toml
    base = "standard"              # missing keys keep the values of this recipe; default "standard"
    target = "target_ender_60"     # without it, and without data.feature_set, the settings apply
    neutralize = 0.5

    [data]
    feature_set = "medium"
    every = 4

    [members.mixer]                # members replace all members of the base; a member that has the name of one of
    kind = "tsmixer"               # the base's, and its kind, keeps that one's other values
    weight = 0.6
    [members.mixer.network]
    lookback = 26

    [members.trees]
    kind = "lightgbm"
    weight = 0.4

A file may not have the name of a built-in recipe. Unknown keys, wrong types and impossible values are refused.
Files that list members by ``[weights]``, ``[network]`` and ``gbm`` are read too, see ``_older_recipes``.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from bot.errors import BadConfig, suggestion, suggestion_or_all
from bot.members import registry
from bot.members.member import Member
from bot.serving.names import DISTRIBUTIONS, ENSEMBLE, GOLDEN, HISTORY, PREPROCESS
from bot.system.configuration.setting_sources import STATE_DIR, others_write, read_settings
from bot.system.file_names import is_file_name
from bot.tournament.columns import horizon
from bot.training._older_recipes import OLDER_KEYS, older_members
from bot.training._recipe_limits import numbers_out_of_range
from bot.training.recipes import META_MODEL, RECIPES, Floors, Recipe

FOLDER = Path("recipes")
DATA = (
    "feature_set",
    "every",
    "first_era",
    "newest",
    "half_life",
    "missing",
    "normalize",
    "engineered",
    "validation_eras",
    "holdout_eras",
)
"""Keys that may stand in the table ``[data]``."""

INHERITED = ("kind", "label", "residual", "feature_set")
"""Keys that a head takes from the member whose model predicts it."""

_FEATURE_SET = re.compile(r"[a-z]{1,40}|v[0-9]{1,3}_equivalent_features|fncv[0-9]{1,3}_features")
"""Names of feature sets in features.json of every version so far; a word may be a group of a later version."""

_SETS = (
    "there are small, medium, all, the groups, v<n>_equivalent_features and fncv<n>_features; neutralizers may also be"
    " benchmark, or riskiest:<number>"
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TAKEN = {
    ENSEMBLE,
    "values",
    "names",
    "manifest",
    "evaluation",
    *(one.partition(".")[0] for one in (PREPROCESS, HISTORY, GOLDEN, DISTRIBUTIONS)),
}
"""Names that artifacts and tables use for something else."""

RESERVED = "folds"
"""Folder in ``training`` of the state directory beside those of the recipes; no recipe can have this name."""

log = structlog.get_logger()
_RECIPE: TypeAdapter[Recipe] = TypeAdapter(Recipe)
_MEMBER: TypeAdapter[Member] = TypeAdapter(Member)


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
        f"recipe {name!r} is unknown{suggestion(name, names(folder))}; known recipes: {', '.join(names(folder))}"
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
    needs = []
    for name in names(folder):
        try:
            needs += [registry.find(one.kind).needs(one) for one in find(name, folder).members]
        except BadConfig as error:
            log.warning("recipe.unusable", reason=str(error))
    targets = dict.fromkeys(name for one in needs for name in one.history)
    return HistoryNeeds(targets=tuple(targets), lookback=max((one.lookback for one in needs), default=0))


def _refuse_program_of_others(path: Path, recipe: Recipe) -> None:
    """Refuse a file that names a program to run, where others than the operator may write it."""
    if not any(one.kind == "command" for one in recipe.members):
        return
    if others_write(path, Path(str(read_settings().get("state_dir", STATE_DIR)))):
        raise BadConfig(
            "it names a program to run and can be written by others than the operator, so it is not taken; keep it outside"
            " the state directory, writable by you alone"
        )


def read(path: Path) -> Recipe:
    """
    Return the recipe of a file; the recipe has the file's name.

    Raises:
        BadConfig: The file cannot be read, is not TOML, or has an unknown key, a wrong type or an impossible value.
    """
    if path.stem == RESERVED:
        raise BadConfig(f"{path}: {RESERVED!r} is the name of a folder of the bot; give the file another name")
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
    try:
        recipe = _recipe(path.stem, content)
        _refuse_problems(recipe)
        _refuse_program_of_others(path, recipe)
    except BadConfig as error:
        raise BadConfig(f"{path}: {error}") from None
    return recipe


def _recipe(name: str, content: dict[str, Any]) -> Recipe:
    """Return the recipe that a file's content describes, its values unchecked beyond their types."""
    base_name = content.pop("base", "standard")
    if base_name not in RECIPES:
        raise BadConfig(f"base must be one of {', '.join(sorted(RECIPES))}, not {base_name!r}")
    base = RECIPES[base_name]
    data, tables = (
        _table(content, "data"),
        {key: content.pop(key) for key in ("members", *OLDER_KEYS) if key in content},
    )
    _refuse_unknown(data, DATA, "data.")
    if twice := sorted(data.keys() & content.keys()):
        raise BadConfig(f"{twice[0]} stands in [data] and outside of it; keep one of them")
    known = [one.name for one in fields(Recipe) if one.name != "name"]
    _refuse_unknown(content, [*known, "data", *OLDER_KEYS], "")
    floors = _table(content, "floors")
    _refuse_unknown(floors, [one.name for one in fields(Floors)], "floors.")
    merged = asdict(replace(base, members=())) | content | data | {"floors": asdict(base.floors) | floors, "name": name}
    recipe: Recipe = _validated(_RECIPE, merged, "")
    return replace(recipe, members=_members(name, base, tables))


def _members(name: str, base: Recipe, tables: Mapping[str, Any]) -> tuple[Member, ...]:
    """Return the members of a file: its own, those of an older form, or those of the base."""
    own = tables.get("members")
    older = {key: value for key, value in tables.items() if key != "members"}
    if own is None:
        return older_members(name, base, older) if older else base.members
    if older:
        raise BadConfig(f"{', '.join(older)} cannot stand beside [members.NAME]; write the options into the members")
    if not isinstance(own, dict) or not own:
        raise BadConfig("members must be tables, [members.NAME]")
    kinds = {one.name: one for one in base.members}
    found: list[Member] = []
    for each, table in own.items():
        if not isinstance(table, dict):
            raise BadConfig(f"members.{each} must be a table, [members.{each}]")
        owner = own.get(table.get("head_of")) if isinstance(table.get("head_of"), str) else None
        inherited = {key: owner[key] for key in INHERITED if key in owner} if isinstance(owner, dict) else {}
        found.append(_member(each, table, kinds.get(each), inherited))
    return tuple(found)


def _member(name: str, table: Mapping[str, Any], before: Member | None, inherited: Mapping[str, Any]) -> Member:
    """Return a member; *before* is that of the base with its name, *inherited* are keys of its model's owner."""
    where = f"members.{name}"
    kind_name = table.get("kind", inherited.get("kind", before.kind if before else None))
    if not isinstance(kind_name, str):
        raise BadConfig(f"{where}: kind must name a kind: {', '.join(registry.names())}")
    kind = registry.find(kind_name)
    before = before if before is not None and before.kind == kind_name else None
    options = [one.name for one in fields(kind.options)]
    own = [one.name for one in fields(Member) if one.name not in ("name", "options")]
    _refuse_unknown(table, [*own, *options], f"{where}.")
    plain = {key: table[key] for key in own if key in table}
    changed = {key: table[key] for key in options if key in table}
    if changed and "head_of" in table:
        raise BadConfig(f"{where}: a head takes the options of its model; remove {', '.join(changed)}")
    base = ({} if before is None else {key: getattr(before, key) for key in own}) | dict(inherited)
    member: Member = _validated(_MEMBER, base | plain | {"name": name, "kind": kind_name, "options": None}, f"{where}.")
    merged = _merged(kind.options() if before is None else before.options, changed, where)
    return replace(member, options=_validated(TypeAdapter(kind.options), merged, f"{where}."))


def _merged(options: Any, changed: Mapping[str, Any], where: str) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return options as JSON with some keys changed; of a table of options, single keys."""
    merged = asdict(options)
    for key, value in changed.items():
        present = getattr(options, key)
        if is_dataclass(present):
            if not isinstance(value, dict):
                raise BadConfig(f"{where}.{key} must be a table, [{where}.{key}]")
            _refuse_unknown(value, [one.name for one in fields(present)], f"{where}.{key}.")
            merged[key] = merged[key] | value
        else:
            merged[key] = value
    return merged


def _validated(adapter: TypeAdapter[Any], content: Mapping[str, Any], prefix: str) -> Any:  # noqa: ANN401 - of any type
    """Return the value of a type from its JSON. Strict: it takes a list for a tuple and 1 for 1.0, but no text for a number."""
    try:
        return adapter.validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise BadConfig(f"{prefix}{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def to_toml(recipe: Recipe) -> str:
    """Return the content of a recipe's file with every value; the inverse of :func:`read`."""
    content = {key: value for key, value in asdict(recipe).items() if key != "name" and value is not None}
    floors = content.pop("floors")
    del content["members"]
    data = {key: content.pop(key) for key in DATA if key in content}
    tables = {"data": data, "floors": floors}
    for member in recipe.members:
        plain = {
            key: value for key, value in asdict(member).items() if key not in ("name", "options") and value is not None
        }
        options = {} if member.head_of else asdict(member.options)
        inner = {key: options.pop(key) for key in list(options) if isinstance(options[key], dict)}
        tables[f"members.{member.name}"] = plain | {key: value for key, value in options.items() if value is not None}
        tables |= {f"members.{member.name}.{key}": value for key, value in inner.items()}
    lines = [f"{key} = {_value(value)}" for key, value in content.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items() if value is not None)]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:  # noqa: ANN401 - any value of a recipe: text, numbers, booleans and tuples of them
    # These values look the same in JSON and TOML, but TOML escapes DEL and has no surrogate pairs.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Take a table out of a file's content; empty where the file has none."""
    table = content.pop(name, {})
    if not isinstance(table, dict):
        raise BadConfig(f"{name} must be a table, [{name}]")
    return table


def _refuse_unknown(content: Iterable[str], known: Iterable[str], prefix: str) -> None:
    for key in content:
        if key not in (listed := list(known)):
            raise BadConfig(f"{prefix}{key} is unknown{suggestion_or_all(key, listed)}")


def _refuse_problems(recipe: Recipe) -> None:
    for problem in _problems(recipe):
        raise BadConfig(problem)


def _problems(recipe: Recipe) -> Iterable[str]:
    """Yield a line for each value of the right type that cannot be trained, blended or judged."""
    yield from numbers_out_of_range(recipe)
    for key, listed in (("targets", recipe.targets), ("engineered", recipe.engineered)):
        if len(set(listed)) != len(listed):
            yield f"{key}: a name occurs twice"
    neutralizers = "all" if recipe.riskiest else recipe.neutralizers
    for key, name in (("neutralizers", neutralizers), ("feature_set", recipe.feature_set or "all")):
        if name == META_MODEL:
            yield f"{key} = 'meta_model': an open round's meta model is not published; take 'benchmark' or a feature set"
        elif not _FEATURE_SET.fullmatch(name):
            yield f"{key} = {name!r} is no feature set; {_SETS}"
    if recipe.first_era is not None and not re.fullmatch(r"[0-9]{4,5}", recipe.first_era):
        yield f"first_era = {recipe.first_era!r} is no era; eras are written 0001 to 9999"
    if not any(one.weight for one in recipe.members):
        yield "the weights of all members are 0; one of them must be over 0"
    for member in recipe.members:
        yield from _member_problems(member, {one.name: one for one in recipe.members})
        if recipe.weighting != "fixed" and registry.find(member.kind).needs(member).elsewhere:
            yield (
                f"weighting = {recipe.weighting!r} cannot weigh members.{member.name}: it was trained elsewhere, maybe on the"
                " eras that weigh it; take 'fixed'"
            )
    targets = [recipe.target, *recipe.targets, *(one.target for one in recipe.members)]
    needs = [registry.find(one.kind).needs(one) for one in recipe.members]
    yield from _target_problems([*filter(None, targets), *(name for one in needs for name in one.history)])


def _member_problems(member: Member, members: Mapping[str, Member]) -> Iterable[str]:
    where = f"members.{member.name}"
    if not _NAME.fullmatch(member.name) or member.name in _TAKEN:
        yield f"{where}: a name has small letters, digits and _, begins with a letter, and is none of {', '.join(sorted(_TAKEN))}"
    if member.feature_set is not None and not _FEATURE_SET.fullmatch(member.feature_set):
        yield f"{where}.feature_set = {member.feature_set!r} is no feature set; {_SETS}"
    if member.label == "target" and member.residual != 1:
        yield f"{where}.residual = {member.residual:g} has no effect without label = 'residual'"
    if member.head_of is None:
        yield from (f"{where}.{line}" for line in registry.find(member.kind).problems(member))
        return
    owner = members.get(member.head_of)
    if owner is None or owner.head_of is not None or owner.kind != member.kind:
        yield f"{where}.head_of = {member.head_of!r} is no {member.kind} member with a model of its own"
    elif (member.label, member.residual, member.feature_set) != (owner.label, owner.residual, owner.feature_set):
        yield f"{where}: label, residual and feature_set are those of {owner.name}; remove them, or repeat them exactly"
    elif not registry.find(member.kind).needs(owner).heads:
        yield f"{where}.head_of: a {member.kind} has one output"


def _target_problems(targets: Iterable[str]) -> Iterable[str]:
    for target in targets:
        try:
            horizon(target)
        except ValueError as error:
            yield str(error)
