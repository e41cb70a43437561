"""The first day of a bot, and the same work in the way of notebooks, in small worlds."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from bot.sandbox.world.generate import generate

BENCH = Path(__file__).parents[2] / "bench"
STEPS = [
    "starter trained", "starter confirmed", "history complete", "own recipe judged", "own recipe promoted", "report",
]  # fmt: skip


def run(script, folder, *arguments):
    figures = folder / "figures.json"
    words = [sys.executable, BENCH / script, *map(str, arguments), "--json", figures]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=900)

    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(figures.read_text())


@pytest.mark.slow
def test_the_first_day_ends_with_a_champion_of_the_slots_own_recipe(tmp_path):
    """An empty state directory has a confirmed round, then the whole history, then a champion and its report, in this order."""
    rows = run("first_day.py", tmp_path, "--scale", 0.01, "--mb-per-s", 0, "--limit-s", 800)["steps"]

    assert [one["step"] for one in rows] == STEPS
    assert all(one["wall_s"] <= other["wall_s"] for one, other in pairwise(rows))
    assert all(one["peak_mib"] > 0 for one in rows if one["cpu_s"] > 0)
    assert rows[STEPS.index("starter confirmed")]["disk"] < rows[STEPS.index("history complete")]["disk"]


def test_the_notebook_way_is_calculated_from_measured_rates(tmp_path):
    """Every step takes time, and the time and memory of all eras follow from the rows of the world."""
    generate(tmp_path / "world", size="tiny")
    found = run("first_day_notebook.py", tmp_path, "--world", tmp_path / "world", "--every", 10)

    assert found["measured"] < found["rows"]
    assert all(seconds > 0 for seconds in found["steps"].values())
    assert found["bytes"]["LightGBM's copy as float32"] > 2 * found["bytes"]["frame"]
