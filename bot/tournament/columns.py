"""Names and facts of Numerai's columns and data versions."""

import re

DEFAULT_DATA_VERSION = "v5.3"
"""Data version where neither a setting nor a champion names one."""

ID = "id"
ERA = "era"
DATA_TYPE = "data_type"
PREDICTION = "prediction"
FEATURE_PREFIX = "feature_"
ALIAS = "target"
"""Numerai's moving alias of one of the targets."""

LIVE_ERA = "X"
"""The era label of live rows."""

MAIN_TARGET = "target_ender_60"
"""Numerai's main target in v5.x, which CORR and MMC are paid on (2026)."""

HORIZONS = (20, 60)
"""Market days that targets look ahead."""

DAYS_PER_ERA = 5
"""Market days from one historical era to the next: eras are weekly, live rounds daily."""

SPANNED_ERAS = {days: days // DAYS_PER_ERA for days in HORIZONS}
"""Eras that the return of a target spans, by horizon: 4 and 12. Eras this far apart share no market day."""

HISTORY_LAG = {20: 6, 60: 14}
"""Eras between a row and the newest era whose realised target its history may use, by horizon in market days.

20D resolves after 20 + 2 + 2 market days (5 weekly eras), 60D after 64 (12.8); one era is added for safety.
"""

EMBARGO = {20: 8, 60: 16}
"""Eras dropped between training and validation, by horizon in market days (Numerai's own walk-forward)."""

_DATA_VERSION = re.compile(r"^v(\d+)\.(\d+)$")
_HORIZON = re.compile(rf"^target_[a-z0-9]+_({'|'.join(map(str, HORIZONS))})$")


def horizon(target: str) -> int:
    """
    Return the horizon of *target* in market days, 20 or 60, read from its name.

    Raises:
        ValueError: The name has no horizon, as the moving alias ``target`` has none.
    """
    match = _HORIZON.match(target)
    if match is None:
        raise ValueError(
            f"{target!r} has no horizon in its name; use a full name such as target_ender_60, never the alias 'target'"
        )
    return int(match.group(1))


def overlap_eras(target: str) -> int:
    """Return the number of eras after which *target* shares no market day with itself: 4 for 20 days, 12 for 60."""
    return SPANNED_ERAS[horizon(target)]


def is_target(name: str) -> bool:
    """Return whether a column is a target, or the alias of one."""
    return name == ALIAS or name.startswith(f"{ALIAS}_")


def era_label(value: object) -> str:
    """Return an era's label as Numerai's files have it since v4, ``0575``, whether a file holds ``575``, ``575.0`` or text."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    number = text.removesuffix(".0")
    return f"{int(number):04d}" if number.isascii() and number.isdigit() else text


def version_order(version: str) -> tuple[int, int]:
    """Return the key by which data versions sort: major and minor number, ``(0, 0)`` for any other name."""
    match = _DATA_VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
