"""A flood of the daemon's port: the short form of tests/soak/flood.py."""

import sys

from tests.harness import flood


def test_a_flood_of_the_port_disturbs_neither_others_nor_the_loop(world_folder, tmp_path):
    """Under every attack a normal request is answered in time, the loop goes on looking, and descriptors stay free."""
    flooded = flood.play(world_folder, tmp_path, count=150)
    sys.stdout.write(f"{flooded}\n")

    assert flooded.breaches == []
