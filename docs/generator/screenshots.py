"""
Take the pictures of the README and of the documentation: the page Now and an artifact's report, in light and in dark.

A bot plays nine rounds against the embedded tournament, reads its scores, and serves its pages; a headless Chromium looks at
them. It takes about two minutes.
"""

import base64
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bot.sandbox.schedule import Schedule
from bot.system.child_environment import ISOLATED
from docs.generator.first_steps import output, played

IMAGES = Path(__file__).resolve().parents[1] / "images"
ROUNDS = 9
INTERVAL = timedelta(hours=1)
WIDE, HIGH = 900, 680
"""Size of each page in the picture."""

PAIR = """<body style="margin:0;display:flex;gap:24px;padding:24px;background:{colour}">
<img src="data:image/png;base64,{left}" width="{wide}"><img src="data:image/png;base64,{right}" width="{wide}"></body>"""


def take(root: Path) -> None:
    """Play the rounds in *root*, and write a picture for each scheme of colours."""
    opened = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - INTERVAL * (ROUNDS - 1)
    with played(root, opened=opened, schedule=Schedule.every(INTERVAL, first_open=opened)) as (environment, clock):
        (root / "bot.toml").write_text('mode = "live"\n[slots]\nsandbox_mixer = "demo"\n')
        output("retrain", environment, root)
        for turn in range(ROUNDS):
            clock.set(opened + INTERVAL * turn + timedelta(minutes=2))
            output("submit --round latest", environment, root)
        output("scores", environment, root)
        with daemon(environment, root) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
            )
            report = next((root / "state" / "reports").glob("[0-9]*.html")).as_uri()
            for scheme in ("light", "dark"):
                picture(browser, scheme, url, report)
                alone(browser, scheme, report)


@contextmanager
def daemon(environment: dict[str, str], root: Path) -> Iterator[str]:
    """Run ``bot run`` until its pages are served and healthy; yield their address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"BOT_HTTP_PORT": str(port), "BOT_RETRAIN": "off", "BOT_SYNC": "1d", "BOT_DIAGNOSTICS": "off"}
    process = subprocess.Popen(  # noqa: S603 - this interpreter
        [*ISOLATED, "-m", "bot", "run"], env={**environment, **quiet}, cwd=root, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(90):
            with suppress(OSError), urllib.request.urlopen(f"{url}healthz", timeout=5) as answer:  # noqa: S310 - loopback
                if answer.status == 200:
                    break
            time.sleep(1)
        time.sleep(20)  # its first look and first jobs
        yield url
    finally:
        process.terminate()
        process.wait(30)


def picture(browser: Browser, scheme: str, now: str, report: str) -> None:
    """Write the picture of both pages in a scheme of colours."""
    page = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme=scheme)
    shots = []
    for address in (now, report):
        page.goto(address)
        shots.append(base64.b64encode(page.screenshot()).decode())
    wide = WIDE * 2 // 3
    pair = browser.new_page(viewport={"width": wide * 2 + 72, "height": HIGH * 2 // 3 + 48})
    colour = {"light": "#e8e8e8", "dark": "#000000"}[scheme]
    pair.set_content(PAIR.format(left=shots[0], right=shots[1], wide=wide, colour=colour))
    IMAGES.mkdir(exist_ok=True)
    pair.screenshot(path=IMAGES / f"pages-{scheme}.png")


def alone(browser: Browser, scheme: str, report: str) -> None:
    """Write the picture of charts of the report, one of them zoomed, in a scheme of colours."""
    page = browser.new_page(viewport={"width": 1200, "height": 860}, color_scheme=scheme)
    page.goto(report)
    figure = page.locator(".chart.lines").first
    figure.evaluate("one => scrollTo(0, one.closest('.grid').getBoundingClientRect().top - 70)")
    box = figure.locator(".plot").bounding_box() or {}
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.screenshot(path=IMAGES / f"report-{scheme}.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        take(Path(folder))
    sys.exit(0)
