"""`bot run`: rounds that open one after another, restarts, and a retrain beside them."""

import shutil
import signal
import subprocess
from contextlib import contextmanager
from datetime import timedelta

import pytest

from bot.sandbox import Sandbox, SandboxClock, Schedule
from bot.sandbox.world import World
from tests.integration.conftest import FIRST_ROUND, OPENED, Installation

ROUND_S = 60
RATE = 5.0
"""Sandbox seconds per real second: a round a minute passes in twelve seconds."""


@pytest.fixture
def season(world_folder, trained, tmp_path):
    """A tournament that opens a round every minute of its own clock, and a bot with a champion."""
    schedule = Schedule.every(
        timedelta(seconds=ROUND_S),
        window=timedelta(seconds=ROUND_S - 1),
        first_round=FIRST_ROUND,
        first_open=OPENED,
    )
    shutil.copytree(trained / "artifacts", tmp_path / "state" / "artifacts")
    with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED, rate=RATE), schedule=schedule) as sandbox:
        yield Installation(sandbox=sandbox, root=tmp_path, settings={"BOT_TICK_S": "0.3", "BOT_RETRAIN": "off"})


@contextmanager
def running(installation, **settings):
    with (installation.root / "log").open("a") as log:
        process = subprocess.Popen(
            installation.command("run"),
            env={**installation.environment, **settings},
            cwd=installation.root,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def confirmed_rounds(sandbox):
    return [one.round for one in sandbox.tournament.submissions if one.accepted]


def until(sandbox, rounds, timeout_s=90):
    """Wait until the sandbox holds submissions of so many rounds."""
    return sandbox.tournament.wait_for(lambda: len(set(confirmed_rounds(sandbox))) >= rounds, timeout_s=timeout_s)


@pytest.mark.slow
def test_rounds_in_a_row_with_a_restart_have_one_submission_each(season):
    """Each round gets exactly one submission, also across a kill and a restart in the middle."""
    with running(season) as first:
        assert until(season.sandbox, 2), (season.root / "log").read_text()
        first.send_signal(signal.SIGKILL)
    with running(season):
        assert until(season.sandbox, 4), (season.root / "log").read_text()
    rounds = confirmed_rounds(season.sandbox)

    assert rounds == sorted(set(rounds))
    assert rounds == list(range(rounds[0], rounds[0] + len(rounds)))


def test_second_instance_is_turned_away(season):
    """A second bot on the same state directory exits 75 and names the first."""
    with running(season) as first:
        assert until(season.sandbox, 1), (season.root / "log").read_text()
        second = season.bot("run")

    assert second.returncode == 75
    assert str(first.pid) in second.stderr


def test_stops_at_once_when_told_to(season):
    """SIGTERM ends the loop with exit code 0 within ten seconds."""
    with running(season) as process:
        assert until(season.sandbox, 1), (season.root / "log").read_text()
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0


@pytest.mark.slow
def test_first_retrain_makes_the_first_submission_possible(season):
    """A bot that starts with nothing retrains, promotes and submits, all by itself."""
    shutil.rmtree(season.state / "artifacts")
    season.sandbox.clock.set_rate(0.0)
    with running(season, BOT_RETRAIN="weekly"):
        assert until(season.sandbox, 1, timeout_s=150), (season.root / "log").read_text()
    champions = list((season.state / "artifacts" / "champions").glob("demo.json"))

    assert len(champions) == 1
