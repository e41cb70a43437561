"""All checks of `bot doctor`: first what a person wrote, then this machine, then Numerai."""

from collections.abc import Iterator

from bot import assembly
from bot.doctor import _local, _numerai, _setup
from bot.doctor.checks import Check, failure, note, ok
from bot.errors import BadConfig, BotError
from bot.settings import Settings, UnusableSettings, load_settings
from bot.system.configuration.setting_places import place
from bot.system.configuration.setting_sources import CONFIG_FILE
from bot.tournament.client import NumeraiClient
from bot.tournament.retries import one_try
from bot.tournament.transport import Transport

PATIENCE_S = 3.0
"""Seconds to wait for each of Numerai's answers; an operator waits for the result."""


def examine() -> Iterator[Check]:
    """Yield the result of every check as it is done; ends early only where the settings cannot be read."""
    try:
        settings = load_settings()
    except UnusableSettings as error:
        for problem in error.problems:
            yield failure("settings", BadConfig(f"{problem.place}: {problem.reason}"), problem.place.correction)
        return
    except BadConfig as error:
        in_file = str(CONFIG_FILE) in str(error)
        yield failure("settings", error, f"edit {CONFIG_FILE.absolute()}" if in_file else "correct or unset it")
        return
    yield ok("settings", f"mode {settings.mode}, {settings.data_version} {settings.feature_set}, {settings.target}")
    if settings.mode == "dry-run":
        yield note("mode", "dry-run: nothing is uploaded", f"set {place('mode')} to live when you want it to be")
    yield from _examine(settings)


def _examine(settings: Settings) -> Iterator[Check]:
    keys = list(_setup.keys(settings))
    yield from keys
    yield from _setup.recipes(settings)
    sound = _setup.sound_recipes(settings)
    yield from _setup.alerts(settings)
    yield from _setup.hooks(settings)
    addresses = list(_setup.address(settings))
    yield from addresses
    yield from _setup.device(settings)
    yield from _setup.port(settings, _local.holder_of(settings.state_dir / "bot.lock"))
    yield from _setup.feature_sets(settings, sound)
    with one_try():
        answer = None if addresses else _numerai.connect(settings, open_quick_client)
        sizes = None if isinstance(answer, BotError) else answer
        locked_out = frozenset(check.name for check in keys if check.verdict == "failure")
        broken = frozenset(_setup.without_features(settings, sound))
        yield from _local.examine(settings, sound, broken, sizes, is_locked_out=bool(locked_out))
        yield from _numerai.storage(settings, call_s=PATIENCE_S)
        if answer is not None:
            yield from _numerai.examine(settings, answer, open_quick_client, sound, locked_out)


def open_quick_client(settings: Settings) -> NumeraiClient:
    """Return a client that waits :data:`PATIENCE_S` for an answer, for commands at which a person waits."""
    transport = Transport(connect_s=PATIENCE_S, read_s=PATIENCE_S, exchange_s=PATIENCE_S)
    return assembly.open_client(settings, transport)
