"""Public keys as a person writes them in BOT_TRUSTED_KEYS; no library is loaded."""

import base64
import binascii

BYTES = 32
"""Length of an ed25519 public key (RFC 8032, 5.1.5)."""


def to_text(key: bytes) -> str:
    """Return a public key as text: 44 characters of base64."""
    return base64.b64encode(key).decode()


def from_text(text: str) -> bytes:
    """
    Return the public key that *text* holds.

    Raises:
        ValueError: It is no public key.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != BYTES or to_text(key) != text:
        raise ValueError("must be public keys of `bot pack --new-key`, 44 characters each, separated by spaces")
    return key
