"""`bot init`: ask for the key, models, recipes and alerts, check each answer at once, and write ``bot.toml``."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import typer

from bot.assembly import unfilled
from bot.cli.answer import Answer
from bot.cli.setup._accounts import NamedAccount, ask_accounts, ask_slots, slot_lines
from bot.cli.setup._keys import ask_key, set_key, write_key, write_secret
from bot.cli.setup._questions import ask, choose, confirm
from bot.doctor.examination import open_quick_client
from bot.errors import BadConfig, suggestion_or_all
from bot.features.feature_sets import SIZES, known_sets
from bot.members.registry import GIB
from bot.settings import Settings, load_settings
from bot.system.configuration.secret_files import OWN_FOLDER, secret_path
from bot.system.configuration.setting_sources import CONFIG_FILE, file_settings, variables
from bot.system.files import publish
from bot.tournament.retries import one_try
from bot.training import recipe_file
from bot.training.training_memory import FEATURES, available_memory

HEAD = f"""# Settings of the bot, written by `bot init`; docs/reference/settings.md describes every one. API keys and addresses of alerts
# are not here: they are in files of {OWN_FOLDER}/, or in variables of the environment.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """
    The answers as settings.

    Attributes:
        slots: Recipe of each model of the only account; empty for its only model.
        recipe: Recipe of that model.
        feature_set: The feature set.
        live: Whether to upload.
        accounts: Several accounts, in place of one with *slots*.
    """

    slots: Mapping[str, str]
    recipe: str
    feature_set: str
    live: bool
    accounts: tuple[NamedAccount, ...] = ()

    def to_toml(self) -> str:
        """Return the content of ``bot.toml``."""
        lines = [f'mode = "{"live" if self.live else "dry-run"}"', f"feature_set = {json.dumps(self.feature_set)}"]
        if not self.slots:
            lines.append(f"recipe = {json.dumps(self.recipe)}")
        elif not self.accounts:
            lines += ["", "[slots]", *slot_lines(self.slots)]
        lines += [line for account in self.accounts for line in account.to_toml()]
        return "\n".join([HEAD, *lines]) + "\n"


def write_settings(*, slots: str | None, feature_set: str | None, live: bool | None, force: bool) -> Answer:
    """
    Write ``bot.toml`` and ask for the answers that are ``None``; where there is one, also for keys and alerts.

    Nothing is written before the last answer. A file that sets nothing is replaced without *force*.

    Raises:
        BadConfig: The file exists and *force* is false, or the settings refuse an answer.
    """
    if not force and CONFIG_FILE.exists() and file_settings():
        raise BadConfig(f"{CONFIG_FILE.absolute()} is there already; edit it, or use --force to replace it")
    unchecked: list[str] = []
    environment = _environment()
    asks = slots is None or feature_set is None or live is None
    alerts = ""
    given = ask_key(environment, unchecked) if asks else set_key(environment, unchecked)
    chosen = ask_slots(given.models, unchecked) if slots is None else _parsed(slots, given.models, unchecked)
    accounts = ask_accounts(environment, given, chosen, unchecked) if slots is None and given.key is not None else ()
    only = chosen.pop("", "standard")
    wanted_set = _ask_feature_set() if feature_set is None else _known_set(feature_set)
    if asks:
        alerts = _ask_alerts()
    uploads = confirm("Upload for real?") if live is None else live
    answers = Answers(slots=chosen, recipe=only, feature_set=wanted_set, live=uploads, accounts=accounts)
    _write(answers.to_toml())
    for account in accounts:
        write_key(account.given, *account.files)
    if given.is_new and not accounts:
        write_key(given, "NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY")
    if alerts:
        write_secret("BOT_ALERT_URLS", alerts)
    return _finish(answers, unchecked, secrets=given.is_new or bool(accounts or alerts))


def _environment() -> Settings:
    """Return the settings as they are without the new file; a file that is not usable is about to be replaced."""
    try:
        return load_settings()
    except BadConfig:
        address = variables().get("BOT_API_URL", Settings.model_fields["api_url"].default)
        return Settings.model_construct(api_url=address)


def _parsed(slots: str, models: tuple[str, ...] | None, unchecked: list[str]) -> dict[str, str]:
    """Return the slots of an option ``name=recipe,name=recipe``; *models* are the account's, ``None`` where not known."""
    pairs = [piece.strip().partition("=") for piece in slots.split(",") if piece.strip()]
    if any(not name.strip() or not recipe.strip() for name, _, recipe in pairs):
        raise BadConfig(f"--slots {slots!r} must read name=recipe,name=recipe")
    chosen = {name.strip(): recipe.strip() for name, _, recipe in pairs}
    for recipe in chosen.values():
        try:
            recipe_file.find(recipe)
        except BadConfig as error:
            raise BadConfig(f"--slots: {error}") from None
    if models is not None:
        for name in chosen:
            if name not in models:
                raise BadConfig(f"{name} is not a model of this account{suggestion_or_all(name, models)}")
    elif chosen:
        unchecked.append(f"whether the account has {', '.join(chosen)}")
    return chosen


def _known_set(name: str) -> str:
    if name not in known_sets():
        raise BadConfig(f"feature set {name!r} is unknown{suggestion_or_all(name, known_sets())}")
    return name


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
        if not refused or confirm(f"  Address {', '.join(map(str, refused))} did not take the test message. Keep it?"):
            return addresses


def _addresses(answer: str) -> str:
    from apprise import Apprise  # noqa: PLC0415 - a fifth of a second that only this question needs

    for place, address in enumerate(answer.split(), start=1):
        if Apprise.instantiate(address) is None:
            raise BadConfig(
                f"address {place} is no apprise URL, such as mailto://NAME:PASSWORD@gmail.com; spaces separate addresses"
            )
    return answer


def _sent(address: str) -> bool:
    """Send a test message to an address; return whether its service took it."""
    from apprise import Apprise  # noqa: PLC0415

    service = Apprise.instantiate(address)
    return service is not None and bool(service.notify(title="numerai-bot: test", body="Alerts arrive here."))


def _finish(answers: Answers, unchecked: list[str], *, secrets: bool) -> Answer:
    """Return what was written, what could not be checked, the plan of the first day and the next command."""
    mode = "live" if answers.live else 'dry run, nothing is uploaded until mode = "live" stands in it'
    lines = [f"{CONFIG_FILE.absolute()} is written: {mode}."]
    if secrets:
        lines.append(
            f"{OWN_FOLDER.absolute()} holds the secrets; only you can read it. It must not be shared or committed."
        )
    names = {"BOT_MODE", "BOT_FEATURE_SET", "BOT_SLOTS", "BOT_RECIPE", "BOT_ACCOUNTS"}
    overruled = sorted(names & variables().keys())
    lines += [f"{name} is set in the environment and takes precedence over the file." for name in overruled]
    lines += [f"not checked: {one}" for one in unchecked]
    settings, free = load_settings(), shutil.disk_usage(".").free
    lines.append(
        f"The first day here, with {available_memory() / GIB:.1f} GiB of memory and {free / GIB:.0f} GiB of disk free:"
    )
    plans = _plans(settings, answers=not unchecked)
    if plans is None:
        lines.append(
            "  this machine does not train: install numerai-bot[train], or bring an artifact with `bot unpack FILE`"
        )
        lines.append("Next: bot doctor")
    else:
        lines += [f"  {plan}" for plan in plans]
        if settings.starter and unfilled(settings):
            lines.append(
                "  before it, the small recipe `starter` is trained within minutes and fills rounds until then"
            )
        lines.append(
            "Next: bot retrain   (then `bot submit` for the open round, or `bot run` for all; `bot doctor` checks the set-up)"
        )
    content = {
        "file": CONFIG_FILE.absolute(),
        "secrets": OWN_FOLDER.absolute() if secrets else None,
        "mode": settings.mode,
        "feature_set": settings.feature_set,
        "recipe": settings.recipe,
        "slots": dict(settings.slots),
        "accounts": {str(one.name): dict(one.slots) for one in settings.accounts},
        "overruled_by": overruled,
        "not_checked": unchecked,
        "plans": plans,
        "next": "bot doctor" if plans is None else "bot retrain",
    }
    return Answer(lines=tuple(lines), content=content)


def _plans(settings: Settings, *, answers: bool) -> list[str] | None:
    """
    Return what the first retrain of each recipe takes on this machine; ``None`` where it cannot train.

    Args:
        settings: The settings of the new file.
        answers: Whether Numerai answered so far, and can be asked for the sizes of its files.
    """
    try:
        from bot.cli.models.plan import retrain_lines  # noqa: PLC0415 - a machine that only submits lacks its libraries
    except ModuleNotFoundError:
        return None
    typer.echo("planning the first day: sizes, and times of this machine", err=True)
    if not answers:
        return list(retrain_lines(settings, None))
    with one_try():
        return list(retrain_lines(settings, open_quick_client(settings)))


def _write(content: str) -> None:
    """Replace the file, and put the old one back where the settings refuse the new one."""
    before = CONFIG_FILE.read_bytes() if CONFIG_FILE.exists() else None
    publish(CONFIG_FILE, content.encode())
    try:
        load_settings()
    except BadConfig:
        CONFIG_FILE.unlink() if before is None else publish(CONFIG_FILE, before)
        raise
