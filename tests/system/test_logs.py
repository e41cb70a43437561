"""What is logged, by the bot and by libraries: parsable, and without secrets whatever carries them."""

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
WAYS = {
    "a value": "structlog.get_logger().info('x', about='SECRETKEY$')",
    "a nested value": "structlog.get_logger().info('x', about={'urls': ['http://h/?X-Amz-Signature=SIGNATURE']})",
    "a traceback of the bot": "try:\n    raise ValueError('PASSWORD')\nexcept ValueError:\n    structlog.get_logger().exception('x')",
    "a library": "logging.getLogger('urllib3').debug('GET %s', 'https://h/f?X-Amz-Signature=SIGNATURE&a=b')",
    "a part of a URL": "logging.getLogger('apprise').debug('POST http://alerts.example/hook-of-mine as someuser QUERYVALUE')",
    "a traceback of a library": "try:\n    raise ValueError('PASSWORD')\nexcept ValueError:\n    logging.exception('x')",
    "an error nobody caught": "raise ValueError('SECRETKEY$ and hook-of-mine')",
    "one in a thread": "import threading\ndef fail(): raise ValueError('SECRETKEY$')\nthreading.Thread(target=fail).start()",
}


def said(form, code):
    script = SETUP.format(form=form) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_way_of_saying_it_shows_a_secret(form):
    """Fields, nested or not, tracebacks, libraries and uncaught errors: each is said, with stars in place of the secret."""
    for way, code in WAYS.items():
        text = said(form, code)

        assert "***" in text, way
        assert [secret for secret in ALL if secret in text] == [], way


def test_a_thread_may_end_itself_in_silence():
    """What Python says nothing of, a thread that exits, is no error in the log either."""
    assert said("json", "import sys, threading\nthreading.Thread(target=sys.exit, args=('now',)).start()") == ""


def test_libraries_speak_json_too():
    """Off a terminal a library's line parses, and names who said it; the host of a service is no secret."""
    (line,) = said("json", "logging.getLogger('apprise.json').warning('to alerts.example')").splitlines()
    about = json.loads(line)

    assert about.pop("timestamp").endswith("Z")
    assert about == {
        "event": "library.said",
        "library": "apprise.json",
        "message": "to alerts.example",
        "level": "warning",
    }
