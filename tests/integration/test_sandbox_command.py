"""`bot sandbox` and `bot demo` as commands."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from bot.cli.json_answers import ANSWERS
from bot.cli.main import app
from bot.errors import BadConfig
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.sandbox.world.generate import World, generate
from tests.harness.installation import FIRST_ROUND, OPENED
from tests.harness.json_types import differences


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--datasets", "nowhere"], "live.parquet"),
        (["--size", "huge"], "tiny, small, full"),
        (["--every-s", "0"], "--window-s"),
        (["--host", "256.0.0.1"], "cannot listen"),
    ],
)
def test_arguments_that_cannot_be_served_are_explained(tmp_path, monkeypatch, world_folder, arguments, reason):
    """A wrong folder, size, interval or address is one line."""
    monkeypatch.chdir(tmp_path)
    if "--size" not in arguments:
        arguments = ["--world", str(world_folder), *arguments]
    result = CliRunner().invoke(app, ["sandbox", *arguments])

    assert isinstance(result.exception, BadConfig)
    assert reason in str(result.exception)


def test_interrupted_world_is_generated_again(tmp_path):
    """Files of a killed generation are replaced."""
    (tmp_path / "v5.3").mkdir()
    (tmp_path / "v5.3" / "train.parquet").write_bytes(b"half")
    world = generate(tmp_path)

    assert world.live(0).ids


def test_whole_world_is_never_overwritten(world_folder):
    """A complete world is not replaced by another."""
    with pytest.raises(FileExistsError):
        generate(world_folder)


def test_served_tournament_can_be_asked_for_its_record(tmp_path, world_folder):
    """
    The printed address answers with the open round, and SIGTERM ends the server with exit code 0.

    Its key is printed also where the environment holds it already: stars would be copied as a key.
    """
    command = [sys.executable, "-m", "bot", "sandbox", "--world", str(world_folder), "--port", "0", "--json"]
    key = {"NUMERAI_PUBLIC_ID": DEMO_ACCOUNT.public_id, "NUMERAI_SECRET_KEY": DEMO_ACCOUNT.secret_key}
    environment = {**os.environ, **key, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment) as server:
        lines = "".join(iter(server.stdout.readline, "}\n"))
        announced = json.loads(f"{lines}}}")
        record = requests.get(announced["record"], timeout=60).json()
        server.send_signal(signal.SIGTERM)
        status = server.wait(timeout=60)

    assert key.items() <= announced["settings"].items()
    assert list(differences(announced, ANSWERS["sandbox"])) == []
    assert (record["open_round"] >= FIRST_ROUND, record["submissions"], status) == (True, [], 0)


def test_rounds_continue_after_those_of_an_earlier_tournament(world_folder, tmp_path):
    """A world that is served again opens new rounds."""
    world = World.open(shutil.copytree(world_folder, tmp_path / "world"))
    before, played = world.live(world.played), world.played
    clock = SandboxClock(OPENED, rate=0)
    schedule = Schedule(first_round=FIRST_ROUND + played, first_open=OPENED)
    with Sandbox(world, clock=clock, schedule=schedule, first_era=played) as again:
        ids = again.tournament.live_ids(FIRST_ROUND + played)

    assert not set(ids) & set(before.ids)


def test_clock_of_a_running_sandbox_can_be_moved(sandbox):
    """A POST to its address advances the sandbox's clock."""
    moved = requests.post(f"{sandbox.url}sandbox/clock", json={"advance_s": 7200}, timeout=60).json()

    assert moved["now"] == "2026-11-24T14:01:00Z"
    assert requests.get(f"{sandbox.url}sandbox/record", timeout=60).json()["open_round"] is None


def test_a_folder_beside_the_working_folder_is_served(tmp_path, monkeypatch):
    """Files of `--datasets ../data` are served; names that climb out of the folder are not."""
    (tmp_path / "data" / "v5.3").mkdir(parents=True)
    (tmp_path / "data" / "v5.3" / "features.json").write_bytes(b"{}")
    (tmp_path / "work").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    monkeypatch.chdir(tmp_path / "work")
    with Sandbox(Path("../data"), clock=SandboxClock(OPENED, rate=0)) as running:

        def dataset(name):
            query = {"query": "query($f: String!) { dataset(filename: $f) }", "variables": {"f": name}}
            return requests.post(running.url, json=query, timeout=60).json()

        served = requests.get(dataset("v5.3/features.json")["data"]["dataset"], timeout=60).content
        climbing = [dataset(name) for name in ("../secret", "v5.3/../../secret")]

    assert served == b"{}"
    assert [one["errors"][0]["message"] for one in climbing] == ["no such dataset"] * 2
