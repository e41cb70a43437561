"""
The shipped Prometheus rules and dashboard, in a real Prometheus beside a bot that plays a season with troubles.

It needs Prometheus (on Debian: apt-get install prometheus). Alerts wait a sixtieth of what their rules say. The last table
shows what every panel of the dashboard holds, and when every alert began and ended; the exit status is 1 if one did not.
DiagnosticsDiffer needs scores that Numerai corrects, and is left to promtool (tests/alerts.yaml).
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, Installation
from tests.harness.monitoring import Prometheus, panels, prometheus
from tests.harness.process import Running, running, until
from tests.soak.stage import trained

ROUND = timedelta(hours=12)
AGE = ROUND * 13
"""Age of the first round, more than the four days of NothingConfirmedForLong; the last round of ``healthy`` is today's."""

HASTEN, LIMIT_S = 60.0, 240.0
CLOSED = "json://127.0.0.1:9/"
"""Address of an alert service that is down."""


@dataclass(kw_only=True)
class Season:
    """A bot, its tournament and its Prometheus, and what was seen."""

    installation: Installation
    schedule: Schedule
    bot: Running
    watch: Prometheus
    began: float = field(default_factory=time.monotonic)
    failed: int = 0

    def to_round(self, place: int) -> int:
        """Move the clock into a round; return its number."""
        self.installation.sandbox.clock.set(self.schedule.first_open + ROUND * place + timedelta(minutes=1))
        return FIRST_ROUND + place

    def play(self, place: int) -> None:
        """Let the bot confirm a round, and Prometheus see it."""
        number, asked = (
            self.to_round(place),
            'numerai_bot_stage_seconds{stage="deliver"} and on() numerai_bot_round_number',
        )
        self.bot.confirmed(self.schedule, number, limit_s=LIMIT_S)
        until(lambda: self.watch.query(f"{asked} == {number}"), LIMIT_S, f"round {number} is not in Prometheus")
        self.say(f"round {number} confirmed", sorted(self.watch.firing()) or "no alert")

    def expect(self, what: str, look: Callable[[], object]) -> None:
        """Wait for something and print when it was seen."""
        try:
            until(look, LIMIT_S, what)
            self.say(what, "seen")
        except TimeoutError:
            self.failed += 1
            self.say(what, f"NOT SEEN in {LIMIT_S:g} s; firing: {sorted(self.watch.firing())}")

    def fires(self, *names: str) -> None:
        for name in names:
            self.expect(f"{name} fires", lambda name=name: name in self.watch.firing())

    def ends(self, *names: str) -> None:
        for name in names:
            self.expect(f"{name} ends", lambda name=name: name not in self.watch.firing())

    def say(self, what: str, found: object) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {what:<42} {found}", flush=True)


def healthy(season: Season) -> None:
    """A round of six days ago fires one alert; the first of today ends it, and every panel has data."""
    season.play(0)
    season.fires("NothingConfirmedForLong")
    for place in range(10, 14):
        season.play(place)
    season.ends("NothingConfirmedForLong")
    season.expect("every panel but Problems has data", lambda: season.watch.empty_panels() == ["Problems"])
    for title, asked in panels().items():
        found = [one for expression in asked for one in season.watch.query(expression)]
        labels = [
            next((v for k, v in one["labels"].items() if k in ("state", "stage", "gate", "chore")), "") for one in found
        ]
        values = ", ".join(f"{label} {one['value']:.6g}".strip() for label, one in zip(labels, found, strict=True))
        season.say(f"panel {title}", values or "nothing")
    season.expect("no alert fires", lambda: not season.watch.firing())


def drifted(season: Season) -> None:
    """A round whose live features are partly constant is sent, with an alert; the next one ends it."""
    faults = season.installation.sandbox.faults
    faults.add(
        Fault(operation="rounds", kind="schema_change", message="some_missing", seconds=ROUND.total_seconds() / 2)
    )
    season.play(14)
    season.fires("FeaturesDrifted")


def missed(season: Season) -> None:
    """Without a model, with a backup that fails and an alert service that is down, a round is missed; then all is fixed."""
    state, hidden = season.installation.state, season.installation.root / "hidden"
    shutil.move(state / "artifacts", hidden)
    shutil.rmtree(state / "backups", ignore_errors=True)
    (state / "backups").write_text("in the way")
    season.to_round(15)
    season.expect("the round cannot be scored", lambda: season.bot.events("round.delayed"))
    season.to_round(16)
    season.fires("RoundNotConfirmed", "BotUnwell", "MessagesWait", "ChoreFails")
    season.expect("panel Problems has data", lambda: season.watch.query(*panels()["Problems"]))
    shutil.move(hidden, state / "artifacts")
    (state / "backups").unlink()
    season.play(17)
    season.ends("RoundNotConfirmed", "BotUnwell", "ChoreFails", "FeaturesDrifted")


def stopped(season: Season) -> None:
    """A bot that ends is down."""
    season.bot.process.terminate()
    season.fires("BotDown")


@contextmanager
def played(world: World, artifacts: Path, root: Path) -> Iterator[Season]:
    """Run a bot beside a tournament whose first round opened six days ago, and a Prometheus that watches it."""
    first = datetime.now(UTC) - AGE
    schedule = Schedule.every(ROUND, window=ROUND - timedelta(seconds=1), first_round=FIRST_ROUND, first_open=first)
    shutil.copytree(artifacts, root / "state" / "artifacts")
    quiet = {"BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_SCORES": "off", "BOT_DIAGNOSTICS": "off"}
    settings = {**quiet, "BOT_BACKUP": "5s", "BOT_TICK_S": "0.5", "BOT_HTTP_PORT": "0", "BOT_ALERT_URLS": CLOSED}
    with Sandbox(world, clock=SandboxClock(first, rate=0), schedule=schedule) as sandbox:
        installation = Installation(sandbox=sandbox, root=root, settings=settings)
        with running(installation) as bot:
            (started, *_) = until(lambda: bot.events("web.started"), LIMIT_S, "the pages are not served")
            with prometheus(root / "prometheus", started["port"], hasten=HASTEN) as watch:
                yield Season(installation=installation, schedule=schedule, bot=bot, watch=watch)


def main() -> int:
    """Play the season; return 1 if an alert or a panel failed."""
    with trained() as (world, artifacts, root), played(world, artifacts, root / "bot") as season:
        season.say("rules", season.watch.rules())
        for part in (healthy, drifted, missed, stopped):
            part(season)
        return int(season.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
