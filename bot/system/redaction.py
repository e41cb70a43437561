"""
Hide secrets in everything that leaves the process.

The list of secrets belongs to the process: whatever is printed, logged, alerted or reported passes :func:`redact`.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import quote, quote_plus, unquote, urlsplit

STARS = "***"
MIN_SECRET = 4
"""Characters of the shortest secret that is hidden; the stars for a shorter one would spoil every line."""

MIN_PART = 6
"""Characters of the shortest part of a secret URL that is also hidden alone; a scheme or a port is no secret."""

MIN_TOKEN = 16
"""Characters from which a user without a password, or a value of a query, is taken for a token."""

_SEPARATORS = re.compile(r"[/:@?&=#\s,]+")
_SIGNED = re.compile(r"((?:X-Amz-Signature|X-Amz-Credential|signature|token)=)[^&\s\"']+", re.IGNORECASE)
# Numerai's header is `Authorization: Token PUBLIC$SECRET`; an answer may repeat it, also of a key that was replaced since.
_HEADER = re.compile(
    r"(authorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:(?:token|bearer|basic)\s+)?)[^\s\"',;}\\]+", re.IGNORECASE
)
_KEY_PAIR = re.compile(r"(\btoken\s+)[^\s\"',;}]*(?:\$|%24)[^\s\"',;}]+", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)\S*(?=@)")
_QUERY_VALUES = re.compile(r"(?<==)[^&\s]+")
_MARKS = ("signature=", "credential=", "token", "authorization")
"""Text in lower case without which none of these patterns matches; a search for it takes a tenth of their time."""


class _Hidden:
    """The secrets of this process, and one pattern that finds each in all its spellings."""

    def __init__(self) -> None:
        self.secrets: frozenset[str] = frozenset()
        self.pattern: re.Pattern[str] | None = None
        self.spellings: frozenset[str] = frozenset()

    def add(self, secrets: Iterable[str]) -> None:
        added = self.secrets | {secret for secret in secrets if len(secret) >= MIN_SECRET}
        if added == self.secrets:
            return
        spelled = {spelling for secret in added for part in _parts(secret) for spelling in _spellings(part)}
        # The longest first, so that a secret is replaced as a whole where it contains another one.
        ordered = sorted(spelled, key=len, reverse=True)
        self.secrets, self.pattern = added, re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE)
        self.spellings = frozenset(one.lower() for one in spelled)


_hidden = _Hidden()


def hide(secrets: Iterable[str]) -> None:
    """Add values to the secrets of this process."""
    _hidden.add(secrets)


def redact(text: str) -> str:
    """Return *text* with stars in place of secrets, signatures of presigned URLs, and authorization headers."""
    lower = text.lower()
    if _hidden.pattern is not None and any(spelling in lower for spelling in _hidden.spellings):
        text = _hidden.pattern.sub(STARS, text)
    if any(mark in lower for mark in _MARKS):
        for pattern in (_SIGNED, _HEADER, _KEY_PAIR):
            text = pattern.sub(rf"\1{STARS}", text)
    return text


def credentials_of(url: str) -> set[str]:
    """
    Return the secret parts of a storage's URL: its password, and tokens in place of a user or in its query.

    Host, path and a user's name are no secrets: stars in place of them would spoil every text about files.
    """
    found = {one for one in _QUERY_VALUES.findall(url.partition("?")[2]) if len(one) >= MIN_TOKEN}
    for user_info in _USER_INFO.findall(url):
        _, separator, password = user_info.partition(":")
        if separator or len(user_info) >= MIN_TOKEN:
            found |= {user_info, password}
    return {spelling for one in found for spelling in (one, unquote(one)) if spelling}


def without_credentials(url: str) -> str:
    """Return a storage's URL without user, password and query."""
    return _USER_INFO.sub(STARS, url).partition("?")[0]


def forget() -> None:
    """Remove all secrets of this process, for tests that share one, and for the sandbox, whose key is public."""
    _hidden.__init__()  # type: ignore[misc]


def _parts(secret: str) -> set[str]:
    """Return *secret* and, if it is a URL, its parts, since libraries log these one by one."""
    if "://" not in secret:
        return {secret}
    parts = {part for part in _SEPARATORS.split(secret) if len(part) >= MIN_PART}
    host = urlsplit(secret).hostname or ""
    if "." in host:  # the name of a public host is no secret
        parts -= {host}
    return {secret, *parts}


def _spellings(secret: str) -> Iterator[str]:
    """Yield the forms in which a server, a library or a page may repeat a secret."""
    yield secret
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret), escape(secret))
    yield json.dumps(secret)[1:-1]
    yield json.dumps(json.dumps(secret)[1:-1])[1:-1]  # JSON in a text field of JSON
    if len(secret) < MIN_PART:
        return
    raw = secret.encode()
    yield raw.hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # Base64 of a text that holds the secret: without the characters that its neighbours take part in.
            encoded = encode(b"\0" * before + raw).rstrip(b"=").decode()
            yield encoded[(8 * before + 5) // 6 : (before + len(raw)) * 8 // 6]
