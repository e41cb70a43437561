"""
Pictures of the daemon's pages in all their states, wide, on a phone and in the dark, and the weight of each page.

``python -m tests.harness.page_pictures FOLDER`` draws the pages from made states; it needs chromium, and no daemon.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

from bot.web.pages import Pages
from tests.harness import page_states as states

SCREENS = {"wide": (1280, "light"), "phone": (390, "light"), "dark": (1280, "dark")}


def drawn_pages(root: Path) -> Iterator[tuple[str, str]]:
    """Yield name and HTML of each page in each state."""
    for name in ("quiet", "open", "confirmed", "refused", "down"):
        yield f"now-{name}", text(now_state(root / name, name).now())
    for count in (0, 1, 5, 60):
        path = states.made_state(root / f"live-{count}", rounds=count)
        yield f"live-{count}", text(Pages(path.parent, path).live())
    path = states.made_state(root / "rest", rounds=30)
    pages = Pages(path.parent, path)
    yield "models", text(pages.models())
    newest, champion = sorted((one.name for one in (path.parent / "artifacts").glob("2*")), reverse=True)[:2]
    yield "compare", text(pages.compare(f"{newest}/{champion}"))
    yield "compare-with", text(pages.compare(newest))
    yield "round", text(pages.round(str(states.NEWEST)))
    refused = now_state(root / "refused-round", "refused")
    yield "round-refused", text(refused.round(str(states.NEWEST + 1)))


def now_state(folder: Path, name: str) -> Pages:
    """Make the state *name* of the page Now."""
    now = datetime.now(UTC)
    path = states.made_state(folder, rounds=25)
    champions = sorted(one.name for one in (folder / "artifacts").glob("2*"))
    if name in ("open", "confirmed", "refused"):
        with closing(states.open_round(folder)) as ledger:
            if name == "open":
                ledger.start_job("retrain", now - timedelta(minutes=20))
                states.working(folder)
            if name == "confirmed":
                for slot, identity in zip(states.SLOTS, (champions[2], champions[1]), strict=True):
                    states.confirm(ledger, states.NEWEST + 1, slot, identity, now - timedelta(minutes=15))
            if name == "refused":
                states.confirm(ledger, states.NEWEST + 1, "trees", champions[1], now - timedelta(minutes=15))
                states.refuse(ledger, "mixer", champions[2], now - timedelta(minutes=14))
    if name == "down":
        states.kill(folder)
    return Pages(folder, path)


def text(page: object) -> str:
    """Return the HTML of a page."""
    return bytes(page.body).decode()  # type: ignore[attr-defined]


def take(folder: Path) -> None:
    """Write the pictures into *folder*, and print the weight of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pages-") as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for name, html in drawn_pages(Path(root)):
            print(f"{name:<16} {len(html.encode()) / 1000:7.1f} kB")
            for screen, (wide, scheme) in SCREENS.items():
                page = browser.new_page(viewport={"width": wide, "height": 800}, color_scheme=scheme)
                page.set_content(html)
                page.screenshot(path=folder / f"{name}-{screen}.png", full_page=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
