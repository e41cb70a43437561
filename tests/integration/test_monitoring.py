"""The shipped Prometheus rules and dashboard in a real Prometheus beside a real bot; in full: tests.soak.monitoring."""

import shutil
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, Installation
from tests.harness.monitoring import LIMIT_S, PROMETHEUS, panels, prometheus
from tests.harness.process import running, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed; on Debian: apt-get install prometheus"),
]

ROUND = timedelta(minutes=30)


@pytest.fixture
def season(world_folder, trained, tmp_path):
    """A tournament whose first round opened just now, and a bot with a champion."""
    opened = datetime.now(UTC) - timedelta(seconds=1)
    schedule = Schedule.every(ROUND, window=ROUND - timedelta(seconds=1), first_round=FIRST_ROUND, first_open=opened)
    shutil.copytree(trained / "artifacts", tmp_path / "state" / "artifacts")
    with Sandbox(World.open(world_folder), clock=SandboxClock(rate=0), schedule=schedule) as sandbox:
        settings = {"BOT_TICK_S": "0.3", "BOT_HTTP_PORT": "0", "BOT_RETRAIN": "off", "BOT_SYNC": "off"}
        yield Installation(sandbox=sandbox, root=tmp_path, settings=settings)


@contextmanager
def watched(season, *, hasten=1.0):
    """Run the bot, and a Prometheus that has scraped it; alerts wait as long as their rules say, divided by *hasten*."""
    with running(season) as bot:
        started = until(lambda: bot.events("web.started"), LIMIT_S, "the pages are not served")
        with prometheus(season.root / "prometheus", started[0]["port"], hasten=hasten) as found:
            yield bot, found


def test_every_panel_shows_a_healthy_bot_and_no_alert_fires(season):
    """After a confirmed round every panel but that of problems has data, and every rule is evaluated without firing."""
    with watched(season) as (bot, found):
        bot.confirmed(season.sandbox.tournament.schedule, FIRST_ROUND, limit_s=LIMIT_S)
        until(lambda: found.empty_panels() == ["Problems"], LIMIT_S, "a panel has no data")

        until(lambda: set(found.rules().values()) == {"ok"}, LIMIT_S, "a rule is not evaluated")
        assert found.firing() == set()


def test_alerts_fire_for_a_missed_round_and_a_stopped_bot(season):
    """A round that no model can score fires its alert and shows as a problem; a bot that ends fires another."""
    shutil.move(season.state / "artifacts", season.root / "hidden")
    with watched(season, hasten=60.0) as (bot, found):
        until(lambda: bot.events("round.delayed"), LIMIT_S, "the round was not looked at")
        season.sandbox.clock.advance(ROUND)
        until(lambda: {"RoundNotConfirmed", "BotUnwell"} <= found.firing(), LIMIT_S, "no alert for the missed round")
        shown = found.query(*panels()["Problems"])
        bot.process.terminate()
        until(lambda: "BotDown" in found.firing(), LIMIT_S, "no alert for the stopped bot")

    assert "round" in [one["labels"]["name"] for one in shown]
