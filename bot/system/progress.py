"""Types of the functions that long work calls to report its progress."""

from collections.abc import Callable, Mapping

ProgressCallback = Callable[[str, float, str], None]
"""Called with the stage, the share of it that is done (0 to 1), and a note."""

CountCallback = Callable[[int, int], None]
"""Called with the bytes, rows, eras or trees that are done, and how many there are in all."""

RecordMetrics = Callable[[str, int, Mapping[str, float]], None]
"""Called with the name of a run, its step, and the metrics of that step."""
