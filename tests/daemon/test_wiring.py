"""The parts of `bot run` as the settings build them."""

import socket
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bot.daemon import wiring
from bot.daemon.wiring import open_service
from bot.errors import StateUnwritable
from bot.record.outbox import Outbox
from bot.settings import load_settings
from bot.tournament.rounds import Round
from bot.web import server
from tests.daemon.fakes import OPENED

ROOT = Path(__file__).resolve().parents[2]
ROUND = Round(number=1405, opens_at=OPENED, closes_at=OPENED + timedelta(hours=1))


def wait(condition):
    """Return the first true value of *condition*."""
    for _ in range(6000):
        if found := condition():
            return found
        threading.Event().wait(0.01)
    return None


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid", "a\x7fb"])
def test_pages_that_cannot_be_served_are_an_alert(tmp_path, monkeypatch, host):
    """A taken port or an odd host opens an alert while the daemon starts; once the pages are served the alert is closed."""
    monkeypatch.setattr(server, "AGAIN_S", 0.05)
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as other,
        closing(Outbox(tmp_path / "ledger-dry-run.sqlite")) as outbox,
    ):
        port = other.getsockname()[1]
        service = open_service(load_settings(state_dir=tmp_path, http_host=host, http_port=port))
        with service.web:
            assert wait(outbox.open_alerts) == {"web": "the pages cannot be served"}
            other.close()
            if host == "127.0.0.1":
                assert wait(lambda: not outbox.open_alerts())


def jobs(settings):
    return {job.name: job for job in wiring._jobs(settings)}


def test_packs_are_looked_for_where_a_key_is_trusted(tmp_path):
    """The job needs a storage and a trusted key; it and the retrain get the storage's variables, and no key."""
    url, key = "file:///srv/packs", f"{'A' * 43}="
    without = jobs(load_settings(state_dir=tmp_path, artifacts_url=url))
    found = jobs(load_settings(state_dir=tmp_path, artifacts_url=url, trusted_keys=key, unpack="30m"))
    look = found["unpack"]

    assert "unpack" not in without
    assert "unpack" not in jobs(load_settings(state_dir=tmp_path, trusted_keys=key))
    assert (look.commands, look.every_s, look.with_key) == ((("unpack", "--latest"),), 1800.0, False)
    assert {name for name, job in found.items() if job.with_storage} == {"retrain", "unpack"}
    assert "unpack" in wiring.TRAINING


def test_a_daemon_without_pages_loads_no_web_server():
    """Without BOT_HTTP_PORT no web server is in the daemon's memory."""
    script = (
        "import sys, bot.daemon.wiring, bot.daemon.process; print({'uvicorn', 'starlette', 'jinja2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "set()\n"


def test_commands_use_the_state_with_which_the_process_started(tmp_path, monkeypatch):
    """A mode that is changed in bot.toml counts from the next start on: loop and commands look at one ledger."""
    monkeypatch.chdir(tmp_path)
    text = 'mode = "{}"\nstate_dir = "state"\nbackup = "1d"\n[slots]\nfirst = "standard"\n'
    Path("bot.toml").write_text(text.format("dry-run"))
    settings = load_settings()
    service = open_service(settings)
    Path("bot.toml").write_text(text.format("live"))
    (account,) = service.loop.accounts
    commands = [account.attempt(ROUND, 900.0, "id"), *wiring._jobs(settings)]

    assert {one.environment["BOT_MODE"] for one in commands} == {"dry-run"}
    assert {one.environment["BOT_STATE_DIR"] for one in commands} == {"state"}
    assert commands[0].environment["TRIGGER_ID"] == "id"
    assert service.loop.heartbeat.mode == "dry-run"


def test_the_alert_of_the_pages_is_closed_once_the_ledger_takes_it(tmp_path, monkeypatch):
    """A ledger that is busy when the pages are served is asked again."""
    monkeypatch.setattr(wiring, "REPORT_AGAIN_S", 0.0)
    path, asked = tmp_path / "ledger.sqlite", []
    with closing(Outbox(path)) as outbox:
        outbox.alert("web", "the pages cannot be served", "", at=OPENED)

        def busy_once(path):
            asked.append(path)
            if len(asked) == 1:
                raise StateUnwritable("the ledger is busy")
            return Outbox(path)

        monkeypatch.setattr(wiring, "Outbox", busy_once)
        wiring._WebAlert(path)(None)

        assert wait(lambda: not outbox.open_alerts())


def test_alerts_about_what_the_settings_no_longer_have_are_ended(tmp_path):
    """Pages, slots and recipes that were removed leave no alert open; those that are there keep theirs."""
    kept = ["selected mine", "diagnostics demo", "round"]
    with closing(Outbox(tmp_path / "ledger-dry-run.sqlite")) as outbox:
        for name in (*kept, "web", "selected removed", "diagnostics removed"):
            outbox.alert(name, "a title", "", at=OPENED)
        open_service(load_settings(state_dir=tmp_path, slots={"mine": "demo"}))

        assert list(outbox.open_alerts()) == kept
