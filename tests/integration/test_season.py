"""Rounds under failing APIs and wrong clocks are confirmed in time: the short form of tests/soak/season.py."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from bot.sandbox.world.generate import World
from tests.harness import clocks
from tests.harness.clocks import FAKETIME
from tests.harness.installation import LIMIT_S
from tests.harness.season import GOALS, failing, play, quiet

needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="faketime is not installed")


@pytest.fixture
def world(world_folder):
    quiet()
    return World.open(world_folder)


@pytest.mark.parametrize(
    ("share", "goal_s", "rounds"), [(*goal, rounds) for goal, rounds in zip(GOALS, (12, 8, 3), strict=True)]
)
def test_failing_requests_delay_a_round_by_minutes(world, trained, tmp_path, share, goal_s, rounds):
    """R5: with 30, 50 or 80 % of all requests failing, every round is confirmed minutes after it opened."""
    season = play(
        f"R5 {share:.0%}", world, trained / "artifacts", tmp_path / "season", rounds=rounds, plan=failing(share)
    )
    sys.stdout.write(f"{season}\n")

    assert season.breaches == []
    assert len(season.seconds) == rounds
    assert max(season.seconds) <= goal_s


def test_after_an_outage_the_round_is_confirmed_within_two_minutes(world, trained, tmp_path):
    """R5: after an outage of 45 minutes a round is confirmed soon; the outage has one alert and one recovery."""
    outage = timedelta(minutes=45)
    season = play("R5 outage", world, trained / "artifacts", tmp_path / "season", rounds=2, outage=outage)
    sys.stdout.write(f"{season}\n")

    assert season.breaches == []
    assert season.messages == 2 * 2
    assert max(season.seconds) - outage.total_seconds() <= 120


def test_a_season_of_three_slots_needs_no_operator(world, trained, tmp_path):
    """R24: at 20 % failing requests all slots of all rounds are confirmed."""
    season = play("R24", world, trained / "artifacts", tmp_path / "season", rounds=5, slots=3, plan=failing(0.2))
    sys.stdout.write(f"{season}\n")

    assert season.breaches == []
    assert len(season.seconds) == 15


@needs_faketime
def test_wrong_clocks_miss_no_round(world_folder, trained, tmp_path):
    """R7: with a clock three hours off, or stepped by an hour in an open round, in three time zones, all rounds are confirmed."""
    fake = tmp_path / "offset"
    fake.write_text("+0")
    environment = {
        **os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(fake), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }  # fmt: skip
    places = [str(one) for one in (world_folder, trained / "artifacts", tmp_path / "season", fake)]
    command = [sys.executable, "-W", "ignore", "-m", "tests.harness.season", *places]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    sys.stdout.write(result.stdout)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "12 of 12 confirmed" in result.stdout
    assert "0 breaches" in result.stdout


@needs_faketime
def test_a_daemon_continues_after_a_clock_step_and_after_ten_minutes_of_suspension(world_folder, trained, tmp_path):
    """R7: a real `bot run` looks again within twenty seconds, confirms the open round, and runs the job that is due."""
    cases = {"zones": ("Pacific/Kiritimati",), "cases": ("-2h step", "+30d step", "suspend"), "tick_s": 2.0}
    played = clocks.play(World.open(world_folder), trained / "artifacts", tmp_path / "clocks", **cases)
    sys.stdout.write(f"{played}\n")

    assert played.breaches == []
    assert len(played.seconds) == len(played.jobs) == 3
    assert max(played.seconds) <= 180
