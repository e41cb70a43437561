"""
R18: growth of the daemon's memory over a year of rounds.

The daemon is a real ``bot run`` with loop, ledger, outbox, alerts through apprise, pings, jobs, and pages that are read in
every round. The tournament is a ``bot sandbox`` in a process of its own, whose clock is moved from round to round. Only the
children of the daemon are replaced, by a script that confirms the round in the ledger: their memory ends with them.
"""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import psutil
import requests

from tests.harness.installation import Installation
from tests.harness.process import Running, running, until

GOAL_MIB, IDLE_MIB = 10.0, 150.0
EVERY_S, WINDOW_S = 7200, 3600
DAEMON_COMMAND = f"""
import gc, signal, sys
from bot.system import child_process
from bot.cli.main import main
child_process.PROGRAM = (sys.executable, "-S", "-E", {str(Path(__file__).with_name("confirmed.py"))!r})
signal.signal(signal.SIGUSR1, lambda *_: gc.collect())
sys.argv = ["bot", "run"]
main()
"""


@dataclass(kw_only=True)
class Growth:
    """Resident MiB after rounds."""

    mib: dict[int, float] = field(default_factory=dict)
    settled_in: int
    alerts: int = 0

    @property
    def grown(self) -> float:
        """Return the growth in MiB since round ``settled_in``."""
        return list(self.mib.values())[-1] - self.mib[self.settled_in]

    def __str__(self) -> str:
        sizes = ", ".join(f"{number}: {mib:.1f}" for number, mib in self.mib.items())
        return f"R18 daemon: MiB after rounds {sizes}; {self.grown:+.1f} MiB since round {self.settled_in}; {self.alerts} messages sent"


def play(world: Path, folder: Path, *, rounds: int, settled_in: int, look_every: int) -> Growth:
    """
    Let a daemon settle rounds, and measure its memory.

    Args:
        world: Folder of a generated world.
        folder: Folder for all files.
        rounds: Number of rounds.
        settled_in: Round after which growth counts.
        look_every: Rounds between two measurements.
    """
    grown = Growth(settled_in=settled_in)
    settings = {
        "BOT_TICK_S": "0.3", "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "5s", "BOT_HTTP_PORT": "0",
    }  # fmt: skip
    with _tournament(world, folder) as url:
        # Any address that answers 200 serves for pings and messages.
        settings["BOT_PING_URL"] = f"{url}sandbox/record"
        settings["BOT_ALERT_URLS"] = f"{url.replace('http', 'json')}sandbox/clock"
        daemon = Installation(sandbox=SimpleNamespace(url=url), root=folder, settings=settings)
        with running(daemon, program=(sys.executable, "-c", DAEMON_COMMAND)) as bot:
            base = f"http://127.0.0.1:{until(lambda: bot.events('web.started'), 60, 'no pages')[0]['port']}"
            last = 0
            for number in range(1, rounds + 1):
                last = _settle(bot, url, last)
                for page in ("/", "/live", "/models", f"/round/{last}", "/metrics", "/healthz"):
                    requests.get(base + page, timeout=30)
                if number in (settled_in, rounds) or number % look_every == 0:
                    grown.mib[number] = _weigh(bot)
            # On a busy machine the first delivery can fail; it is tried again after half a minute.
            until(lambda: not _messages(daemon.state, "sent_at IS NULL"), 180, "messages are not sent")
            bot.process.terminate()
            bot.process.wait(timeout=180)
        grown.alerts = _messages(daemon.state, "sent_at IS NOT NULL")
    return grown


def _settle(bot: Running, url: str, last: int) -> int:
    """Open the next round and wait until the daemon has settled it; return its number."""
    if last:
        requests.post(f"{url}sandbox/clock", json={"advance_s": EVERY_S}, timeout=30)

    def settled() -> int:
        heartbeat = bot.heartbeat()
        number = heartbeat.get("round") or 0
        return number if heartbeat.get("settled") and number > last else 0

    return until(settled, 120, f"the round after {last} is not settled")


def _messages(state: Path, condition: str) -> int:
    """Return how many messages of the ledger meet a condition."""
    with closing(sqlite3.connect(state / "ledger.sqlite")) as database:
        (number,) = database.execute(f"SELECT count(*) FROM message WHERE {condition}").fetchone()  # noqa: S608
    return int(number)


def _weigh(bot: Running) -> float:
    """Return the resident MiB of an idle daemon that has collected its garbage."""
    bot.process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    return float(psutil.Process(bot.process.pid).memory_info().rss / 2**20)


@contextmanager
def _tournament(world: Path, folder: Path) -> Iterator[str]:
    """Serve a world by ``bot sandbox``; yield its URL."""
    options = [f"--world={world}", f"--every-s={EVERY_S}", f"--window-s={WINDOW_S}", "--port=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "sandbox", *options], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().split()[2].rstrip(",")
    finally:
        process.terminate()
        process.communicate()
