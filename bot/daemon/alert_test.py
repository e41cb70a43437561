"""Send a test message to every address of ``BOT_ALERT_URLS`` and find out which take it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import CRITICAL
from typing import Any

from bot.daemon._post import post
from bot.errors import BadConfig, BotError

TITLE = "a test message"
BODY = "`bot alert test` sent this. Nothing is wrong: alerts of the bot reach you here."


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """
    How an address took the message.

    Attributes:
        place: Number of the address in ``BOT_ALERT_URLS``, from 1: the address itself is a secret.
        ok: Whether its service took the message.
        error: Why not; ``None`` where it did.
    """

    place: int
    ok: bool
    error: BotError | None = None


def send_test(
    urls: Sequence[str], *, logging: Mapping[str, Any], post: Callable[[Mapping[str, Any]], None] = post
) -> tuple[Taken, ...]:
    """
    Send the message to each address, one after another; each has half a minute.

    Args:
        urls: The addresses.
        logging: Arguments of :func:`bot.system.logs.configure` but for the secrets.
        post: Carries out an order to send; replaced in tests.

    Raises:
        BadConfig: There is no address.
    """
    if not urls:
        raise BadConfig("BOT_ALERT_URLS is not set, so no alert reaches anybody; set it to apprise URLs")
    return tuple(_sent(place, url, logging, post) for place, url in enumerate(dict.fromkeys(urls), start=1))


def _sent(place: int, url: str, logging: Mapping[str, Any], post: Callable[[Mapping[str, Any]], None]) -> Taken:
    order = {"do": "message", "url": url, "title": TITLE, "body": BODY, "kind": "recovery"}
    try:
        # The answer holds the reason; a line of the log would say it twice.
        post({**order, "logging": {**logging, "secrets": (url,), "level": CRITICAL}})
    except BotError as error:
        return Taken(place=place, ok=False, error=error)
    return Taken(place=place, ok=True)
