"""The parts of `bot run` as the settings build them."""

import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

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


def test_a_daemon_without_pages_loads_no_web_server():
    """Without BOT_HTTP_PORT no web server is in the daemon's memory."""
    script = (
        "import sys, bot.daemon.wiring, bot.daemon.process; print({'uvicorn', 'starlette', 'jinja2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "set()\n"
