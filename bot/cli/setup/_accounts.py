"""Accounts, models and recipes in `bot init`: listed where Numerai answers, each answer checked at once."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import typer

from bot.cli.setup._keys import GivenKey, ask_new_key
from bot.cli.setup._questions import ask, choose, confirm, several
from bot.errors import BadConfig
from bot.settings import Settings
from bot.system.configuration.secret_files import OWN_FOLDER
from bot.training import recipe_file
from bot.training.recipes import PURPOSES

ORDINALS = "first", "second", "third", "fourth", "fifth"
"""Names that are proposed for accounts."""

_MODEL = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAccount:
    """
    One of several accounts.

    Attributes:
        name: Name of its table.
        given: Its key.
        slots: Recipe of each of its models; empty for its only model.
    """

    name: str
    given: GivenKey
    slots: Mapping[str, str]

    @property
    def files(self) -> tuple[str, str]:
        """Return the names of the files of its key, public half first."""
        return f"{self.name}_public_id", f"{self.name}_secret_key"

    def to_toml(self) -> Iterable[str]:
        """Return the lines of its tables."""
        public_id, secret_key = (json.dumps(str(OWN_FOLDER / file)) for file in self.files)
        yield from ("", f"[accounts.{self.name}]", f"public_id_file = {public_id}", f"secret_key_file = {secret_key}")
        yield from (f"[accounts.{self.name}.slots]", *slot_lines(self.slots))


def slot_lines(slots: Mapping[str, str]) -> Iterable[str]:
    """Return the line of each slot in ``bot.toml``."""
    return (f"{json.dumps(name)} = {json.dumps(recipe)}" for name, recipe in slots.items())


def ask_accounts(
    settings: Settings, given: GivenKey, slots: Mapping[str, str], unchecked: list[str]
) -> tuple[NamedAccount, ...]:
    """
    Ask whether there is another account; return all of them, the given one first, or none where it is the only one.

    Args:
        settings: Settings of the environment, with the API's address.
        given: Key of the first account.
        slots: Recipe of each of its models.
        unchecked: Gets a line for everything that could not be tested.
    """
    accounts: list[NamedAccount] = []
    while confirm("Another account?"):
        if not accounts:
            name = _ask_name("Name of the account above", accounts)
            accounts.append(NamedAccount(name=name, given=given, slots={one: slots[one] for one in slots if one}))
        name = _ask_name("Name of the other account", accounts)
        typer.echo(f"API key of {name}. Press return to leave it out.")
        other = ask_new_key(settings, unchecked, {one.given.public_id: one.name for one in accounts})
        if other.key is None:
            break
        taken = [slot for one in accounts for slot in one.slots]
        accounts.append(NamedAccount(name=name, given=other, slots=ask_slots(other.models, unchecked, taken=taken)))
    return tuple(accounts) if len(accounts) > 1 else ()


def ask_slots(
    models: tuple[str, ...] | None, unchecked: list[str], *, taken: Sequence[str] | None = None
) -> dict[str, str]:
    """
    Return the recipe of each model to fill; the empty name stands for the account's only model.

    Args:
        models: Models of the account; ``None`` where Numerai could not be asked.
        unchecked: Gets a line where the models are only typed.
        taken: Models of the accounts before, which are refused; every model of a further account has a name.
    """
    if models:
        listed = choose("Models of the account:", [(name, "") for name in models])
        names = ask("Models to fill, numbers or names", several(listed), default="1")
    elif taken is not None:
        names = ask("Models to fill, by name", _some(several(_model_name), taken), default="")
    else:
        names = ask("Models to fill, by name (return: the account's only model)", several(_model_name), default="")
    if names and models is None:
        unchecked.append(f"whether the account has {', '.join(names)}")
    check = choose("Recipes:", [(name, _description(name)) for name in recipe_file.names()])
    return {
        name: ask(
            f"Recipe of {name or 'the model'}", lambda answer: recipe_file.find(check(answer)).name, default="standard"
        )
        for name in names or ("",)
    }


def _ask_name(question: str, accounts: Sequence[NamedAccount]) -> str:
    names = [one.name for one in accounts]

    def new(answer: str) -> str:
        if not _ACCOUNT.fullmatch(answer):
            raise BadConfig(f"{answer!r} is no name of an account; names have letters, digits, - and _")
        if answer in names:
            raise BadConfig(f"{answer} is the name of an account above; choose another one")
        return answer

    return ask(question, new, default=next((one for one in ORDINALS[len(names) :] if one not in names), None))


def _some(check: Callable[[str], tuple[str, ...]], taken: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return *check* that also refuses no model, and one of another account."""

    def some(answer: str) -> tuple[str, ...]:
        names = check(answer)
        if not names:
            raise BadConfig("name at least one model of this account")
        if twice := [name for name in names if name in taken]:
            raise BadConfig(f"{', '.join(twice)} is filled by an account above; a model belongs to one account")
        return names

    return some


def _model_name(answer: str) -> str:
    if not _MODEL.fullmatch(answer):
        raise BadConfig(f"{answer!r} is no name of a model; names have letters, digits, - and _")
    return answer


def _description(name: str) -> str:
    """Return what a built-in recipe is for, the members and feature set of another one, or why its file cannot be read."""
    if name in PURPOSES:
        return PURPOSES[name]
    try:
        recipe = recipe_file.find(name)
    except BadConfig as error:
        return f"not usable: {error}"
    kinds = ", ".join(dict.fromkeys(member.kind for member in recipe.members))
    return f"your own: {kinds}{f'; features: {recipe.feature_set}' if recipe.feature_set else ''}"
