"""
What the environment decides about connections: proxies and certificates, but never the key.

``requests`` reads these variables too. Here they are checked first, so that a wrong one is an error that names it.
"""

import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from bot.errors import BadConfig

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Variables that name trusted certificates, in the order in which the first one that is set counts."""

LONGEST_URL: Final = 16_000
"""Most characters of a URL. Presigned URLs with session tokens have about 2,000."""


class Unusable(ValueError):
    """A text is no address of a web server."""


def web_address(url: object) -> str:
    """
    Return *url*, an ``http`` or ``https`` URL with a host.

    Raises:
        Unusable: It is something else.
    """
    if not isinstance(url, str) or not 0 < len(url) <= LONGEST_URL or not url.isprintable() or " " in url:
        raise Unusable("it is no text of a sane length")
    try:
        parts = parse_url(url)
        urlsplit(url)  # which requests and the errors here read
    except (LocationParseError, ValueError):
        raise Unusable("it cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise Unusable("it does not begin with http:// or https:// and a host")
    return url


class NoAuth(requests.auth.AuthBase):
    """
    Add no authorization to a request.

    Without it, ``requests`` replaces the API key by an entry of ``~/.netrc``, and adds one to presigned URLs, which storage
    refuses.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return *request* as it is."""
        return request


def trusted_certificates() -> str | bool:
    """
    Return the path of the trusted certificates, ``True`` for those of ``requests``.

    Raises:
        BadConfig: The environment names a file that cannot be used.
    """
    for name in BUNDLES:
        path = os.environ.get(name)
        if path:
            problem = _problem(path, _changed_at(path))
            if problem:
                raise BadConfig(
                    f"{name} names {path}, which holds no usable certificates: {problem}; correct or unset it"
                )
            return path
    return True


def check_proxy(url: str) -> None:
    """
    Check the proxy that the environment names for *url*.

    Raises:
        BadConfig: It is no address of an HTTP proxy; the message names the variable, since the address may hold a password.
    """
    scheme = urlsplit(url).scheme
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return
    try:
        web_address(proxy if "://" in proxy else f"http://{proxy}")
    except Unusable as problem:
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
        name = next((one for one in names if os.environ.get(one) == proxy), f"{scheme.upper()}_PROXY")
        raise BadConfig(
            f"{name} is no address of an HTTP proxy: {problem}; set it to http://HOST:PORT or unset it"
        ) from None


def _changed_at(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=8)  # a bundle is read once, and again after it has changed
def _problem(path: str, changed_at: int) -> str:  # noqa: ARG001 - part of the key
    """Return why certificates cannot be used; empty where they can."""
    try:
        if Path(path).is_dir():
            os.listdir(path)  # noqa: PTH208 - only whether it can be read
        else:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return str(getattr(error, "strerror", None) or error)
    return ""
