"""Schedules as operators write them."""


def interval_s(text: str) -> float | None:
    """
    Read a schedule; return seconds, or ``None`` for ``off``.

    Raises:
        ValueError: *text* is neither ``weekly``, ``daily``, ``off`` nor a number with ``s``, ``m``, ``h`` or ``d``.
    """
    named = {"weekly": 7 * 86400.0, "daily": 86400.0, "off": None}
    if text in named:
        return named[text]
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    if unit is None or not text[:-1].isdigit() or int(text[:-1]) == 0:
        raise ValueError("must be weekly, daily, off, or an interval such as 90s, 30m, 6h, 2d")
    return float(int(text[:-1]) * unit)
