"""Types of the functions that long work calls to report its progress, and parts of a stage."""

from collections.abc import Callable, Mapping

ProgressCallback = Callable[[str, float, str], None]
"""Called with the stage, the share of it that is done (0 to 1), and a note."""

CountCallback = Callable[[int, int], None]
"""Called with the bytes, rows, eras or trees that are done, and how many there are in all."""

RecordMetrics = Callable[[str, int, Mapping[str, float]], None]
"""Called with the name of a run, its step, and the metrics of that step."""


def part(report_progress: ProgressCallback, stage: str, begin: float = 0.0, end: float = 1.0) -> ProgressCallback:
    """
    Return a callback for one part of a stage; its reports become reports of that stage.

    Args:
        report_progress: Receives them.
        stage: Name of the stage.
        begin: Share of the stage that is done when the part begins.
        end: Share that is done when it ends.
    """
    return lambda _stage, share, note: report_progress(stage, begin + (end - begin) * share, note)
