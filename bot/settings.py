"""Settings from the environment, ``bot.toml`` and secret files, checked once at the start."""

import json
import logging
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot.errors import BadConfig, suggestion, suggestion_or_all
from bot.packing import public_keys
from bot.system import redaction
from bot.system.configuration.secret_files import is_key, read_key, secret_from_file
from bot.system.configuration.setting_places import Place, place
from bot.system.configuration.setting_sources import CONFIG_FILE, SECRETS, read_settings
from bot.tournament.columns import DEFAULT_DATA_VERSION, MAIN_TARGET, horizon, version_order
from bot.training import recipe_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """The two halves of an API key; a half that is not set is ``None``."""

    public_id: SecretStr | None
    secret_key: SecretStr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """
    Files that hold an API key.

    Attributes:
        setting: Name of the setting that names the files, for messages.
        public_id: File of the public half.
        secret_key: File of the secret half.
    """

    setting: str
    public_id: Path
    secret_key: Path

    def read(self) -> ApiKey:
        """
        Return the key as the files hold it now.

        Raises:
            BadConfig: A file cannot be read.
        """
        return ApiKey(
            public_id=SecretStr(read_key(self.public_id, self.setting)),
            secret_key=SecretStr(read_key(self.secret_key, self.setting)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    An account whose models are filled.

    Attributes:
        name: Name of its table in ``bot.toml``; ``None`` for the only account.
        key: The API key, or its files: a key that was replaced in them needs no restart.
        slots: Recipe of each model, by the model's name; empty means the account's only model.
    """

    name: str | None
    key: ApiKey | KeyFiles
    slots: Mapping[str, str]

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options that make a command work for this account."""
        return () if self.name is None else ("--account", self.name)


class _AccountTable(BaseModel):
    """The table ``[accounts.NAME]`` of ``bot.toml``: the files of an account's key, and its slots."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_id_file: Path
    secret_key_file: Path
    slots: dict[str, str]

    def account(self, name: str) -> Account:
        """Return the account of this table."""
        files = KeyFiles(setting=f"accounts.{name}", public_id=self.public_id_file, secret_key=self.secret_key_file)
        return Account(name=name, key=files, slots=self.slots)


class _Source(PydanticBaseSettingsSource):
    """A source that reads all its settings at once."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the value of one field, as the base class requires."""
        return self().get(field_name), field_name, False


class _SecretFiles(_Source):
    """Secrets from ``<NAME>_FILE`` and the secret folder."""

    def __call__(self) -> dict[str, Any]:
        found = {name.lower().removeprefix("bot_"): secret_from_file(name) for name in SECRETS}
        return {name: SecretStr(secret) for name, secret in found.items() if secret is not None}


class _VariablesAndFile(_Source):
    """
    The environment and ``bot.toml``, by :func:`bot.system.configuration.setting_sources.read_settings`.

    The library's own sources differ from the rules of `bot status` and `bot health`, which must start without it.
    """

    def __call__(self) -> dict[str, Any]:
        return read_settings()


class Settings(BaseSettings):
    """All settings of the bot. Each is ``BOT_<NAME>`` in the environment or ``<name>`` in ``bot.toml``."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    numerai_public_id: SecretStr | None = Field(
        default=None,
        description="Public half of the API key; it needs the scopes upload_submission, download_submission, read_submission_info and"
        " read_user_info.",
    )
    numerai_secret_key: SecretStr | None = Field(
        default=None,
        description="Secret half of the API key.",
    )
    mode: Literal["dry-run", "live"] = Field(
        default="dry-run", description="`live` uploads; `dry-run` does everything else. Each mode has its own ledger."
    )
    api_url: str = Field(default="https://api-tournament.numer.ai", description="Base URL of the tournament API.")
    state_dir: Path = Field(default=Path("state"), description="Everything the bot writes.")
    data_version: str = Field(
        default=DEFAULT_DATA_VERSION,
        description="Data version of a recipe's first champion; afterwards rounds are scored with the champion's version.",
    )
    feature_set: str = Field(
        default="medium",
        description="Feature set of `features.json`; every artifact keeps the one it was trained with.",
    )
    target: str = Field(default=MAIN_TARGET, description="Main target by its full name; the alias `target` is refused.")
    slots: dict[str, str] = Field(
        default_factory=dict,
        description="Model name to recipe, `name=recipe,name=recipe`; empty means the account's only model.",
    )
    recipe: str = Field(default="standard", description="Recipe of the account's only model when `slots` is empty.")
    accounts: tuple[Account, ...] = Field(
        default=(),
        description="Several accounts, instead of one key: tables `[accounts.NAME]` with `public_id_file`,"
        " `secret_key_file` and `slots`.",
    )
    retrain: str = Field(
        default="weekly",
        description="When `bot run` retrains: `weekly`, `daily`, `off`, or an interval as `90s`, `6h`.",
    )
    sync: str = Field(
        default="daily",
        description="When `bot run` syncs data and history between retrains: `weekly`, `daily`, `off`, or an interval.",
    )
    backup: str = Field(
        default="daily",
        description="When `bot run` backs up the ledger and deletes files of old rounds: as `BOT_SYNC`.",
    )
    scores: str = Field(default="daily", description="When `bot run` reads live scores: as `BOT_SYNC`.")
    diagnostics: Literal["on", "off"] = Field(
        default="on",
        description="Whether `bot run`, in live mode, compares each champion's scores with Numerai's diagnostics.",
    )
    compare: str = Field(
        default="",
        description="Public models to show beside yours, such as Numerai's benchmarks: names, separated by spaces.",
    )
    tick_s: float = Field(default=20.0, gt=0, le=20, description="Seconds between two checks of the open round.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Device that trains the network.")
    tracker: Literal["off", "tensorboard", "mlflow"] = Field(
        default="off",
        description="Record training curves with this tool, which must be installed; files are in `tracking/`.",
    )
    threads: int = Field(default=1, ge=1, description="Threads that score a round.")
    max_exposure: float = Field(
        default=0.45, gt=0, le=1, description="Gate: largest absolute correlation of the submission with a feature."
    )
    min_rows: int = Field(default=50, ge=1, description="Gate: fewest rows of a live file.")
    min_benchmark_corr: float = Field(
        default=0.0,
        ge=-1,
        le=1,
        description="Warn below this rank correlation of a submission with Numerai's benchmark model of its target.",
    )
    min_drift: float = Field(
        default=0.0,
        ge=-1,
        lt=1,
        description="Gate: least rank correlation with the artifact of the last submission, where it was another one.",
    )
    warn_feature_drift: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Warn above this share of live features that differ from every training era.",
    )
    max_feature_drift: float = Field(
        default=0.5, gt=0, le=1, description="Gate: largest share of live features that differ from every training era."
    )
    late_policy: Literal["skip", "queue"] = Field(
        default="skip",
        description="After the close: `skip` uploads nothing; `queue` lets Numerai keep a late file for the next round.",
    )
    fallback: str = Field(
        default="", description="Recipe that fills a slot when no champion of the slot's recipe can score."
    )
    starter: bool = Field(
        default=True,
        description="Whether `bot retrain` trains the small recipe `starter` first while a slot has no champion, so that"
        " rounds are filled within minutes.",
    )
    reuse_last_round: bool = Field(
        default=False,
        description="When nothing can score, send the last round's predictions, assigned to the new ids in file order.",
    )
    alert_urls: SecretStr | None = Field(
        default=None, description="Destinations of alerts: apprise URLs, separated by spaces."
    )
    ping_url: SecretStr | None = Field(
        default=None, description="URL to ping after every confirmed round, as healthchecks.io expects."
    )
    on_confirmed: str = Field(
        default="",
        description="Command that `bot run` starts after a confirmed round, by its absolute path; it gets JSON on standard"
        " input, and no key.",
    )
    on_missed: str = Field(default="", description="Command after a missed round: as `BOT_ON_CONFIRMED`.")
    on_promoted: str = Field(default="", description="Command after a new champion: as `BOT_ON_CONFIRMED`.")
    http_host: str = Field(default="127.0.0.1", description="Address of the daemon's pages.")
    http_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the daemon's pages, `/healthz` and `/metrics`; without it there are none.",
    )
    http_hosts: str = Field(
        default="",
        description="Names by which a proxy or another machine asks for the pages, separated by spaces; requests for other"
        " names are refused.",
    )
    webhook_token: SecretStr | None = Field(
        default=None,
        description="At least 16 letters, digits, `-` or `_`; a POST to `/hook/<token>` starts the next check at once and passes on Numerai's trigger id.",
    )
    control_token: SecretStr | None = Field(
        default=None,
        description="At least 16 letters, digits, `-` or `_`; with it the page Now has buttons to pause, resume and retry, which ask for it.",
    )
    artifacts_url: SecretStr | None = Field(
        default=None,
        description="Folder where machines exchange packs: any fsspec URL, such as `s3://`, `sftp://`, `gs://` or a path.",
    )
    trusted_keys: str = Field(
        default="",
        description="Public keys whose packs are taken, separated by spaces; `bot pack --new-key` prints one.",
    )
    signing_key: Path | None = Field(
        default=None,
        description="Private key that signs packs; by default `signing.key` in the state directory. With it, `bot retrain` publishes to `BOT_ARTIFACTS_URL`.",
    )
    unpack: str = Field(
        default="1h",
        description="When `bot run` looks for new packs at `BOT_ARTIFACTS_URL`, if `BOT_TRUSTED_KEYS` is set: as `BOT_SYNC`.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` writes JSON unless standard error is a terminal."
    )
    log_level: Literal["info", "debug"] = Field(
        default="info", description="`debug` also logs messages of libraries; secrets and signed URLs stay hidden."
    )

    @field_validator("slots", mode="before")
    @classmethod
    def _parse_slots(cls, value: Any) -> Any:  # noqa: ANN401 - outside data, checked here
        if not isinstance(value, str):
            return value
        slots = {}
        for part in filter(None, (piece.strip() for piece in value.split(","))):
            name, separator, recipe = (piece.strip() for piece in part.partition("="))
            if not name or not separator or not recipe:
                raise ValueError("must read name=recipe,name=recipe")
            slots[name] = recipe
        return slots

    @field_validator("accounts", mode="before")
    @classmethod
    def _read_accounts(cls, value: Any) -> Any:  # noqa: ANN401 - outside data, checked here
        if value == ():  # the default
            return value
        if isinstance(value, str):  # a variable
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise ValueError(f"must be a JSON object of accounts, or tables of {CONFIG_FILE}") from None
        try:
            tables = TypeAdapter(dict[str, _AccountTable]).validate_python(value)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {_in_words(first)}") from None
        for table in tables.values():
            cls._know_recipes(table.slots)
        return tuple(table.account(name) for name, table in tables.items())

    @field_validator("numerai_public_id", "numerai_secret_key")
    @classmethod
    def _check_key(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse a half that no header can carry, such as one with a line end in its middle."""
        if value is not None and not is_key(value.get_secret_value()):
            raise ValueError("holds a character that a key has not; it is one line of letters and digits")
        return value

    @field_validator("slots")
    @classmethod
    def _know_recipes(cls, value: dict[str, str]) -> dict[str, str]:
        for recipe in value.values():
            cls._know_recipe(recipe)
        return value

    @field_validator("recipe", "fallback")
    @classmethod
    def _know_recipe(cls, value: str) -> str:
        if value and value not in (known := recipe_file.names()):
            raise ValueError(
                f"unknown recipe {value!r}{suggestion(value, known)}; known recipes: {', '.join(known)}, or make"
                f" {recipe_file.FOLDER}/{value}.toml"
            )
        return value

    @field_validator("data_version")
    @classmethod
    def _name_the_version(cls, value: str) -> str:
        if version_order(value) == (0, 0):
            raise ValueError(f"{value!r} is no data version; write one such as {DEFAULT_DATA_VERSION}")
        return value

    @field_validator("target")
    @classmethod
    def _name_the_target(cls, value: str) -> str:
        horizon(value)
        return value

    @field_validator("http_hosts")
    @classmethod
    def _check_hosts(cls, value: str) -> str:
        for name in value.split():
            if not re.fullmatch(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]", name):
                raise ValueError(f"{name!r} is no host name; write names or addresses without scheme and port")
        return value

    @field_validator("webhook_token", "control_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None) -> SecretStr | None:
        # Anybody who reaches the pages may guess at it.
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{16,200}", value.get_secret_value()):
            raise ValueError(
                "must be 16 to 200 letters, digits, - or _; make one with"
                " `python3 -c 'import secrets; print(secrets.token_urlsafe())'`"
            )
        return value

    @field_validator("on_confirmed", "on_missed", "on_promoted")
    @classmethod
    def _check_hook(cls, value: str) -> str:
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"is no command: {str(error).lower()}") from None
        # A name would be looked for in folders that the bot does not choose, such as the working folder.
        if words and not Path(words[0]).is_absolute():
            raise ValueError(f"must begin with an absolute path, not {words[0]!r}")
        return value

    @field_validator("trusted_keys")
    @classmethod
    def _check_public_keys(cls, value: str) -> str:
        for text in value.split():
            public_keys.from_text(text)
        return value

    @field_validator("retrain", "sync", "backup", "scores", "unpack")
    @classmethod
    def _parse_schedule(cls, value: str) -> str:
        interval_s(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - part of the library's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - part of the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - part of the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then secret files, then the environment and ``bot.toml``."""
        return init_settings, _SecretFiles(settings_cls), _VariablesAndFile(settings_cls)

    def of_account(self, name: str | None) -> "Settings":
        """
        Return the settings with one of several accounts alone, its key and its slots; unchanged for ``None``, the only account.

        Raises:
            BadConfig: There is no such account, or its key cannot be read.
        """
        if name is None:
            return self
        account = next((one for one in self.accounts if one.name == name), None)
        if account is None:
            known = ", ".join(str(one.name) for one in self.accounts)
            raise BadConfig(f"account {name!r} is unknown; accounts: {known or 'none'}")
        key = account.key.read() if isinstance(account.key, KeyFiles) else account.key
        chosen = self.model_copy(
            update={
                "numerai_public_id": key.public_id,
                "numerai_secret_key": key.secret_key,
                "slots": dict(account.slots),
                "accounts": (account,),
            }
        )
        redaction.hide(chosen.secrets)
        return chosen

    @property
    def accounts_in_use(self) -> tuple[Account, ...]:
        """Return the accounts to submit for: those of ``bot.toml``, or else the only one."""
        key = ApiKey(public_id=self.numerai_public_id, secret_key=self.numerai_secret_key)
        return self.accounts or (Account(name=None, key=key, slots=self.slots),)

    @property
    def slot_names(self) -> frozenset[str]:
        """Return the names of the slots of all accounts; empty where the models of an account's key are its slots."""
        named = [account.slots for account in self.accounts_in_use]
        return frozenset(name for slots in named for name in slots) if all(named) else frozenset()

    @property
    def ledger_path(self) -> Path:
        """Return the ledger of this mode, so that a dry run never counts as a submission."""
        name = "ledger.sqlite" if self.mode == "live" else "ledger-dry-run.sqlite"
        return self.state_dir / name

    @property
    def signing_key_path(self) -> Path:
        """Return the file of the private key that signs packs, which may be missing."""
        return self.signing_key or self.state_dir / "signing.key"

    @property
    def public_keys(self) -> frozenset[bytes]:
        """Return the public keys whose packs are taken."""
        return frozenset(map(public_keys.from_text, self.trusted_keys.split()))

    @property
    def logging(self) -> dict[str, Any]:
        """Return the arguments of :func:`bot.system.logs.configure`."""
        level = logging.DEBUG if self.log_level == "debug" else logging.INFO
        return {"log_format": self.log_format, "secrets": self.secrets, "level": level}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the values that must never be printed or logged."""
        keys = (
            self.numerai_public_id,
            self.numerai_secret_key,
            self.alert_urls,
            self.ping_url,
            self.webhook_token,
            self.control_token,
        )
        values = (key.get_secret_value() for key in keys if key is not None)
        storage = self.artifacts_url.get_secret_value() if self.artifacts_url else ""
        return (*(part for value in values for part in value.split()), *redaction.credentials_of(storage))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """
    A value that the settings refuse.

    Attributes:
        place: Where a person set it.
        reason: What is wrong, without the value of a secret.
    """

    place: Place
    reason: str


class UnusableSettings(BadConfig):
    """
    Values of settings are refused; the message names the place of each, never the value of a secret.

    Attributes:
        problems: Every refused value.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"settings are not usable: {'; '.join(f'{one.place}: {one.reason}' for one in problems)}")
        self.problems = problems


def load_settings(**overrides: object) -> Settings:
    """
    Read the settings from *overrides*, the environment, secret files and ``bot.toml``, in this order of precedence.

    Raises:
        BadConfig: A file cannot be read, or a name is unknown.
        UnusableSettings: Values are malformed.
    """
    chosen: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    try:
        settings = Settings(**chosen)
    except ValidationError as error:
        problems = (
            Problem(place=place(str(item["loc"][0] if item["loc"] else "settings")), reason=_reason(item))
            for item in error.errors()
        )
        raise UnusableSettings(tuple(problems)) from None
    redaction.hide(settings.secrets)
    return settings


def interval_s(text: str) -> float | None:
    """
    Return the seconds of an interval as operators write it, or ``None`` for ``off``.

    Raises:
        ValueError: *text* is neither ``weekly``, ``daily``, ``off`` nor a number with ``s``, ``m``, ``h`` or ``d``.
    """
    named = {"weekly": 7 * 86400.0, "daily": 86400.0, "off": None}
    if text in named:
        return named[text]
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    if unit is None or not text[:-1].isdigit() or int(text[:-1]) == 0:
        raise ValueError("must be weekly, daily, off, or an interval such as 90s, 30m, 6h, 2d")
    return float(int(text[:-1]) * unit)


_LIMITS = {
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "greater than"),
}
"""Key of the limit, and words, by the kind of pydantic's error about a number that is out of range."""

_WANTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text in quotes",
    "dict": "a table",
    "path": "a path",
}
"""What a value of a wrong type must be, by the beginning of the kind of pydantic's error."""


def _reason(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails is a TypedDict without our keys
    if item["type"] != "literal_error":
        return ": ".join((*map(str, item["loc"][1:]), _in_words(item)))
    # A setting of a few values is no secret; a value pasted into it by mistake is compared, and not repeated.
    allowed = get_args(Settings.model_fields[item["loc"][0]].annotation)
    near = suggestion_or_all(str(item["input"]).lower(), allowed)
    return f"must be {' or '.join(allowed)}{near if 'mean' in near else ''}"


def _in_words(item: Any) -> str:  # noqa: ANN401 - as above
    """Return what is wrong with a value; pydantic's message where it is a rare one."""
    kind = str(item["type"])
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"must be {words} {item['ctx'][key]:g}"
    wanted = _WANTED.get(kind.partition("_")[0]) if kind.endswith(("_type", "_parsing", "_from_float")) else None
    return f"must be {wanted}" if wanted else str(item["msg"]).removeprefix("Value error, ")


def reference() -> str:
    """Return the settings as a Markdown table, in the order they are declared."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = name.upper() if name.startswith("numerai_") else f"BOT_{name.upper()}"
        default = field.get_default(call_default_factory=True)
        shown = "-" if default in (None, {}, ()) else f"`{default}`"
        if variable in SECRETS:
            variable = f"{variable}`, `{variable}_FILE"
        rows.append(f"| `{variable}` | {shown} | {field.description} |")
    return "\n".join(rows)
