"""Names from outside, such as those of models and recipes, as names of files and on a terminal."""

import hashlib
import re

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
"""Names of devices, which Windows accepts for no file, with or without an ending."""

_SAFE = re.compile(r"[^\x00-\x1f\x7f/\\.~][^\x00-\x1f\x7f/\\]{0,99}")
READABLE = 32
"""Number of characters of a name that is not plain which stay readable in its file name."""


def file_name(name: str) -> str:
    """
    Return the name of the file or folder that belongs to *name*.

    A plain name (small letters, digits, ``_`` and ``-``, at most 64) stays as it is. Of any other name the readable part
    is followed by ``~`` and a digest, so that two names never share a file, also where a file system ignores case, and no
    name leaves its folder.
    """
    if _PLAIN.fullmatch(name) and not _DEVICES.fullmatch(name):
        return name
    readable = re.sub(r"[^a-z0-9_-]+", "-", name.lower())[:READABLE].lstrip("-")
    return f"{readable}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def is_file_name(name: str) -> bool:
    """Return whether *name* can be the name of a file without an ending as it is: it stays in its folder and is not hidden."""
    return bool(_SAFE.fullmatch(name)) and len(name.encode("utf-8", "surrogatepass")) <= 200


def shown(name: str) -> str:
    """Return *name* on one line, with escapes in place of control and other invisible characters, at most 80 characters."""
    visible = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in name)
    return visible if len(visible) <= 80 else f"{visible[:77]}..."
