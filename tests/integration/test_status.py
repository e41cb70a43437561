"""`bot status` shows rounds and problems from the state directory alone."""

import json
import shutil
from contextlib import closing
from datetime import UTC, datetime

import pytest

from bot.record.heartbeat import Heartbeat
from bot.record.outbox import Outbox
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT
from tests.serving.manifests import manifest


def test_status_before_the_first_round_shows_the_next_step(installation):
    """An empty ledger is no error; the champion is shown."""
    done = installation.bot("status", "--json")
    found = json.loads(done.stdout)

    assert done.returncode == 0
    assert found["rounds"] == []
    assert set(found["champions"]) == {"demo"}
    assert found["data_versions"] == {"demo": "v5.3"}
    assert found["notes"] == []
    assert "start it with `bot run`" in found["daemon"][0]


def test_status_shows_a_confirmed_round_and_all_that_is_kept_of_it(installation):
    """The overview shows the receipt; `bot status ROUND` shows hashes, gates, stages, events and the log."""
    submitted = installation.bot("submit")
    overview = json.loads(installation.bot("status", "--json", BOT_API_URL="http://127.0.0.1:9/").stdout)
    whole = json.loads(installation.bot("status", str(FIRST_ROUND), "--json").stdout)
    read = installation.bot("status", str(FIRST_ROUND)).stdout

    assert submitted.returncode == 0, submitted.stderr
    (entry,) = overview["rounds"]
    assert (entry["round"], entry["slot"], entry["state"]) == (FIRST_ROUND, SLOT, "confirmed")
    about = whole["slots"][SLOT]
    assert about["report"]["gates"][0]["gate"] == "ids"
    assert whole["live"][0]["sha256"]
    assert [one["event"] for one in whole["events"]][-1] == "submission.confirmed"
    assert {line["event"] for line in whole["log"]} >= {"dataset.fetched", "round.finished"}
    assert "gate official_validation" in read


def test_a_refused_round_says_why_everywhere(installation):
    """Gate, value, limit, remedy and setting: on the command's error, in the status, in the round and in its log."""
    refused = installation.bot("submit", BOT_MAX_EXPOSURE="0.0001")
    content = json.loads(installation.bot("status", "--json").stdout)
    shown = " ".join(installation.bot("status").stdout.split())
    whole = installation.bot("status", "latest").stdout
    lines = (installation.state / "rounds" / str(FIRST_ROUND) / "log.jsonl").read_text().splitlines()
    (told,) = [one for one in map(json.loads, lines) if one["event"] == "submission.failed"]
    (row,) = content["rounds"]

    assert refused.returncode == 65
    assert (row["round"], row["slot"], row["state"]) == (FIRST_ROUND, SLOT, "refused")
    assert row["failure"]["settings"] == ["BOT_MAX_EXPOSURE"]
    assert (
        "(limit at most 0.0001) what to do neutralize more in the recipe, let BOT_FALLBACK name another one, or raise BOT_MAX_EXPOSURE setting BOT_MAX_EXPOSURE"
        in shown
    )
    assert (
        "what to do  neutralize more in the recipe, let BOT_FALLBACK name another one, or raise BOT_MAX_EXPOSURE"
        in whole
    )
    assert (told["gate"], told["limit"], told["setting"]) == ("exposure", "at most 0.0001", "BOT_MAX_EXPOSURE")
    assert told["value"] == row["failure"]["gates"][0]["value"] > 0.0001


@pytest.mark.parametrize("command", ["submit", "doctor", "status"])
def test_a_first_artifact_that_was_kept_back_is_named(installation, command):
    """A newcomer whose first artifact was refused reads which one, why, and how to use it anyway."""
    shutil.rmtree(installation.state / "artifacts")
    store = ArtifactStore(installation.state / "artifacts")
    decision = {"promote": False, "reason": "skill: it may be chance"}
    identity = store.write(files={"gbm.txt": b"tree"}, manifest=manifest("demo", decision=decision), at=OPENED).id
    done = installation.bot(command)
    said = " ".join((done.stdout + done.stderr).split())

    assert f"{identity} was kept back: skill: it may be chance" in said
    assert f"bot promote {identity}" in said


def test_a_round_that_is_not_there_is_one_line(installation):
    """An unknown round is an error of one line that names the ledger; exit code 78."""
    installation.bot("submit", "--dry-run", BOT_MODE="dry-run")
    done = installation.bot("status", "1", BOT_MODE="dry-run")

    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("error: round 1 is not in")


def test_watching_shows_the_state_again_until_stopped(installation):
    """The overview is printed every two seconds; Ctrl-C ends it without a traceback."""
    script = (
        "import sys, time, bot.cli.main\n"
        "waits = []\n"
        "def sleep(seconds):\n"
        "    waits.append(seconds)\n"
        "    if len(waits) == 2: raise KeyboardInterrupt\n"
        "time.sleep = sleep\n"
        "sys.argv = ['bot', 'status', '--watch']\n"
        "bot.cli.main.main()\n"
    )
    done = installation.python("-c", script)

    assert done.returncode == 130
    assert done.stdout.count("mode      ") == 2
    assert "Traceback" not in done.stderr


def test_a_problem_of_the_daemon_that_an_alert_reports_is_said_once(installation):
    """The daemon is called unhealthy, and only the alert says that the round was missed."""
    beat = Heartbeat(folder=installation.state)
    beat.mark("round", "round 1405 closed without a confirmed submission")
    beat.beat()
    with closing(Outbox(installation.state / "ledger.sqlite")) as outbox:
        outbox.alert("round", "round 1405 was missed", "see the log", at=datetime.now(UTC))
    lines = installation.bot("status").stdout.splitlines()

    assert "trouble   round 1405 was missed" in lines
    assert "daemon    unhealthy: see the trouble above" in lines


def test_why_an_artifact_was_kept_back_is_shown_once(installation):
    """Where an open alert says why a recipe has no champion, the line of the champion refers to it."""
    shutil.rmtree(installation.state / "artifacts")
    store = ArtifactStore(installation.state / "artifacts")
    decision = {"promote": False, "reason": "skill: it may be chance"}
    store.write(files={"gbm.txt": b"tree"}, manifest=manifest("demo", decision=decision), at=OPENED)
    installation.bot("submit")
    before = installation.bot("status").stdout
    with closing(Outbox(installation.state / "ledger.sqlite")) as outbox:
        outbox.alert("round", "round 1405", store.kept_back()["demo"].about, at=OPENED)
    after = installation.bot("status").stdout

    assert "champion  demo: none yet; 2" in before
    assert "champion  demo: none yet; the trouble above says why" in after
