"""The private key that signs packs: made once, kept in a file that only its owner reads (ed25519, RFC 8032)."""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bot.errors import BadConfig
from bot.system.files import sync

LARGEST = 4096
"""Largest file that is read as a key, in bytes; a key takes 119."""

_FOR_OTHERS = stat.S_IWGRP | stat.S_IRWXO
"""Permissions that no file of a private key may have. A group may read it, as in secrets that Kubernetes mounts."""


def make_key(path: Path) -> bytes:
    """
    Write a new private key, which only its owner may read; return the public key.

    Raises:
        BadConfig: There is a file already.
        OSError: The file cannot be written; it is removed then.
    """
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The mode counts from the first byte on, and a link that lies there is not followed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadConfig(
            f"{path} exists already, and packs may be signed with it; move it away to make a new key"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    sync(path.parent)
    return public_bytes(key)


def read_key(path: Path) -> Ed25519PrivateKey:
    """
    Return the private key of a file.

    Raises:
        BadConfig: There is none, others may read or change it, or it is no ed25519 key.
    """
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(LARGEST + 1)
    except FileNotFoundError:
        raise BadConfig(f"there is no signing key {path}; make one with `bot pack --new-key`") from None
    except OSError as error:
        raise BadConfig(f"the signing key {path} cannot be read: {error.strerror}") from None
    if mode & _FOR_OTHERS:
        raise BadConfig(f"the signing key {path} has mode {stat.S_IMODE(mode):o}; others must not use it: chmod 600 it")
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadConfig(f"{path} holds no signing key; move it away and make one with `bot pack --new-key`")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the public half of a private key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
