"""The parts of `bot run` as the settings build them."""

import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from bot.daemon import wiring
from bot.daemon.wiring import open_service
from bot.record.outbox import Outbox
from bot.settings import load_settings
from bot.web import server

ROOT = Path(__file__).resolve().parents[2]


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
