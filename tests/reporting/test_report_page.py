"""The page of an evaluation: complete, small, self-contained, and usable in a real browser."""

import json
import re
import time
from importlib.resources import files

import numpy as np
import pytest

from bot.reporting import report_page
from tests.reporting.evaluated import GROUPS, MEMBERS, evaluation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    report_page.write(evaluation(), path)
    return path


@pytest.fixture
def open_page(browser, page_path):
    """Return a function that opens the page and records its requests and errors; pages are closed in the end."""
    pages = []

    def open_(**options):
        page = browser.new_page(**options)
        pages.append(page)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(page_path.as_uri())
        return page

    yield open_
    for page in pages:
        page.close()


def test_template_styles_and_script_are_package_data():
    """Template, styles and script are files of the installed package."""
    folder = files("bot") / "templates"

    assert {one.name for one in folder.iterdir()} >= {"report.html.j2", "charts.css", "charts.js"}


def test_page_names_artifact_decision_members_and_groups():
    """The page names artifact, decision and its checks, members, groups, and figures that were not computed."""
    html = report_page.render_page(evaluation())

    for word in (
        "2026-11-24T120000Z-abcd",
        "promoted",
        "skipped",
        "refused",
        *MEMBERS,
        *GROUPS,
        "holds none of the eras",
    ):
        assert word in html


def test_page_refers_to_nothing_outside_itself():
    """The page loads no address, import or font, and its own policy forbids it."""
    html = report_page.render_page(evaluation())

    assert not re.search(r"(?:src|href)=\"(?!#|data:)", html)
    assert not re.search(r"https?://|@import|url\(", html)
    assert "default-src 'none'" in html


def test_foreign_names_stay_text():
    """Names and reasons in the data cannot add elements to the page."""
    content = evaluation()
    content["decision"]["reason"] = "<script>boom()</script>"
    content["worst"][0]["features"] = [["<img src=x>", -0.1]]

    html = report_page.render_page(content)

    assert "<script>boom" not in html
    assert "<img" not in html


@pytest.mark.parametrize("change", [{"champion": False}, {"network": False}, {"eras": 3}], ids=str)
def test_page_is_complete_without_some_figures(change):
    """Without a champion, without a network or with three eras, the page is complete."""
    html = report_page.render_page(evaluation(**change) if "eras" not in change else evaluation(3, champion=False))

    assert html.rstrip().endswith("</html>")


def test_figures_survive_json(page_path):
    """The page of figures read back from JSON is the same."""
    assert report_page.render_page(json.loads(json.dumps(evaluation()))) == page_path.read_text()


def test_a_page_of_a_thousand_eras_is_quick_and_small():
    """A page of a thousand eras takes under five CPU seconds and one megabyte."""
    content = evaluation(1000)
    began = time.process_time()
    html = report_page.render_page(content)

    assert time.process_time() - began < 5
    assert len(html.encode()) < 1_000_000


def test_running_figures_by_hand():
    """Sums skip eras without a score, a drawdown starts at the peak, and a rolling Sharpe needs a full window."""
    series = np.array([1.0, np.nan, -3.0, 1.0])

    np.testing.assert_array_equal(report_page.running_sum(series), [1.0, np.nan, -2.0, -1.0])
    np.testing.assert_array_equal(report_page.drawdown(series), [0.0, 0.0, -3.0, -2.0])
    np.testing.assert_allclose(report_page.rolling_sharpe(np.array([1.0, 3.0, 3.0]), 2), [np.nan, 2.0, np.nan])


def test_page_opens_in_a_browser_without_errors(open_page):
    """The browser renders the page, logs nothing, and requests nothing but the page."""
    page = open_page()

    assert page.locator("svg").count() > 20
    assert page.locator("h1").inner_text().startswith("Artifact 2026-11-24T120000Z-abcd")
    assert page.errors == []
    assert page.requests == [page.url]


def test_pointing_at_a_chart_shows_the_era_and_every_series(open_page):
    """The tooltip has the era under the pointer and the values of all series."""
    page = open_page()
    plot = page.locator(".chart.lines .plot").nth(1)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    tip = page.locator("#tip").inner_text()

    assert re.match(r"00(60|61)\b", tip)
    assert all(name in tip for name in MEMBERS)
    assert plot.locator(".cross").count() == 1

    page.mouse.move(1, 1)
    assert page.locator("#tip").is_hidden()


def test_arrow_keys_step_through_a_chart(open_page):
    """The arrow keys step through the eras of a chart with the focus."""
    page = open_page()
    page.locator(".chart.lines .plot").nth(1).focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")

    assert first.startswith("0001")
    assert page.locator("#tip").inner_text().startswith("0002")


def test_legend_hides_a_series_and_shows_it_again(open_page):
    """A click hides the line, in tooltips too, and a second click shows it again."""
    page = open_page()
    figure = page.locator(".chart.lines").nth(1)
    button, line = figure.locator("[data-toggle='1']"), figure.locator("[data-series='1'] .line")
    button.click()

    assert not line.is_visible()
    assert button.get_attribute("aria-pressed") == "false"
    figure.locator(".plot").hover()
    assert "tsmixer" not in page.locator("#tip").inner_text()

    button.click()
    assert line.is_visible()


def test_bars_and_cells_have_tooltips(open_page):
    """The tooltip of a bar has value and interval, that of a heat cell its row and column."""
    page = open_page()
    page.locator(".chart.bars .bar").nth(2).hover()
    assert re.search(r": \d\.\d+ \(\d\.\d+ to \d\.\d+\)", page.locator("#tip").inner_text())
    cell = page.locator(".chart.heat rect").first
    cell.evaluate("one => one.scrollIntoView({block: 'center'})")
    cell.hover()
    assert " · " in page.locator("#tip").inner_text()


def test_phone_needs_no_sideways_scrolling(open_page):
    """On a narrow screen, the page is as wide as the screen."""
    page = open_page(viewport={"width": 360, "height": 740})

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_dark_mode_follows_the_reader(open_page):
    """With a dark scheme the background is dark and the text light; with a light scheme the background is light."""

    def brightness(scheme):
        page = open_page(color_scheme=scheme)
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        return [sum(int(part) for part in re.findall(r"\d+", colour)[:3]) for colour in colours]

    (dark_paper, dark_ink), (paper, ink) = brightness("dark"), brightness("light")
    assert max(dark_paper, ink) < 150
    assert min(paper, dark_ink) > 600
