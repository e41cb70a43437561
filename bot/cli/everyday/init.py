"""`bot init`: ask for the key, models, recipes and alerts, check each answer at once, and write ``bot.toml``."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import typer

from bot.cli.everyday._first_key import FirstKey, ask_key, write_secret
from bot.cli.everyday._questions import ask, choose, several
from bot.errors import BadConfig
from bot.features.feature_sets import SIZES, known_sets
from bot.members.registry import GIB
from bot.settings import Settings, load_settings
from bot.system.configuration.secret_files import OWN_FOLDER, secret_path
from bot.system.configuration.setting_sources import CONFIG_FILE, file_settings, variables
from bot.system.files import publish
from bot.training import recipe_file
from bot.training.training_memory import FEATURES, available_memory

HEAD = f"""# Settings of the bot, written by `bot init`; docs/reference/settings.md describes every one. The API key and addresses of alerts
# are in {OWN_FOLDER}/, not here.
"""

_MODEL = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """
    The answers as settings.

    Attributes:
        slots: Recipe of each model; empty for the account's only model.
        recipe: Recipe of that model.
        feature_set: The feature set.
        live: Whether to upload.
    """

    slots: Mapping[str, str]
    recipe: str
    feature_set: str
    live: bool

    def to_toml(self) -> str:
        """Return the content of ``bot.toml``."""
        lines = [f'mode = "{"live" if self.live else "dry-run"}"', f"feature_set = {json.dumps(self.feature_set)}"]
        if self.slots:
            pairs = (f"{json.dumps(name)} = {json.dumps(recipe)}" for name, recipe in self.slots.items())
            return "\n".join([HEAD, *lines, "", "[slots]", *pairs]) + "\n"
        return "\n".join([HEAD, *lines, f"recipe = {json.dumps(self.recipe)}"]) + "\n"


def write_settings(*, slots: str | None, feature_set: str | None, live: bool | None, force: bool) -> None:
    """
    Write ``bot.toml`` and ask for the answers that are ``None``; where there is one, also for the key and alerts.

    Nothing is written before the last answer. A file that sets nothing is replaced without *force*.

    Raises:
        BadConfig: The file exists and *force* is false, or the settings refuse an answer.
    """
    if not force and CONFIG_FILE.exists() and file_settings():
        raise BadConfig(f"{CONFIG_FILE.absolute()} is there already; edit it, or use --force to replace it")
    unchecked: list[str] = []
    key, alerts = FirstKey(key=None, is_new=False, models=None), ""
    asks = slots is None or feature_set is None or live is None
    if asks:
        key = ask_key(_environment(), unchecked)
    chosen = _ask_slots(key.models, unchecked) if slots is None else _parsed(slots)
    only = chosen.pop("", "standard")
    wanted_set = _ask_feature_set() if feature_set is None else feature_set
    if asks:
        alerts = _ask_alerts()
    uploads = typer.confirm("Upload for real?", default=False) if live is None else live
    answers = Answers(slots=chosen, recipe=only, feature_set=wanted_set, live=uploads)
    _write(answers.to_toml())
    if key.is_new and key.key is not None and key.key.public_id and key.key.secret_key:
        write_secret("NUMERAI_PUBLIC_ID", key.key.public_id.get_secret_value())
        write_secret("NUMERAI_SECRET_KEY", key.key.secret_key.get_secret_value())
    if alerts:
        write_secret("BOT_ALERT_URLS", alerts)
    _show(answers, unchecked, secrets=key.is_new or bool(alerts))


def _environment() -> Settings:
    """Return the settings as they are without the new file; a file that is not usable is about to be replaced."""
    try:
        return load_settings()
    except BadConfig:
        address = variables().get("BOT_API_URL", Settings.model_fields["api_url"].default)
        return Settings.model_construct(api_url=address)


def _parsed(slots: str) -> dict[str, str]:
    """Return the slots of an option ``name=recipe,name=recipe``."""
    pairs = [piece.strip().partition("=") for piece in slots.split(",") if piece.strip()]
    if any(not name.strip() or not recipe.strip() for name, _, recipe in pairs):
        raise BadConfig(f"models {slots!r} must read name=recipe,name=recipe")
    return {name.strip(): recipe.strip() for name, _, recipe in pairs}


def _ask_slots(models: tuple[str, ...] | None, unchecked: list[str]) -> dict[str, str]:
    """
    Return the recipe of each model to fill; the empty name stands for the account's only model.

    Args:
        models: Models of the account; ``None`` where Numerai could not be asked.
        unchecked: Gets a line where the models are only typed.
    """
    if models:
        listed = choose("Models of the account:", [(name, "") for name in models])
        names = ask("Models to fill, numbers or names", several(listed), default="1")
    else:
        names = ask("Models to fill, by name (return: the account's only model)", several(_model_name), default="")
        if names and models is None:
            unchecked.append(f"whether the account has {', '.join(names)}")
    known = [(name, _description(name)) for name in recipe_file.names()]
    check = choose("Recipes:", known)
    return {
        name: ask(
            f"Recipe of {name or 'the model'}", lambda answer: recipe_file.find(check(answer)).name, default="standard"
        )
        for name in names or ("",)
    }


def _model_name(answer: str) -> str:
    if not _MODEL.fullmatch(answer):
        raise BadConfig(f"{answer!r} is no name of a model; names have letters, digits, - and _")
    return answer


def _description(name: str) -> str:
    """Return kinds of members and the feature set of a recipe, or why its file cannot be read."""
    try:
        recipe = recipe_file.find(name)
    except BadConfig as error:
        return f"not usable: {error}"
    kinds = ", ".join(dict.fromkeys(member.kind for member in recipe.members))
    return f"{kinds}{f'; features: {recipe.feature_set}' if recipe.feature_set else ''}"


def _ask_feature_set() -> str:
    check = choose("Feature sets, by number of features (more take more memory, disk and time):", [
        (name, f"{FEATURES[name]:,} features") for name in SIZES
    ])  # fmt: skip

    def known(answer: str) -> str:
        return answer if answer in known_sets() else check(answer)

    return ask("Feature set", known, default="medium")


def _ask_alerts() -> str:
    """Return the addresses of alerts, each with a test message; empty for none."""
    if secret_path("BOT_ALERT_URLS") is not None or "BOT_ALERT_URLS" in variables():
        typer.echo("The addresses of alerts that are set are used.")
        return ""
    typer.echo(
        "Alerts: one address or more, as https://github.com/caronc/apprise describes them, such as tgram://TOKEN/CHAT."
    )
    typer.echo("They are not shown while you paste them. Press return for none.")
    while True:
        addresses = ask("Addresses of alerts", _addresses, default="", hidden=True)
        refused = [place for place, address in enumerate(addresses.split(), start=1) if not _sent(address)]
        if addresses and not refused:
            typer.echo("  The test message was sent.")
        if not refused or typer.confirm(
            f"  Address {', '.join(map(str, refused))} did not take the test message. Keep it?", default=False
        ):
            return addresses


def _addresses(answer: str) -> str:
    from apprise import Apprise  # noqa: PLC0415 - a fifth of a second that only this question needs

    for place, address in enumerate(answer.split(), start=1):
        if Apprise.instantiate(address) is None:
            raise BadConfig(f"address {place} is no apprise URL; addresses are separated by spaces")
    return answer


def _sent(address: str) -> bool:
    """Send a test message to an address; return whether its service took it."""
    from apprise import Apprise  # noqa: PLC0415

    service = Apprise.instantiate(address)
    return service is not None and bool(service.notify(title="numerai-bot: test", body="Alerts arrive here."))


def _show(answers: Answers, unchecked: list[str], *, secrets: bool) -> None:
    """Print what was written, what could not be checked, the plan of the first day and the next command."""
    mode = "live" if answers.live else "dry run, nothing is uploaded"
    typer.echo(f"{CONFIG_FILE.absolute()} is written: {mode}.")
    if secrets:
        typer.echo(
            f"{OWN_FOLDER.absolute()} holds the secrets; only you can read it. It must not be shared or committed."
        )
    for name in sorted({"BOT_MODE", "BOT_FEATURE_SET", "BOT_SLOTS", "BOT_RECIPE"} & variables().keys()):
        typer.echo(f"{name} is set in the environment and takes precedence over the file.")
    for one in unchecked:
        typer.echo(f"not checked: {one}")
    settings = load_settings()
    free = shutil.disk_usage(".").free
    typer.echo(
        f"The first day here, with {available_memory() / GIB:.1f} GiB of memory and {free / GIB:.0f} GiB of disk free:"
    )
    if not _show_retrains(settings):
        typer.echo("Next: bot doctor")
        return
    if settings.starter:
        typer.echo("  before it, the small recipe `starter` is trained within minutes and fills rounds until then")
    typer.echo(
        "Next: bot retrain   (then `bot submit` for the open round, or `bot run` for all; `bot doctor` checks the set-up)"
    )


def _show_retrains(settings: Settings) -> bool:
    """Print what the first retrain of each recipe takes on this machine; return whether it can train."""
    try:
        from bot.cli.models.plan import retrain_lines  # noqa: PLC0415 - a machine that only submits lacks its libraries
    except ModuleNotFoundError:
        typer.echo(
            "  this machine does not train: install numerai-bot[train], or bring an artifact with `bot unpack FILE`"
        )
        return False
    for line in retrain_lines(settings):
        typer.echo(f"  {line}")
    return True


def _write(content: str) -> None:
    """Replace the file, and put the old one back where the settings refuse the new one."""
    before = CONFIG_FILE.read_text(encoding="utf-8") if CONFIG_FILE.exists() else None
    publish(CONFIG_FILE, content.encode())
    try:
        load_settings()
    except BadConfig:
        CONFIG_FILE.unlink() if before is None else publish(CONFIG_FILE, before.encode())
        raise
