"""What a usable API key is: the form of its halves, and its scopes."""

from bot.settings import ApiKey

LENGTHS = {"public": 32, "secret": 64}
"""Characters of the halves of Numerai's keys (2026)."""

NEEDED = frozenset({"upload_submission", "read_submission_info", "read_user_info", "download_submission"})
"""Scopes to upload, list what the server holds, find the slots, and read a submission back."""


def mixed_up(key: ApiKey) -> str:
    """Return how the halves of a key are confused, which their lengths tell; empty where they are not."""
    public, secret = (half.get_secret_value() if half else "" for half in (key.public_id, key.secret_key))
    if (len(public), len(secret)) == (LENGTHS["secret"], LENGTHS["public"]):
        return "the two halves of the key are swapped: the secret stands where the id belongs"
    if public == secret:
        return "the two halves of the key are the same text; one of them is the other's"
    return ""
