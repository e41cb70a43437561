"""All checks of `bot doctor`, in the order in which they are printed."""

from collections.abc import Iterator

import stamina

from bot import assembly
from bot.doctor import _local, _numerai
from bot.doctor.checks import Check, failure, note, ok
from bot.errors import BadConfig, BadCredentials
from bot.settings import Settings, load_settings
from bot.tournament.client import NumeraiClient
from bot.tournament.transport import Transport

PATIENCE_S = 3.0
"""Seconds to wait for each of Numerai's answers; an operator waits for the result."""


def examine() -> Iterator[Check]:
    """Yield the result of every check as it is done; ends early only where the settings cannot be read."""
    try:
        settings = load_settings()
    except BadConfig as error:
        yield failure("settings", error, "fix it; the README lists every setting")
        return
    yield ok("settings", f"mode {settings.mode}, {settings.data_version} {settings.feature_set}, {settings.target}")
    if settings.mode == "dry-run":
        yield note("mode", "dry-run: nothing is uploaded", "set BOT_MODE=live when you want it to be")
    yield from _local.examine(settings)
    stamina.set_active(False)  # one try each, so that the result is there within seconds
    try:
        yield from _numerai.examine(settings, _open_client)
    except BadCredentials as error:
        yield failure("key", error, "set both halves of the key")
    finally:
        stamina.set_active(True)


def _open_client(settings: Settings) -> NumeraiClient:
    transport = Transport(connect_s=PATIENCE_S, read_s=PATIENCE_S, exchange_s=PATIENCE_S)
    return assembly.open_client(settings, transport)
