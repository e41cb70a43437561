"""A check of JSON against the types of :mod:`bot.cli.json_answers`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

PLAIN = {float: (int, float, NoneType), Path: str, Any: object}
"""JSON types of a type; a figure that could not be computed is null."""


def differences(value: Any, kind: Any, place: str = "answer") -> Iterator[str]:
    """Yield each place of *value* that is not as *kind* says: keys that are missing or too many, and values of another type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        found = [list(differences(value, one, place)) for one in inner]
        yield from min(found, key=len)
        return
    is_object = is_typeddict(kind) or is_dataclass(kind) or origin is Mapping
    expected = dict if is_object else list if origin in (list, tuple, Sequence) else PLAIN.get(kind, kind)
    if origin is Literal:
        fits = value in inner
    else:
        fits = isinstance(value, expected) and not (isinstance(value, bool) and kind in (int, float))
    if not fits:
        yield f"{place}: {value!r} is no {kind}"
    elif expected is list:
        for number, one in enumerate(value):
            yield from differences(one, inner[0], f"{place}[{number}]")
    elif is_object:
        yield from _keys(value, kind, place)


def _keys(value: Mapping[str, Any], kind: Any, place: str) -> Iterator[str]:
    if get_origin(kind) is Mapping:
        hints, needed = dict.fromkeys(value, get_args(kind)[1]), set()
    else:
        hints = get_type_hints(kind)
        hints = {one.name: hints[one.name] for one in fields(kind)} if is_dataclass(kind) else hints
        needed = kind.__required_keys__ if is_typeddict(kind) else set(hints)
    if set(value) - set(hints) or needed - set(value):
        yield f"{place}: keys {sorted(value)}, not {sorted(hints)}"
    for key in set(hints) & set(value):
        yield from differences(value[key], hints[key], f"{place}.{key}")
