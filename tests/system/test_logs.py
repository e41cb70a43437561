"""Lines of the bot and of libraries can be parsed and contain no secret."""

import json
import subprocess
import sys

import pytest

SECRETS = ("SECRETKEY$", "json://someuser:PASSWORD@alerts.example/hook-of-mine?key=QUERYVALUE")
ALL = ("SECRETKEY", "someuser", "PASSWORD", "hook-of-mine", "QUERYVALUE", "SIGNATURE")
SETUP = f"""
import logging, structlog
from bot.system import logs
logs.configure(log_format={{form!r}}, secrets={SECRETS!r}, level=logging.DEBUG)
"""
SOURCES = {
    "a value": "structlog.get_logger().info('x', about='SECRETKEY$')",
    "a nested value": "structlog.get_logger().info('x', about={'urls': ['http://h/?X-Amz-Signature=SIGNATURE']})",
    "a traceback of the bot": "try:\n    raise ValueError('PASSWORD')\nexcept ValueError:\n    structlog.get_logger().exception('x')",
    "a library": "logging.getLogger('urllib3').debug('GET %s', 'https://h/f?X-Amz-Signature=SIGNATURE&a=b')",
    "a part of a URL": "logging.getLogger('apprise').debug('POST http://alerts.example/hook-of-mine as someuser QUERYVALUE')",
    "a traceback of a library": "try:\n    raise ValueError('PASSWORD')\nexcept ValueError:\n    logging.exception('x')",
    "an uncaught error": "raise ValueError('SECRETKEY$ and hook-of-mine')",
    "one in a thread": "import threading\ndef fail(): raise ValueError('SECRETKEY$')\nthreading.Thread(target=fail).start()",
}


def logged(form, code):
    """Return the standard error of a process that sets up logs and runs *code*."""
    script = SETUP.format(form=form) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_log_line_shows_a_secret(form):
    """Fields, nested or not, tracebacks, libraries and uncaught errors show stars instead of the secret."""
    for source, code in SOURCES.items():
        text = logged(form, code)

        assert "***" in text, source
        assert [secret for secret in ALL if secret in text] == [], source


def test_a_thread_that_exits_logs_nothing():
    """A thread that exits is no error in the log, as it is none for Python."""
    assert logged("json", "import sys, threading\nthreading.Thread(target=sys.exit, args=('now',)).start()") == ""


def test_lines_of_libraries_are_json():
    """Without a terminal, a library's line is JSON that names the library; the host of a service is no secret."""
    (line,) = logged("json", "logging.getLogger('apprise.json').warning('to alerts.example')").splitlines()
    about = json.loads(line)

    assert about.pop("timestamp").endswith("Z")
    assert about == {
        "event": "library.said",
        "library": "apprise.json",
        "message": "to alerts.example",
        "level": "warning",
    }
