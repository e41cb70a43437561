"""What every test may rely on: no settings from the outside, and the real samples where they are at hand."""

import logging
import os
import shutil
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import structlog

from bot.system import redaction

# The suite runs in as many processes as there are cores; a thread for every core in each of them would only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run: a change passes or fails for what it changes. HYPOTHESIS_PROFILE=default draws new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_modifyitems(items):
    """Begin with the modules that take long: one that began last would leave the other cores idle at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow") or "integration" in item.path.parts}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """Keep the developer's own keys and settings out of every test."""
    for name in list(os.environ):
        if name.startswith(("BOT_", "NUMERAI_")):
            monkeypatch.delenv(name)


@contextmanager
def own_logging():
    """Undo the logging that a command sets up in this process, where its standard error is closed afterwards."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    yield
    redaction.forget()
    root.handlers[:], (sys.excepthook, threading.excepthook) = handlers, hooks
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture(autouse=True)
def _logging_of_a_test():
    with own_logging():
        yield


@pytest.fixture(autouse=True, scope="module")
def _logging_of_a_module():
    """Fixtures of a module run commands too."""
    with own_logging():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real Numerai samples beside the repository, or skip."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real Numerai samples are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def browser():
    """Return a headless Chromium, or skip where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
