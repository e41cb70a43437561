"""Short measurements of this machine, for tests that are not about how right a plan is: tests/members/test_pace.py is."""

import math
from collections.abc import Callable

MEASURED_S = 0.05
TREE_ROWS = (1_000, 4_000)


def shorten_measurements(change: Callable[[object, str, object], None] = setattr) -> None:
    """
    Have the figures of a plan measured in a tenth of a second each, where they would take a second or two.

    They are kept, although other tests keep the machine busy.
    """
    from bot.members import pace
    from bot.training.planning import machine_times

    change(machine_times, "BUSY", math.inf)
    change(pace, "MEASURED_S", MEASURED_S)
    change(pace, "TREE_ROWS", TREE_ROWS)
