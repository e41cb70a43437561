"""Variables that child processes get, and places from which they import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.system import child_environment
from bot.system.child_environment import ISOLATED

ROOT = str(Path(child_environment.__file__).resolve().parents[2])


@pytest.fixture
def outside(monkeypatch):
    """Return a function that replaces this process's variables."""

    def replace(**variables):
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return replace


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "http_proxy", "HTTPS_PROXY", "no_proxy"),
        *("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
        *("BOT_STATE_DIR", "bot_mode", "FAKETIME_TIMESTAMP_FILE", "PYTHONUNBUFFERED", "ORT_DISABLE_TELEMETRY"),
    ],
)
def test_children_get_what_they_need(outside, name):
    """Settings, locale, proxies, certificates, threads and devices reach every child."""
    outside(**{name: "/value"})

    assert child_environment.child_environment()[name] == "/value"


@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        *(
            "BOT_ALERT_URLS",
            "BOT_PING_URL",
            "BOT_WEBHOOK_TOKEN",
            "bot_webhook_token",
            "BOT_CONTROL_TOKEN",
            "BOT_ALERT_URLS_FILE",
        ),
        *("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_URL", "NUMERAI_BOT_HOLDER"),
        *("PYTHONHOME", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONPYCACHEPREFIX"),
    ],
)
def test_no_child_gets_what_only_others_need(outside, name, with_key):
    """Addresses of alerts, other programs' secrets, and variables that change the interpreter reach no child."""
    outside(**{name: "value"})

    assert name not in child_environment.child_environment(with_key=with_key)


@pytest.mark.parametrize("name", ["NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY_FILE", "numerai_secret_key"])
def test_the_key_reaches_only_children_that_need_it(outside, name):
    """The key, or the name of its file, is handed on only where it is asked for."""
    outside(**{name: "value"})

    assert name not in child_environment.child_environment()
    assert child_environment.child_environment(with_key=True)[name] == "value"


@pytest.mark.parametrize(
    "name",
    ["BOT_ARTIFACTS_URL", "bot_artifacts_url", "BOT_ARTIFACTS_URL_FILE", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK"],
)
def test_the_storage_is_known_only_to_children_that_use_it(outside, name):
    """The URL of the storage, and what its library reads, is handed on only where it is asked for."""
    outside(**{name: "value"})

    assert name not in child_environment.child_environment(with_key=True)
    assert child_environment.child_environment(with_storage=True)[name] == "value"


def test_a_child_with_the_storage_gets_no_key(outside):
    """What publishes or fetches packs gets neither the API key nor other programs' secrets."""
    outside(NUMERAI_SECRET_KEY="value", BOT_ALERT_URLS="value", GITHUB_TOKEN="value")

    assert "value" not in child_environment.child_environment(with_storage=True).values()


def test_a_preloaded_library_gets_its_own_variables(outside):
    """Variables that begin with the name of a preloaded library are handed on with it."""
    outside(LD_PRELOAD="/opt/libshim.so.1", SHIM="1", SHIM_FILE="/x", OTHER="2")

    found = child_environment.child_environment()

    assert {"LD_PRELOAD", "SHIM", "SHIM_FILE"} <= set(found)
    assert "OTHER" not in found


def test_lists_of_folders_lose_the_working_folder(outside):
    """An empty or relative entry of PATH or LD_LIBRARY_PATH means the working folder, so it is dropped."""
    outside(PATH=":/usr/bin:.:bin", LD_LIBRARY_PATH=":/opt/lib")

    found = child_environment.child_environment()

    assert (found["PATH"], found["LD_LIBRARY_PATH"]) == ("/usr/bin", "/opt/lib")


def test_a_child_imports_from_no_foreign_folder(outside, tmp_path):
    """Of PYTHONPATH a child gets only folders from which this process runs code, never the working folder."""
    (tmp_path / "elsewhere").mkdir()
    outside(PYTHONPATH=os.pathsep.join(["", ".", str(tmp_path / "elsewhere"), ROOT]), PATH=os.defpath)

    found = child_environment.child_environment().get("PYTHONPATH", "")

    assert set(filter(None, found.split(os.pathsep))) <= {ROOT}


def test_the_isolated_interpreter_ignores_the_working_folder(outside, tmp_path, monkeypatch):
    """A child started as the bot starts them, and a child of that child, import the installed numpy."""
    outside(PATH=os.defpath)
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    inner = (
        "import subprocess, sys; import numpy; sys.exit(subprocess.call([sys.executable, '-c', 'import numpy, bot']))"
    )

    done = subprocess.run(
        [*ISOLATED, "-c", inner], env=child_environment.child_environment(), capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert ISOLATED[0] == sys.executable
