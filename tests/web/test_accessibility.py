"""Every page against WCAG A and AA by axe, in light, in dark and on a phone; and by keyboard, without motion."""

from contextlib import closing
from datetime import UTC, datetime

import pytest

from bot.web.application import error_page, message_page
from bot.web.pages import Pages
from tests.harness import page_states as states
from tests.harness.accessibility import violations

SCREENS = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light"), "phone, dark": (390, "dark")}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The HTML of every page, with everything on it that it may have: problems, buttons, work, refusals, charts."""
    folder, young = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("young")
    path = states.made_state(folder, rounds=60)
    newest, champion, trees, first = sorted((one.name for one in (folder / "artifacts").glob("2*")), reverse=True)
    now = datetime.now(UTC)
    states.working(folder)
    states.diagnosed(folder, newest, "CORR differs in 4 of 87 eras")
    with closing(states.open_round(folder)) as ledger:
        states.confirm(ledger, states.NEWEST + 1, "trees", trees, now)
        states.refuse(ledger, "mixer", champion, now)
        ledger.pause("trees", until=None, at=now)
    states.kill(folder)
    (folder / "artifacts" / first / "evaluation.json").unlink()
    pages, new = Pages(folder, path, control=("mixer", "trees")), Pages(young, states.made_state(young, rounds=1))
    found = {
        "now": pages.now(), "live": pages.live(), "models": pages.models(), "round": pages.round(str(states.NEWEST)),
        "refused round": pages.round(str(states.NEWEST + 1)), "compare": pages.compare(f"{newest}/{champion}"),
        "no comparison": pages.compare(f"{first}/{champion}"), "compare with": pages.compare(newest), "compare all": pages.compare(""), "young live": new.live(),
        "error": error_page(404, "There is no such page."), "done": message_page("Done", ["slot mixer is paused"]),
    }  # fmt: skip
    return {name: bytes(page.body).decode() for name, page in found.items()}


def opened(browser, html, *, wide=1280, scheme="light"):
    page = browser.new_page(viewport={"width": wide, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
    page.set_content(html)
    return page


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(
    "name",
    [
        "now",
        "live",
        "models",
        "round",
        "refused round",
        "compare",
        "no comparison",
        "compare with",
        "compare all",
        "young live",
        "error",
        "done",
    ],
)
def test_axe_finds_no_violation(browser, drawn, name, screen):
    """Contrast, names, structure, tables and focus meet WCAG 2.2 A and AA."""
    wide, scheme = SCREENS[screen]
    page = opened(browser, drawn[name], wide=wide, scheme=scheme)
    found = violations(page)
    page.close()

    assert found == []


def test_axe_finds_what_is_wrong(browser, drawn):
    """A pale text and a field without a name are found, so that an empty list means something."""
    page = opened(
        browser, drawn["now"].replace("</main>", '<p style="color:#ccc;background:#fff">pale</p><input></main>')
    )
    found = violations(page)
    page.close()

    assert {one.partition(":")[0] for one in found} == {"color-contrast", "label"}


@pytest.mark.parametrize("name", ["now", "live", "models", "round", "compare"])
def test_a_keyboard_reaches_the_content_first_and_every_link(browser, drawn, name):
    """The first stop skips to the content; each link, field and table that scrolls is a stop, and its focus is visible."""
    page = opened(browser, drawn[name])
    page.keyboard.press("Tab")
    first = page.evaluate(
        "[document.activeElement.getAttribute('href'), document.activeElement.getBoundingClientRect().top]"
    )
    page.keyboard.press("Enter")
    inside = page.evaluate("document.activeElement.id")
    wanted = page.evaluate(
        "[...document.querySelectorAll('main a, main button, main input, main select, main [role=region]')].length"
    )
    visited = set()
    for _ in range(wanted + 60):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            "(() => { const one = document.activeElement; if (!one.closest('main')) return null;"
            " const style = getComputedStyle(one); one.dataset.stop ??= String(Math.random());"
            " return [one.dataset.stop, one.matches('a, button, input, select, [role=region]'), style.outlineStyle] })()"
        )
        if seen is None:
            break
        visited.add((seen[0], seen[1]))
        assert seen[2] != "none"
    page.close()

    assert first[0] == "#content"
    assert first[1] >= 0
    assert inside == "content"
    assert len([one for one in visited if one[1]]) == wanted


@pytest.mark.parametrize("name", ["now", "live", "models"])
def test_nothing_moves_by_itself(browser, drawn, name):
    """For a reader who asks for less motion there is no animation and no transition."""
    page = opened(browser, drawn[name])
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].filter(one => { const style = getComputedStyle(one);"
        " return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0 }).length + document.getAnimations().length"
    )
    page.close()

    assert moving == 0


@pytest.mark.parametrize("wide", [320, 390, 768])
@pytest.mark.parametrize("name", ["now", "live", "models", "round", "refused round", "compare", "error"])
def test_a_narrow_screen_needs_no_sideways_scrolling(browser, drawn, name, wide):
    """Only tables scroll sideways, each by itself."""
    page = opened(browser, drawn[name], wide=wide)
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.close()

    assert over <= 0


def test_no_page_is_heavy_or_loads_anything(drawn):
    """Each page is at most 150 kB and names no other host."""
    for name, html in drawn.items():
        assert len(html.encode()) <= 150_000, name
        assert "http://" not in html.replace("http://www.w3.org", ""), name
        assert "https://" not in html, name
