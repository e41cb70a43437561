"""`bot run`: rounds that open one after another, restarts, several accounts, alerts, and a retrain beside them."""

import json
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, Account
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation

ROUND = timedelta(minutes=30)
LIMIT_S = 900.0
"""Seconds to wait for an event; many times what it takes, so that a busy machine fails no test."""

OTHER = Account(
    username="other",
    public_id="OTHERPUBLICIDOTHERPUBLICIDOTHER0",
    secret_key="OTHERSECRETKEY" * 4,
    models={"other_mixer": "22222222-0000-0000-0000-000000000000"},
)


@pytest.fixture
def season(world_folder, trained, tmp_path):
    """A tournament with a round every half hour of a clock that the test moves, and a bot with a champion."""
    schedule = Schedule.every(ROUND, window=ROUND - timedelta(seconds=1), first_round=FIRST_ROUND, first_open=OPENED)
    shutil.copytree(trained / "artifacts", tmp_path / "state" / "artifacts")
    clock = SandboxClock(OPENED + timedelta(seconds=1), rate=0)
    world = World.open(world_folder)
    with Sandbox(world, clock=clock, schedule=schedule, accounts=(DEMO_ACCOUNT, OTHER)) as sandbox:
        settings = {"BOT_TICK_S": "0.3", "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "off"}
        yield Installation(sandbox=sandbox, root=tmp_path, settings=settings)


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


def log(installation):
    return (installation.root / "log").read_text()


def events(installation, name):
    lines = [json.loads(line) for line in log(installation).splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def confirmed_rounds(sandbox):
    return [one.round for one in sandbox.tournament.submissions if one.accepted]


def until(sandbox, rounds):
    """Wait until the sandbox holds submissions of *rounds* rounds; return whether it does."""
    return sandbox.tournament.wait_for(lambda: len(set(confirmed_rounds(sandbox))) >= rounds, timeout_s=LIMIT_S)


def seen(look):
    """Wait until *look* returns a true value; return that value."""
    end = time.monotonic() + LIMIT_S
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_rounds_in_a_row_with_a_restart_have_one_submission_each(season):
    """Each round gets exactly one submission, also across a kill and a restart in the middle."""
    with running(season) as first:
        assert until(season.sandbox, 1), log(season)
        season.sandbox.clock.advance(ROUND)
        first.send_signal(signal.SIGKILL)
    with running(season):
        assert until(season.sandbox, 2), log(season)
        season.sandbox.clock.advance(ROUND)
        assert until(season.sandbox, 3), log(season)

    assert confirmed_rounds(season.sandbox) == [FIRST_ROUND, FIRST_ROUND + 1, FIRST_ROUND + 2]


def test_second_instance_is_refused(season):
    """A second bot on the same state directory exits 75 and names the first."""
    with running(season) as first:
        assert until(season.sandbox, 1), log(season)
        second = season.bot("run")

    assert second.returncode == 75
    assert str(first.pid) in second.stderr


def test_stops_within_ten_seconds_of_sigterm_and_is_healthy_before(season):
    """SIGTERM ends the loop with exit code 0 within ten seconds; `bot health` reports the difference."""
    with running(season) as process:
        assert until(season.sandbox, 1), log(season)
        alive = season.bot("health")
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
    gone = season.bot("health")

    assert (alive.returncode, alive.stdout) == (0, "healthy\n")
    assert gone.returncode == 75
    assert "it was stopped at" in gone.stderr


@pytest.mark.slow
def test_first_retrain_makes_the_first_submission_possible(season, trained):
    """A bot without artifacts retrains, promotes and submits without an operator; it takes models that were fitted before."""
    shutil.rmtree(season.state / "artifacts")
    for name in ("data", "store", "history", "fits"):
        shutil.copytree(trained / name, season.state / name)
    with running(season, BOT_RETRAIN="weekly"):
        assert until(season.sandbox, 1), log(season)
    champions = list((season.state / "artifacts" / "champions").glob("demo.json"))

    assert len(champions) == 1


def test_several_accounts_fill_their_own_slots(season):
    """Each account submits its own models with the key from its files, in the same round."""
    tables = []
    for account in (DEMO_ACCOUNT, OTHER):
        for name in ("public_id", "secret_key"):
            (season.root / f"{account.username}_{name}").write_text(getattr(account, name))
        slots = ", ".join(f'{name} = "demo"' for name in account.models)
        tables.append(
            f'[accounts.{account.username}]\npublic_id_file = "{account.username}_public_id"\n'
            f'secret_key_file = "{account.username}_secret_key"\nslots = {{ {slots} }}\n'
        )
    (season.root / "bot.toml").write_text("\n".join(tables))
    with running(season, NUMERAI_PUBLIC_ID="", NUMERAI_SECRET_KEY=""):
        both = season.sandbox.tournament.wait_for(
            lambda: len([one for one in season.sandbox.tournament.submissions if one.accepted]) == 2, timeout_s=LIMIT_S
        )
        settled = both and seen(lambda: events(season, "round.settled"))

    assert settled, log(season)
    assert {one.slot for one in season.sandbox.tournament.submissions} == {SLOT, *OTHER.models}


def test_a_rotated_key_needs_no_restart(season):
    """A refused key is read again from its file; with the new key the round is confirmed."""
    secret = season.root / "secret"
    secret.write_text("revoked")
    secret.chmod(0o600)
    season.settings["BOT_SLOTS"] = f"{SLOT}=demo"
    environment = {"NUMERAI_SECRET_KEY_FILE": str(secret), "NUMERAI_SECRET_KEY": ""}
    with running(season, **environment):
        refused = seen(lambda: events(season, "round.delayed"))
        secret.write_text(DEMO_ACCOUNT.secret_key)
        season.sandbox.clock.advance(ROUND)
        assert until(season.sandbox, 1), log(season)

    assert refused[0]["reason"] == "needs the operator"
    assert confirmed_rounds(season.sandbox) == [FIRST_ROUND + 1]


class Services:
    """An alert service with a JSON interface, and a dead man's switch."""

    def __init__(self):
        self.messages, self.pings = [], []
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                services.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def do_GET(self):
                services.pings.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def services():
    running = Services()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_a_problem_has_one_alert_a_round_and_one_recovery(season, services):
    """Each round that no model can score has one alert while it is open, and one for its miss; one recovery ends them."""

    def titles():
        return [one["title"].removeprefix("numerai-bot: ") for one in services.messages]

    shutil.move(season.state / "artifacts", season.root / "hidden")
    settings = {
        "BOT_ALERT_URLS": f"json://127.0.0.1:{services.port}/",
        "BOT_PING_URL": f"http://127.0.0.1:{services.port}/ping/secret-check",
        "BOT_HTTP_PORT": "0",
    }
    with running(season, **settings):
        first = seen(lambda: services.messages)
        season.sandbox.clock.advance(ROUND)
        missed = seen(lambda: events(season, "round.missed"))
        unwell = season.bot("health")
        shutil.move(season.root / "hidden", season.state / "artifacts")
        season.sandbox.clock.advance(ROUND)
        recovered = until(season.sandbox, 1) and seen(lambda: any(one.startswith("over: ") for one in titles()))
        pinged = seen(lambda: services.pings)

    assert first, log(season)
    assert missed, log(season)
    assert recovered, log(season)
    *alerts, recovery = titles()
    assert alerts[0].startswith(f"round {FIRST_ROUND}: needs the operator: {SLOT}: recipe 'demo' has no champion yet")
    told = [(int(one.split(":")[0].split()[1]), "was missed" in one) for one in alerts]
    assert told[:2] == [(FIRST_ROUND, False), (FIRST_ROUND, True)]
    assert told == sorted(set(told))
    assert recovery.startswith("over: ")
    assert "closed without a confirmed submission" in unwell.stderr
    assert pinged == ["/ping/secret-check"]
    assert "secret-check" not in log(season)


def test_pages_answer_on_the_loopback_port(season):
    """`/healthz` and `/metrics` answer, the hook wakes the loop with Numerai's trigger id, and other paths get 404."""
    with running(season, BOT_HTTP_PORT="0", BOT_WEBHOOK_TOKEN="knock-knock-knock", BOT_TICK_S="20"):
        started = seen(lambda: events(season, "web.started"))
        base = f"http://127.0.0.1:{started[0]['port']}"
        assert until(season.sandbox, 1), log(season)
        seen(lambda: events(season, "round.settled"))
        season.sandbox.clock.advance(ROUND)
        answered = requests.post(f"{base}/hook/knock-knock-knock", json={"triggerId": "t-1"}, timeout=60)
        assert until(season.sandbox, 2), log(season)
        health = requests.get(f"{base}/healthz", timeout=60)
        metrics = requests.get(f"{base}/metrics", timeout=60).text
        lost = requests.post(f"{base}/hook/other", timeout=60)

    assert (answered.status_code, lost.status_code) == (200, 404)
    assert (health.status_code, health.text) == (200, "healthy\n")
    assert f"numerai_bot_round_number {FIRST_ROUND + 1:.1f}" in metrics
    assert 'numerai_bot_gate_ok{gate="ids"} 1.0' in metrics
    assert SLOT not in metrics
    assert season.sandbox.tournament.submissions[1].trigger_id == "t-1"
