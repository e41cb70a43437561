"""The page of an evaluation: complete, small, self-contained, and usable in a real browser."""

import json
import re
import time
from importlib.resources import files

import numpy as np
import pytest

from bot.reporting import comparison_page, report_page
from tests.harness.accessibility import violations
from tests.reporting.evaluated import GROUPS, MEMBERS, comparison, evaluation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    report_page.write(evaluation(), path)
    return path


@pytest.fixture(scope="module")
def comparison_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("comparison") / "page.html"
    comparison_page.write(comparison(), path)
    return path


@pytest.fixture
def open_page(browser, page_path):
    """Return a function that opens the page and records its requests and errors; pages are closed in the end."""
    pages = []

    def open_(path=page_path, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(path.as_uri())
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


def test_the_decision_is_a_sentence_with_its_reason():
    """A promoted artifact has its reason, a refused one the reasons of its refusing checks, and whether a champion stays."""
    content = evaluation()
    promoted = report_page.render_page(content)
    content["decision"] |= {"promote": False, "champion": "2026-11-17T120000Z-0000"}
    content["decision"]["findings"][2]["message"] = "drawdown: cumulative CORR falls too far (1.5, at most 1)"
    refused = report_page.render_page(content)
    content["decision"]["champion"] = None
    first = report_page.render_page(content)

    assert "Promoted, because CORR 0.0200 on the hold-out is more than chance." in promoted
    assert "Not promoted, because cumulative CORR falls too far (1.5, at most 1)." in refused
    assert "The champion 2026-11-17T120000Z-0000 stays." in refused
    assert "There is still no champion." in first


def test_scores_are_read_in_words():
    """Sentences say on which side of zero an interval lies, and how far the ensemble is from the benchmark."""
    content = evaluation()
    content["members"]["ensemble"]["corr"] |= {"mean": 0.02, "low": 0.01, "high": 0.03}
    content["references"]["benchmark"] |= {"mean": 0.03}
    content["differences"]["benchmark"] |= {"mean": -0.01, "low": -0.02, "high": 0.005}
    html = report_page.render_page(content)

    assert "mean CORR is 0.0200; the interval from 0.0100 to 0.0300 is above zero." in html
    assert "The benchmark model has 0.0300. The ensemble is 0.0100 below it in the same 120 eras" in html
    assert "includes zero, so neither is proven better." in html


def test_the_benchmark_has_a_row_beside_the_members():
    """The table of scores has rows of the benchmark model and of the distance from it; older figures have none."""
    content = evaluation()
    html = report_page.render_page(content)
    for name in ("references", "differences"):
        del content[name]
    older = report_page.render_page(content)

    assert html.count(">benchmark model<") == html.count(">ensemble less benchmark model<") == 1
    assert "benchmark model<" not in older


def test_a_comparison_says_which_recipe_pays_more(comparison_path):
    """The page begins with the difference in pay and whether it is more than noise."""
    html = comparison_path.read_text()

    assert "contribution pays 0.0100 less per era than standard; that is 5.0 standard errors, more than noise." in html


def test_no_card_is_empty():
    """Without champion, network, contribution and drift the page has neither their cards nor their sections."""
    content = evaluation(champion=False, network=False)
    content["drift"] = []
    for name in ("mmc", "bmc"):
        del content["series"][name]
        for member in content["members"].values():
            del member[name]
    html = report_page.render_page(content)

    assert "nothing to draw" not in html
    assert not re.search(r'class="card[^"]*">\s*</div>', html)
    assert 'id="drift"' not in html
    assert "not computed</span>" not in html


def test_page_refers_to_nothing_outside_itself():
    """The page loads no address, import or font, and its own policy forbids it."""
    html = report_page.render_page(evaluation())

    assert not re.search(r"(?:src|href)=\"(?!#|data:)", html)
    assert not re.search(r"https?://|@import|url\(", html)
    assert "default-src 'none'" in html


def test_nothing_moves():
    """The page has no animation and no transition, so a reader who wants less motion has none."""
    assert not re.search(
        r"animation|transition|smooth|setInterval|requestAnimationFrame", report_page.render_page(evaluation())
    )


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


@pytest.mark.parametrize(("eras", "kilobytes"), [(250, 150), (1000, 250)])
def test_a_page_of_many_eras_is_quick_and_small(eras, kilobytes):
    """A page of 250 eras weighs at most 150 kB, one of a thousand 250 kB; either takes under five CPU seconds."""
    content = evaluation(eras)
    began = time.process_time()
    html = report_page.render_page(content)

    assert time.process_time() - began < 5
    assert len(html.encode()) <= kilobytes * 1000


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
    assert page.locator("h1").inner_text().startswith("standard of 2026-11-24")
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

    assert re.match(r"era 00(60|61)\b", tip)
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

    assert first.startswith("era 0001")
    assert page.locator("#tip").inner_text().startswith("era 0002")


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
    tip = page.locator("#tip")
    page.locator(".chart.bars .area").nth(1).hover(position={"x": 5, "y": 30})
    assert re.fullmatch(r"group1: \d\.\d+ \(\d\.\d+ to \d\.\d+\)", tip.inner_text())
    area = page.locator(".chart.heat .area").first
    area.hover(position={"x": 5, "y": 5})
    assert tip.inner_text() == "tsmixer · tsmixer: 1.00"
    area.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert tip.inner_text() == "gbm · gbm: 1.00"


def test_phone_needs_no_sideways_scrolling(open_page):
    """On a narrow screen, the page is as wide as the screen."""
    page = open_page(viewport={"width": 360, "height": 740})

    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_dragging_zooms_and_a_double_click_shows_everything_again(open_page):
    """The chart shows the dragged eras with labels of their own, its tooltips are theirs, and a double click ends it."""
    page = open_page()
    figure = page.locator(".chart.lines").nth(1)
    plot, area = figure.locator(".plot"), figure.locator(".plot svg")
    before = plot.inner_html()
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 40, steps=3)
    page.mouse.up()
    left, _, width, _ = (float(one) for one in area.get_attribute("viewBox").split())

    assert (left, width) == (pytest.approx(119 * 0.5, abs=1), pytest.approx(119 * 0.2, abs=1))
    assert plot.locator(".x").first.inner_text() == f"{int(left) + 2:04d}"
    page.mouse.move(box["x"] + 1, box["y"] + 40)
    assert page.locator("#tip").inner_text().startswith(f"era {int(left) + 2:04d}")

    plot.dblclick(position={"x": 100, "y": 40})
    page.mouse.move(1, 1)
    assert plot.inner_html() == before


def test_keys_and_buttons_zoom(open_page):
    """Plus and minus halve and double the range, zero shows all of it, and so do the buttons."""
    page = open_page()
    figure = page.locator(".chart.lines").nth(1)
    area = figure.locator(".plot svg")

    def width():
        return float(area.get_attribute("viewBox").split()[2])

    figure.locator(".plot").focus()
    widths = [width()]
    for key in ("+", "+", "-", "0"):
        page.keyboard.press(key)
        widths.append(width())
    figure.get_by_role("button", name="Zoom in").click()
    widths.append(width())
    figure.get_by_role("button", name="Zoom in").click()
    out = figure.get_by_role("button", name="Zoom out")
    out.click()
    assert out.evaluate("one => one === document.activeElement")
    figure.get_by_role("button", name="Whole range").click()

    assert [*widths, width()] == [119, 59.5, 29.75, 59.5, 119, 59.5, 119]
    assert figure.get_by_role("button", name="Zoom out").count() == 0
    assert figure.locator(".plot").evaluate("one => one === document.activeElement")


def test_a_zoomed_axis_covers_what_is_shown(open_page):
    """The vertical axis of a zoomed chart covers the values in sight, and less than before."""
    page = open_page()
    figure = page.locator(".chart.lines", has_text="Cumulative BMC")

    def axis():
        labels = figure.locator(".plot .y").all_inner_texts()
        values = [float(one.replace("\N{MINUS SIGN}", "-")) for one in labels]
        return min(values), max(values)

    before = axis()
    figure.locator(".plot").focus()
    page.keyboard.press("End")
    for _ in range(3):
        page.keyboard.press("+")
    low, high = axis()
    series = [report_page.running_sum(np.array(one, float))[-7:] for one in evaluation()["series"]["bmc"].values()]

    assert low <= np.min(series)
    assert np.max(series) <= high
    assert high - low < before[1] - before[0]


def test_full_screen_shows_one_chart_and_gives_it_back(open_page):
    """The button shows the chart alone, larger and with its tooltip; Escape or the button puts it back with the focus."""
    page = open_page()
    figure = page.locator(".chart.lines").nth(1)
    small = figure.locator(".plot").bounding_box()["height"]
    button = figure.get_by_role("button", name="Full screen")
    button.click()
    large = page.locator("dialog .plot")

    assert large.bounding_box()["height"] > 1.5 * small
    large.hover()
    assert page.locator("dialog #tip").is_visible()

    page.locator("dialog").get_by_role("button", name="Full screen").click()
    page.locator("dialog").wait_for(state="detached")
    assert figure.locator(".plot").bounding_box()["height"] == small
    assert button.evaluate("one => one === document.activeElement")
    assert page.errors == []


def test_page_is_whole_without_its_script(browser, page_path):
    """Without scripts every line, bar and cell is drawn, and no button does nothing."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(page_path.as_uri())

        assert page.locator(".plot .line").first.bounding_box()["width"] > 200
        assert page.locator(".bars .area path").first.bounding_box()["width"] > 50
        assert page.locator(".heat .area path").first.bounding_box()["height"] > 10
        assert page.locator(".tool").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_the_limit_of_every_check_is_in_sight(open_page, width):
    """At every width the last column of the decision ends inside its card."""
    page = open_page(viewport={"width": width, "height": 900})
    cells = page.locator(".checks td:last-child")
    ends = [cell.bounding_box()["x"] + cell.bounding_box()["width"] for cell in cells.all()]
    card = page.locator(".wide:has(.checks)").bounding_box()

    assert len(ends) == len(evaluation()["decision"]["findings"])
    assert max(ends) <= card["x"] + card["width"] + 1


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_of_charts_do_not_overlap(open_page, width):
    """Labels under every chart are apart from each other at every width."""
    page = open_page(viewport={"width": width, "height": 900})
    overlapping = page.evaluate(
        """() => [...document.querySelectorAll(".plot, .under, .cells")].flatMap((axis) => {
            const boxes = [...axis.querySelectorAll(":scope > .x, :scope > span:not(.y)")].map((one) => {
                const range = document.createRange();
                range.selectNodeContents(one);
                return range.getBoundingClientRect();
            });
            return boxes.filter((one, index) => boxes.slice(index + 1).some((other) =>
                one.left < other.right - 0.5 && other.left < one.right - 0.5
                && one.top < other.bottom - 0.5 && other.top < one.bottom - 0.5)).map(() => axis.closest("figure").dataset.title);
        })"""
    )

    assert overlapping == []


@pytest.mark.parametrize(
    "options", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}], ids=str
)
@pytest.mark.parametrize("name", ["page_path", "comparison_path"])
def test_no_rule_of_accessibility_is_violated(request, open_page, name, options):
    """Axe finds no violation of WCAG 2.2 A and AA: wide, on a phone, in light and in dark."""
    page = open_page(request.getfixturevalue(name), reduced_motion="reduce", **options)

    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_in_cells_have_contrast(open_page, scheme):
    """Numbers of a heat chart have a contrast of at least 4.5 to every colour of its cells; axe cannot see these."""
    page = open_page(color_scheme=scheme)
    ink, card, full, *signs = page.evaluate(
        """() => {
            const style = getComputedStyle(document.querySelector(".numbered .area"));
            return ["--ink", "--card", "--full", "--up", "--down"].map((name) => style.getPropertyValue(name));
        }"""
    )

    def light(colour):
        steps = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in colour]
        return np.dot(steps, [0.2126, 0.7152, 0.0722])

    def rgb(text):
        return np.array([int(text[index : index + 2], 16) for index in (1, 3, 5)]) / 255

    for sign in signs:
        share = float(full.rstrip("%")) / 100
        bright = sorted([light(rgb(ink)), light(share * rgb(sign) + (1 - share) * rgb(card))])
        assert (bright[1] + 0.05) / (bright[0] + 0.05) >= 4.5, (sign, scheme)


def test_print_is_light_and_needs_no_scrolling(open_page):
    """On paper the page is light for a reader of dark pages too, without navigation and buttons, and nothing is cut off."""
    page = open_page(color_scheme="dark", viewport={"width": 720, "height": 1000})
    page.emulate_media(media="print")

    assert page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("nav").is_hidden()
    assert page.locator(".tool").first.is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


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
