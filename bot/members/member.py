"""
Members of a recipe as values.

A member is one column of an ensemble. Some members share one model: the heads of a network. Models are fitted and loaded
by :class:`Unit`, the owner of a model with its heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Label = Literal["target", "residual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """
    One model, or one output of a model, and its share in the ensemble.

    Attributes:
        name: Name in the recipe, in reports and of the model's files.
        kind: Name of its kind, see :mod:`bot.members.kinds`.
        weight: Share in the ensemble; the shares of all members need not sum to 1.
        target: Target to learn; ``None`` takes the recipe's main target.
        label: ``target`` learns the target, ``residual`` the part of it that Numerai's benchmark model leaves, in the eras
            that the benchmark covers (from 0158).
        residual: Share of the benchmark's part that is taken out of a residual label, 0 to 1.
        feature_set: Feature set of ``features.json``; ``None`` takes the recipe's.
        head_of: Name of the member whose model predicts this target too; ``None`` has a model of its own.
        options: Options of the kind, a frozen dataclass; those of a head have no effect.
    """

    name: str
    kind: str
    options: Any
    weight: float = 1.0
    target: str | None = None
    label: Label = "target"
    residual: float = 1.0
    feature_set: str | None = None
    head_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """
    A model and the members that it predicts; every target is named.

    Attributes:
        owner: Member whose options make the model and whose name its files have.
        heads: Members that are further outputs of the model.
    """

    owner: Member
    heads: tuple[Member, ...] = ()

    @property
    def members(self) -> tuple[Member, ...]:
        """Return all members that the model predicts."""
        return (self.owner, *self.heads)

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the targets of the members, that of the owner first, each once."""
        return tuple(dict.fromkeys(str(one.target) for one in self.members))


def resolved(members: Sequence[Member], *, target: str) -> tuple[Member, ...]:
    """Return members that all name their target: their own or the main *target*."""
    return tuple(one if one.target else replace(one, target=target) for one in members)


def units(members: Sequence[Member]) -> tuple[Unit, ...]:
    """Return the models of resolved members, in their order; a head whose owner is absent is left out."""
    return tuple(
        Unit(owner=one, heads=tuple(head for head in members if head.head_of == one.name))
        for one in members
        if one.head_of is None
    )


def from_plain(kind: type[Any], value: Any) -> Any:  # noqa: ANN401 - any dataclass and its JSON
    """
    Return a dataclass from the JSON of its fields, as ``dataclasses.asdict`` makes it.

    Unknown keys are ignored: a later version of the bot may have written them. Missing keys keep their defaults.

    Raises:
        TypeError: A field without a default is missing.
    """
    if is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        known = [field.name for field in fields(kind) if field.name in value]
        return kind(**{name: from_plain(hints[name], value[name]) for name in known})
    if get_origin(kind) in (Union, UnionType):
        inner = [one for one in get_args(kind) if one is not type(None)]
        return value if value is None or len(inner) != 1 else from_plain(inner[0], value)
    if isinstance(value, list):
        arguments = get_args(kind)
        return tuple(from_plain(arguments[0], one) if arguments else one for one in value)
    return value
