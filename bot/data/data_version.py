"""The default data version, and the order of data versions."""

import re

DEFAULT = "v5.3"

_VERSION = re.compile(r"^v(\d+)\.(\d+)$")


def order(version: str) -> tuple[int, int]:
    """Return what data versions are sorted by; what is no version comes before all of them."""
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
