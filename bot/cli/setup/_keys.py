"""The API keys in `bot init`: asked for without being shown, tested with Numerai, written to files of their owner alone."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import typer
from pydantic import SecretStr

from bot.cli.setup._questions import ask
from bot.doctor.examination import open_quick_client
from bot.doctor.keys import NEEDED, mixed_up
from bot.errors import BadConfig, BadCredentials, BotError, NumeraiUnavailable
from bot.settings import ApiKey, Settings
from bot.system import redaction
from bot.system.configuration.secret_files import OWN_FOLDER, is_key
from bot.system.configuration.setting_sources import KEY_NAMES, file_settings, variables
from bot.system.files import publish
from bot.tournament.client import NumeraiClient
from bot.tournament.retries import one_try

_NO_KEY = (
    f"there is no API key yet; put its halves into {OWN_FOLDER}/NUMERAI_PUBLIC_ID and {OWN_FOLDER}/NUMERAI_SECRET_KEY"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenKey:
    """
    A key of the answers.

    Attributes:
        key: The key; ``None`` where there is none yet.
        is_new: Whether it has to be written to its files.
        models: Names of the account's models; ``None`` where Numerai could not be asked.
    """

    key: ApiKey | None
    is_new: bool
    models: tuple[str, ...] | None

    @property
    def public_id(self) -> str:
        """Return the public half; empty where there is no key."""
        return self.key.public_id.get_secret_value() if self.key is not None and self.key.public_id is not None else ""


def ask_key(settings: Settings, unchecked: list[str]) -> GivenKey:
    """
    Return the key that is set, or the one that a person types, tested with Numerai where it answers.

    Args:
        settings: Settings of the environment, with the API's address and maybe a key.
        unchecked: Gets a line for everything that could not be tested.
    """
    present = ApiKey(public_id=settings.numerai_public_id, secret_key=settings.numerai_secret_key)
    if present.public_id is not None and present.secret_key is not None:
        try:
            models = _models(settings, present, unchecked)
        except BotError as error:
            typer.echo(f"  The key that is set is not usable: {error}")
        else:
            tested = "it could not be tested" if models is None else "it is right"
            typer.echo(f"The API key that is set is used; {tested}.")
            # One that stands in the file that is replaced moves to files of its own.
            moves = any(half in file_settings() and half.upper() not in variables() for half in KEY_NAMES)
            return GivenKey(key=present, is_new=moves, models=models)
    typer.echo(f"API key, from numer.ai/account, with the scopes {', '.join(sorted(NEEDED))}.")
    typer.echo("It is not shown while you paste it. Press return for later.")
    given = ask_new_key(settings, unchecked)
    if given.key is None:
        unchecked.append(_NO_KEY)
    return given


def set_key(settings: Settings, unchecked: list[str]) -> GivenKey:
    """
    Return the key that is set, tested with Numerai where it answers; nothing is asked.

    Args:
        settings: Settings of the environment, with the API's address and maybe a key.
        unchecked: Gets a line where there is no key, where it is not usable, and where it could not be tested.
    """
    key = ApiKey(public_id=settings.numerai_public_id, secret_key=settings.numerai_secret_key)
    if key.public_id is None or key.secret_key is None:
        unchecked.append(_NO_KEY)
        return GivenKey(key=None, is_new=False, models=None)
    try:
        models = _models(settings, key, unchecked)
    except BotError as error:
        unchecked.append(f"the API key that is set is not usable: {error}")
        models = None
    return GivenKey(key=key, is_new=False, models=models)


def ask_new_key(settings: Settings, unchecked: list[str], known: Mapping[str, str] = MappingProxyType({})) -> GivenKey:
    """
    Return the key that a person types, tested with Numerai where it answers; without a key where the answer is empty.

    Args:
        settings: Settings of the environment, with the API's address.
        unchecked: Gets a line for everything that could not be tested.
        known: Accounts by the public id of their keys, which are refused.
    """

    def new_half(answer: str) -> str:
        if answer in known:
            raise BadConfig(f"this is the key of account {known[answer]}; another account has its own")
        return _half(answer)

    while True:
        public = ask("Public id", new_half, default="", hidden=True)
        if not public:
            return GivenKey(key=None, is_new=False, models=None)
        secret = ask("Secret key", _required(_half), default="", hidden=True)
        key = ApiKey(public_id=SecretStr(public), secret_key=SecretStr(secret))
        redaction.hide((public, secret))
        try:
            models = _models(settings, key, unchecked)
            typer.echo("  The key could not be tested." if models is None else "  The key is right.")
            return GivenKey(key=key, is_new=True, models=models)
        except BotError as error:
            typer.echo(f"  {about_typed(error)}; enter both halves again")


def write_key(given: GivenKey, public_id: str, secret_key: str) -> None:
    """Write both halves of a key to files of these names in ``secrets``."""
    key = given.key
    if key is not None and key.public_id is not None and key.secret_key is not None:
        write_secret(public_id, key.public_id.get_secret_value())
        write_secret(secret_key, key.secret_key.get_secret_value())


def write_secret(name: str, value: str) -> None:
    """Write a secret to its file in ``secrets``, which the owner alone may read."""
    before = os.umask(0o077)
    try:
        publish(OWN_FOLDER / name, f"{value}\n".encode())
    finally:
        os.umask(before)


def _models(settings: Settings, key: ApiKey, unchecked: list[str]) -> tuple[str, ...] | None:
    """
    Test a key and return the names of the account's models; ``None`` where Numerai does not answer.

    Raises:
        BadCredentials: Numerai refuses the key, or it lacks a scope.
    """
    if problem := mixed_up(key):
        raise BadCredentials(problem)
    client = _client(settings, key)
    try:
        with one_try():
            absent = sorted(NEEDED - client.scopes())
            models = () if absent else tuple(sorted(client.slots()))
    except NumeraiUnavailable as error:
        unchecked.append(f"the API key, its scopes and the models, because Numerai did not answer: {error}")
        return None
    if absent:
        raise BadCredentials(f"the key lacks the scopes {', '.join(absent)}; create another on numer.ai/account")
    return models


def about_typed(error: BotError) -> str:
    """Return a refusal of a key that was typed: without the variables to check, which hold none."""
    refusal, _, variables_to_check = str(error).partition("; check NUMERAI_PUBLIC_ID ")
    return refusal.replace("the API key", "the API key that was typed") if variables_to_check else refusal


def _client(settings: Settings, key: ApiKey) -> NumeraiClient:
    chosen = settings.model_copy(update={"numerai_public_id": key.public_id, "numerai_secret_key": key.secret_key})
    return open_quick_client(chosen)


def _half(answer: str) -> str:
    if not is_key(answer):
        raise BadConfig("a half of a key is one line of letters and digits, without spaces")
    return answer


def _required(check: Callable[[str], str]) -> Callable[[str], str]:
    def given(answer: str) -> str:
        if not answer:
            raise BadConfig("the key has two halves; the secret one was shown once, when the key was made")
        return check(answer)

    return given
