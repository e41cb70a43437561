"""Commands of a person that start when a round was confirmed or missed, or a champion promoted."""

import json
import os
import shlex
import sys
import time
from contextlib import closing
from datetime import timedelta

import pytest
import structlog

from bot.daemon import hooks as module
from bot.daemon.hooks import CONFIRMED, MISSED, PROMOTED, Hooks
from bot.errors import BadConfig
from bot.record.ledger import Ledger
from bot.serving.artifacts import ArtifactStore
from bot.settings import load_settings
from tests.daemon.fakes import OPENED, FakeTournament, make_loop, steps
from tests.serving.manifests import manifest

LIMIT_S = 120.0
KEEP = """
import json, os, sys
about = json.load(sys.stdin)
about["environment"] = sorted(os.environ)
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(about) + "\\n")
"""


@pytest.fixture
def out(tmp_path):
    """File that the hooks of the tests append to, outside of the state directory, which they cannot write."""
    return tmp_path / "out.jsonl"


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    Ledger(folder / "ledger.sqlite").close()
    return folder


def keeping(out):
    return shlex.join([sys.executable, "-c", KEEP, str(out)])


def make(state, **commands):
    return Hooks(commands=commands, ledger_path=state / "ledger.sqlite", state_dir=state, mode="live")


def run(hooks):
    """Hand over everything that waits, in this thread."""
    while not hooks._events.empty():
        hooks._hand_over(*hooks._events.get())


def kept(out):
    return [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []


def test_rounds_are_told_once_with_all_that_a_person_asks(state, out):
    """A confirmed and a missed round reach their hooks, also where the loop says so again after a restart."""
    hooks = make(state, on_confirmed=keeping(out), on_missed=keeping(out))
    tournament = FakeTournament(Ledger(state / "ledger.sqlite"))
    for _ in range(2):  # the second loop finds the round confirmed
        loop = make_loop(tournament, state)
        loop.happened = hooks.happened
        steps(loop, 3)
    tournament.now, tournament.outcome = tournament.rounds[1].opens_at, 75
    steps(loop, 2)
    tournament.now = tournament.rounds[1].closes_at
    steps(loop, 2)
    run(hooks)
    confirmed, missed = kept(out)

    assert (confirmed["event"], confirmed["round"], confirmed["slots"]) == ("confirmed", 1405, ["first", "second"])
    assert (missed["event"], missed["round"], missed["slots"]) == ("missed", 1406, ["first", "second"])
    assert missed["mode"] == "live"


def test_a_hook_gets_no_secret_and_no_setting(state, out, monkeypatch):
    """Neither key nor other settings are in its environment; its standard input has the event."""
    for name in ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY", "BOT_ALERT_URLS", "BOT_MODE", "SOME_TOKEN", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "secret-value-of-it")
    hooks = make(state, on_confirmed=keeping(out))
    hooks.happened(CONFIRMED, {"round": 1405})
    run(hooks)
    (sent,) = kept(out)

    assert sent["round"] == 1405
    assert not {
        "NUMERAI_PUBLIC_ID",
        "NUMERAI_SECRET_KEY",
        "BOT_ALERT_URLS",
        "BOT_MODE",
        "SOME_TOKEN",
        "HTTPS_PROXY",
    } & {*sent["environment"]}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/does/not/exist", "it does not start: No such file or directory"),
        (shlex.join([sys.executable, "-c", "print('no room'); raise SystemExit(3)"]), "exit status 3: no room"),
        (shlex.join([sys.executable, "-c", "import time; time.sleep(600)"]), "it took longer than"),
    ],
)
def test_a_failing_hook_is_a_line_of_the_log(state, monkeypatch, command, reason):
    """One that does not start, fails or hangs says why in one line; nothing is raised."""
    monkeypatch.setattr(module, "LIMITS", module.Limits(time_s=2.0 if "sleep" in command else 60.0, memory_mib=512))
    hooks = make(state, on_missed=command)
    hooks.happened(MISSED, {"round": 1405})
    with structlog.testing.capture_logs() as logs:
        run(hooks)
    (line,) = [one for one in logs if one["event"] == "hook.failed"]

    assert reason in line["reason"]
    assert (line["hook"], line["log_level"]) == (MISSED, "error")


def test_hooks_report_a_new_champion_after_any_promotion(state, out):
    """The first look takes note of what is there; afterwards every change is reported once, also by a restarted bot."""
    store = ArtifactStore(state / "artifacts")
    first = store.write(files={"gbm.txt": b"a"}, manifest=manifest("demo"), at=OPENED).id
    store.promote("demo", first)
    hooks = make(state, on_promoted=keeping(out))
    hooks._look()
    second = store.write(files={"gbm.txt": b"b"}, manifest=manifest("demo"), at=OPENED + timedelta(days=1)).id
    store.promote("demo", second)
    hooks._look()
    make(state, on_promoted=keeping(out))._look()
    run(hooks)
    (sent,) = kept(out)

    assert (sent["event"], sent["recipe"], sent["artifact"], sent["before"]) == ("promoted", "demo", second, first)


def test_hooks_report_the_first_champion_of_all(state, out):
    """A bot that began without any champion tells the first one."""
    hooks = make(state, on_promoted=keeping(out))
    hooks._look()
    store = ArtifactStore(state / "artifacts")
    made = store.write(files={"gbm.txt": b"a"}, manifest=manifest("demo"), at=OPENED).id
    store.promote("demo", made)
    hooks._look()
    run(hooks)

    assert [one["artifact"] for one in kept(out)] == [made]


def test_the_thread_survives_what_fails(state, out):
    """After a hook that fails, and a ledger that cannot be opened, the thread runs the next hook."""
    hooks = make(state, on_missed="'unclosed", on_confirmed=keeping(out))
    hooks.start()
    hooks.happened(MISSED, {"round": 1405})
    hooks.happened(CONFIRMED, {"round": 1406})
    end = time.monotonic() + LIMIT_S
    while not kept(out) and time.monotonic() < end:
        os.sched_yield()
    hooks.stop()

    assert [one["round"] for one in kept(out)] == [1406]


def test_a_flood_of_events_is_dropped(state):
    """Events wait in a bounded queue, so that a hook which hangs cannot fill the memory."""
    hooks = make(state, on_missed="/bin/true")
    with structlog.testing.capture_logs() as logs:
        for number in range(module.WAITING + 2):
            hooks.happened(MISSED, {"round": number})
        hooks.happened(PROMOTED, {"recipe": "demo"})

    assert hooks._events.qsize() == module.WAITING
    assert len(logs) == 2


@pytest.mark.parametrize(("command", "said"), [("notify.sh", "absolute path"), ("'/bin/true", "is no command")])
def test_a_command_that_could_be_anybodys_is_refused(tmp_path, monkeypatch, command, said):
    """A name without a folder, and an unclosed quote, are refused when the settings are read."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadConfig, match=f"BOT_ON_MISSED: .*{said}"):
        load_settings(on_missed=command)


def test_a_missed_round_of_a_refused_slot_carries_the_reason(state, out):
    """The hook gets gate, value, limit and setting, as `bot status --json` shows them."""
    from tests.web.test_round_rows import fail, refused

    hooks = make(state, on_missed=keeping(out))
    with closing(Ledger(state / "ledger.sqlite")) as ledger:
        loop = make_loop(tournament := FakeTournament(ledger), state)
        loop.happened = hooks.happened
        tournament.outcome = 65
        fail(ledger, 1405, refused(), slot="first")
        steps(loop, 2)
        tournament.now = tournament.rounds[0].closes_at
        steps(loop, 2)
    run(hooks)
    (sent,) = kept(out)

    assert sent["failures"][0]["settings"] == ["BOT_MAX_EXPOSURE"]
    assert sent["failures"][0]["gates"][0]["gate"] == "exposure"
