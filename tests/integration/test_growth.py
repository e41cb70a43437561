"""A daemon's memory over rounds: the short form of tests/soak/growth.py."""

import sys

from tests.harness import growth


def test_rounds_add_no_memory_to_the_daemon(world_folder, tmp_path):
    """R18: after the first rounds and one alert, further rounds hardly add memory."""
    grown = growth.play(world_folder, tmp_path, rounds=14, settled_in=9, look_every=14)
    sys.stdout.write(f"{grown}\n")

    assert grown.alerts == 2
    assert grown.grown <= growth.GOAL_MIB
    assert max(grown.mib.values()) <= growth.IDLE_MIB
