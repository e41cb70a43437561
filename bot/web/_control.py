"""
Buttons of the page Now: pause, resume and retry, each a POST with the token of ``BOT_CONTROL_TOKEN`` in its body.

There is no cookie, so no request has a right by itself: a page of a stranger cannot give orders through a visitor's browser,
for it does not know the token. A request from another origin is refused before its token is compared.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from bot.errors import BadConfig

ORDERS = ("pause", "resume", "retry")
"""Names of the orders, the last part of their path."""

FIELDS = 8
"""Most fields of a form."""

Order = Callable[[str, Mapping[str, str]], Sequence[str]]
"""Carries out an order by its name and the fields of its form; returns what was done in lines, or raises a BotError."""


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """
    Return whether a request comes from the bot's own pages, or from a program, which sends no origin.

    Args:
        headers: Headers of the request under names in small letters.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    try:
        return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    except ValueError:
        return False


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """
    Return the fields of a form.

    Raises:
        BadConfig: It is no form of the pages.
    """
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise BadConfig("the order is no form (application/x-www-form-urlencoded)")
    try:
        return dict(
            parse_qsl(body.decode("ascii"), max_num_fields=FIELDS, strict_parsing=bool(body), keep_blank_values=True)
        )
    except ValueError:
        raise BadConfig("the order is no form of the pages") from None


def is_right(token: str, given: str) -> bool:
    """Return whether the *given* token is the right one, in a time that does not tell how much of it is."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
