"""What the tournament looks at when a submission comes in."""

import hashlib
import io
import secrets
from collections.abc import Sequence


def ids_sha256(content: bytes) -> str:
    """Return a digest of the set of ids in a submission, as it was sent."""
    ids = [line.partition(",")[0] for line in content.decode("utf-8", errors="replace").splitlines()[1:]]
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def validate(content: bytes, live_ids: Sequence[str]) -> str | None:
    """Return what Numerai's own validation says against a file, or ``None`` if it accepts it."""
    import pandas as pd  # noqa: PLC0415 - loads scikit-learn too, so only a server that judges pays for it
    from numerai_tools.submissions import validate_submission_numerai  # noqa: PLC0415

    try:
        validate_submission_numerai(pd.Series(live_ids, name="id"), pd.read_csv(io.BytesIO(content)))
    except (AssertionError, ValueError, TypeError, KeyError) as error:
        return str(error) or type(error).__name__
    return None


def stored_name(filename: str) -> str:
    """Return the name the server gives an upload: its stem, 12 random characters, its ending."""
    stem, dot, ending = filename.rpartition(".")
    suffix = secrets.token_urlsafe(12).replace("_", "x").replace("-", "y")[:12]
    return f"{stem}-{suffix}.{ending}" if dot else f"{filename}-{suffix}"
