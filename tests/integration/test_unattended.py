"""Three daemons start at once; one stays, submits, needs little memory and shows no secret."""

import json
import shutil
import subprocess
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import requests

from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import Account
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, LIMIT_S, OPENED, Installation

ROUND = timedelta(minutes=30)
ROUNDS = 2
IDLE_MIB = 150
CANARIES = {
    "NUMERAI_PUBLIC_ID": "CANARYPUBLICCANARYPUBLICCANARY00",
    "NUMERAI_SECRET_KEY": "CANARYSECRET" * 5,
    "BOT_ALERT_URLS": "json://canaryuser:CANARYALERT@127.0.0.1:9/CANARYPATH",
    "BOT_PING_URL": "http://127.0.0.1:9/CANARYPING",
    "BOT_WEBHOOK_TOKEN": "CANARYHOOKCANARYHOOK",
    "BOT_CONTROL_TOKEN": "CANARYORDERCANARYORDER",
}
ACCOUNT = Account(
    username="canary",
    public_id=CANARIES["NUMERAI_PUBLIC_ID"],
    secret_key=CANARIES["NUMERAI_SECRET_KEY"],
    models={"canary_mixer": "ca9a0000-0000-4000-8000-000000000001"},
)


def wait(look):
    """Call *look* until its result is true; return the last result."""
    end = time.monotonic() + LIMIT_S
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def command_lines(daemon):
    """Return the arguments of the daemon and of the processes that it started, as any user of the machine sees them."""
    lines = []
    for process in (psutil.Process(daemon.pid), *psutil.Process(daemon.pid).children(recursive=True)):
        with suppress(OSError):  # it has ended
            lines.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
    return b"".join(lines)


@pytest.fixture(scope="module")
def played(world_folder, trained, tmp_path_factory):
    """Start three daemons at once, play some rounds with the one that stays, and return all of its output."""
    root = tmp_path_factory.mktemp("unattended")
    shutil.copytree(trained / "artifacts", root / "state" / "artifacts")
    schedule = Schedule.every(ROUND, window=ROUND - timedelta(seconds=1), first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED + timedelta(seconds=1), rate=0)
    seen = {"cmdline": b"", "pages": "", "grants": set()}
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule, accounts=(ACCOUNT,)) as sandbox:
        settings = {
            "BOT_TICK_S": "0.3",
            "BOT_RETRAIN": "off",
            "BOT_SYNC": "off",
            "BOT_BACKUP": "off",
            "BOT_HTTP_PORT": "0",
            "BOT_LOG_LEVEL": "debug",
        }
        installation = Installation(sandbox=sandbox, root=root, settings=settings | CANARIES)
        command, environment = installation.command("run"), installation.environment
        daemons = []
        for number in range(3):
            with (root / f"log{number}").open("w") as file:
                daemons.append(subprocess.Popen(command, env=environment, cwd=root, stderr=file, stdout=file))
        wait(lambda: sum(one.poll() is not None for one in daemons) == 2)
        (holder,) = [one for one in daemons if one.poll() is None]
        log = root / f"log{daemons.index(holder)}"

        def events(name):
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
            return [line for line in lines if line["event"] == name]

        for number in range(ROUNDS):
            wait(
                lambda number=number: (
                    seen.update(cmdline=seen["cmdline"] + command_lines(holder))
                    or len(events("round.settled")) > number
                )
            )
            if number + 1 < ROUNDS:
                clock.advance(ROUND)
        base = f"http://127.0.0.1:{events('web.started')[0]['port']}"
        pages = ("/", "/live", "/models", f"/round/{FIRST_ROUND}", "/metrics", "/healthz")
        seen["pages"] = "".join(requests.get(base + page, timeout=10).text for page in pages)
        seen["idle"] = psutil.Process(holder.pid).memory_info().rss / 2**20
        # The API refuses the key from now on: one alert, which apprise tries to send and logs much about.
        sandbox.faults.add(Fault(operation="account", kind="unauthorized", times=10**6))
        clock.advance(ROUND)
        wait(lambda: events("message.delayed"))
        commands = ("status",), ("status", str(FIRST_ROUND)), ("status", "--json"), ("doctor",), ("doctor", "--json")
        outputs = [installation.bot(*command) for command in (*commands, ("submit", "--round", "1"))]
        seen["commands"] = "".join(one.stdout + one.stderr for one in outputs)
        holder.terminate()
        seen["ended"] = holder.wait(timeout=LIMIT_S)
        seen["statuses"] = sorted(one.returncode for one in daemons if one is not holder)
        seen["submissions"] = [(one.round, one.accepted) for one in sandbox.tournament.submissions]
        seen["grants"] = {*sandbox.storage._readable, *sandbox.storage._writable}
    seen["log"] = log.read_text()
    seen["logs"] = "".join((root / f"log{number}").read_text() for number in range(3))
    seen["state"] = root / "state"
    return seen


def test_of_three_daemons_one_stays_and_submits_once_a_round(played):
    """The other two exit with 75, and each round has exactly one submission."""
    assert played["statuses"] == [75, 75]
    assert played["submissions"] == [(FIRST_ROUND + number, True) for number in range(ROUNDS)]
    assert played["ended"] == 0


def test_an_idle_daemon_is_small(played, capsys):
    """Between rounds the daemon holds neither models nor data in memory."""
    with capsys.disabled():
        print(f"\nidle daemon: {played['idle']:.0f} MiB")  # noqa: T201 - the figure is the point

    assert played["idle"] <= IDLE_MIB


def test_secrets_appear_nowhere(played, capsys):
    """No key and no presigned URL is in debug logs, state directory, pages, output or arguments of processes."""
    secrets = ["CANARY", *played["grants"]]
    files = {str(path): path.read_bytes() for path in played["state"].rglob("*") if path.is_file()}
    places = {
        **files,
        "log": played["logs"].encode(),
        "pages": played["pages"].encode(),
        "processes": played["cmdline"],
        "commands": played["commands"].encode(),
    }
    hits = [(secret, name) for name, content in places.items() for secret in secrets if secret.encode() in content]

    libraries = {
        line["library"].split(".")[0] for line in map(json.loads, played["log"].splitlines()) if "library" in line
    }
    with capsys.disabled():
        print(f"\n{len(secrets)} secrets in {len(places)} places: {len(hits)} hits; debug of {sorted(libraries)}")  # noqa: T201

    assert {"urllib3", "apprise"} <= libraries
    assert "X-Amz-Signature=***" in played["log"]
    assert len(played["grants"]) > ROUNDS
    assert b"\0run\0" in played["cmdline"]
    assert len(files) > 10
    assert hits == []


def test_every_line_of_the_log_is_json_that_names_its_round(played):
    """Each line parses; each line of a round names round, slot and artifact, and the last one summarises the round."""
    lines = [json.loads(line) for line in played["log"].splitlines()]
    submitting = [line for line in lines if line["event"].startswith(("submission.", "dataset.", "round.finished"))]

    assert len(submitting) >= 4 * ROUNDS
    assert all({"round", "slot", "artifact", "timestamp", "level"} <= set(line) for line in submitting)
    assert all(line["artifact"] for line in submitting if line["event"] != "dataset.fetched")
    assert [line["round"] for line in lines if line["event"] == "round.finished"] == [
        FIRST_ROUND + number for number in range(ROUNDS)
    ]
