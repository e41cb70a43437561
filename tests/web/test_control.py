"""Orders of the page Now: off without a token, a POST of the bot's own page with it, and the effect of the commands."""

import threading
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import requests
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bot.daemon import wiring
from bot.errors import BadConfig
from bot.record.heartbeat import Heartbeat
from bot.record.ledger import Ledger
from bot.settings import load_settings
from bot.web import _control, application
from tests.harness import page_states as states

TOKEN = "open-sesame-open-sesame"  # noqa: S105 - of this test
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve the pages of a state with an open round as the daemon does, with more settings."""
    states.made_state(tmp_path, rounds=3)
    states.open_round(tmp_path).close()
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BOT_MODE", "live")
    monkeypatch.setenv("BOT_SLOTS", "mixer=standard,trees=demo")
    monkeypatch.setenv("BOT_HTTP_PORT", "0")
    with ExitStack() as running:

        def start(**settings):
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            loop = SimpleNamespace(heartbeat=Heartbeat(folder=tmp_path), accounts=[], wake=threading.Event())
            web = running.enter_context(wiring._web(load_settings(), loop))
            assert web.opened.wait(60)
            return SimpleNamespace(url=f"http://127.0.0.1:{web.port}", folder=tmp_path, wake=loop.wake)

        yield start


@pytest.fixture
def controlled(serve):
    return serve(BOT_CONTROL_TOKEN=TOKEN)


@pytest.fixture
def lines():
    with structlog.testing.capture_logs() as found:
        yield found


def order(one, name, headers=None, **fields):
    return requests.post(f"{one.url}/control/{name}", data={"token": TOKEN, **fields}, headers=headers, timeout=60)


def pauses(one):
    with closing(Ledger(one.folder / "ledger.sqlite")) as ledger:
        return {pause.slot: pause.until for pause in ledger.pauses(datetime.now(UTC))}


def retries(one):
    with closing(Ledger(one.folder / "ledger.sqlite")) as ledger:
        return ledger.newest_order()


def test_without_a_token_there_is_no_control(serve):
    """The routes are not there, the page has no button, and it may send no form."""
    one = serve()
    page = requests.get(one.url, timeout=60)

    assert [order(one, name).status_code for name in _control.ORDERS] == [404] * 3
    assert "<form" not in page.text
    assert "form-action 'none'" in page.headers["Content-Security-Policy"]


def test_orders_have_the_effect_of_the_commands(controlled):
    """A slot is paused until a time, resumed, and the open round is tried again; each wakes the loop and says what it did."""
    paused = order(controlled, "pause", slot="mixer", until="6h")
    during = pauses(controlled)
    resumed = order(controlled, "resume", slot="mixer", until="")
    after, before = pauses(controlled), retries(controlled)
    retried = order(controlled, "retry", slot="")

    assert [one.status_code for one in (paused, resumed, retried)] == [200] * 3
    assert "slot mixer is paused until" in paused.text
    assert (list(during), after) == (["mixer"], {})
    assert during["mixer"] is not None
    assert "mixer is resumed" in resumed.text
    assert retries(controlled) > before
    assert f"round {states.NEWEST + 1}: the bot tries every slot" in retried.text
    assert controlled.wake.is_set()


def test_every_slot_is_paused_without_a_name(controlled):
    """The empty choice of the form means all slots, and no end means until it is resumed."""
    order(controlled, "pause", slot="", until=" ")

    assert pauses(controlled) == {"": None}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"slot": "other"}, "slot &#x27;other&#x27; is unknown; slots: mixer, trees"),
        ({"slot": "<script>"}, "slot &#x27;&lt;script&gt;&#x27; is unknown"),
        ({"until": "yesterday"}, "is no time"),
        ({"until": "2020-01-01"}, "is in the past"),
    ],
)
def test_a_bad_order_says_why_and_changes_nothing(controlled, fields, reason):
    """An unknown slot or time is a page with its reason and a way back."""
    answered = order(controlled, "pause", **fields)

    assert answered.status_code == 400
    assert reason in answered.text
    assert 'href="/"' in answered.text
    assert pauses(controlled) == {}


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "é" * 20, "\0"])
def test_a_wrong_token_changes_nothing(controlled, monkeypatch, lines, token):
    """It is answered after a pause with 403, and is in no line of the log."""
    monkeypatch.setattr(application, "GUESS_S", 0.01)
    answered = order(controlled, "pause", token=token)

    assert answered.status_code == 403
    assert pauses(controlled) == {}
    assert not [line for line in lines if len(token) > 1 and token in str(line)]


def test_guesses_are_few(controlled, monkeypatch):
    """Five wrong tokens a minute are answered, further ones get 429; the right one still works."""
    monkeypatch.setattr(application, "GUESS_S", 0.01)
    found = [order(controlled, "pause", token=f"guess-{number}").status_code for number in range(8)]

    assert found == [403] * 5 + [429] * 3
    assert order(controlled, "pause").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"}, {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
    ],
)  # fmt: skip
def test_an_order_of_another_origin_is_refused(controlled, headers):
    """A page of a stranger cannot give orders, even one that knows the token."""
    answered = order(controlled, "pause", headers=headers)

    assert answered.status_code == 403
    assert pauses(controlled) == {}


def test_an_order_by_another_name_is_refused(controlled):
    """A name that is pointed at the bot (DNS rebinding) gets no order through."""
    assert order(controlled, "pause", headers={"Host": "evil.example.org"}).status_code == 400
    assert pauses(controlled) == {}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_a_post_is_an_order(controlled, method):
    """The token is never a part of an address."""
    answered = requests.request(method, f"{controlled.url}/control/pause?token={TOKEN}", timeout=60)

    assert answered.status_code == 405
    assert pauses(controlled) == {}


def test_a_token_in_the_address_is_not_taken(controlled, monkeypatch):
    """Only the body counts."""
    monkeypatch.setattr(application, "GUESS_S", 0.01)
    answered = requests.post(f"{controlled.url}/control/pause?token={TOKEN}", data={"slot": ""}, timeout=60)

    assert answered.status_code == 403


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/json"}, b'{"token": "x"}'), ({}, b"token=x"), (FORM, b"\xff\xfe=1"), (FORM, b"a&b"),
        (FORM, b"&".join(b"a=1" for _ in range(50))), (FORM, b"a=" + b"x" * 5000), ({"Content-Type": "\xe9"}, b""),
    ],
)  # fmt: skip
def test_nonsense_is_no_order(controlled, headers, body):
    """What is no form of the page is refused before a token is looked for."""
    answered = requests.post(f"{controlled.url}/control/pause", data=body, headers=headers, timeout=60)

    assert answered.status_code in (400, 413)
    assert pauses(controlled) == {}


@given(st.text(), st.text())
def test_only_the_token_is_right(token, given):
    """Whatever text is given, it is right only if it is the token."""
    assert _control.is_right(token.encode("utf-8", "replace").decode(), given) == (
        token.encode("utf-8", "replace") == given.encode("utf-8", "replace")
    )


def test_a_retry_without_a_bot_says_what_to_do(controlled):
    """An order that cannot be followed has the message of the command."""
    states.kill(controlled.folder)
    answered = order(controlled, "retry")

    assert answered.status_code == 400
    assert "no bot runs with" in answered.text


def test_the_log_has_the_order_and_not_the_token(controlled, lines):
    """Who reads the log knows that a person paused a slot through the pages."""
    order(controlled, "pause", slot="mixer")

    assert {"event": "web.order", "order": "pause", "slot": "mixer", "log_level": "info"} in lines
    assert TOKEN not in str(lines)


def test_the_buttons_work_in_a_browser(controlled, browser):
    """A person chooses a slot, types the token and presses a button; the page says what was done and has a way back."""
    page = browser.new_page()
    page.goto(controlled.url)
    page.select_option("select[name=slot]", "trees")
    page.fill("input[name=until]", "2d")
    page.fill("input[name=token]", TOKEN)
    page.click("button:has-text('Pause')")
    said = page.locator("main").inner_text()
    address = page.url
    page.click("text=Back to the page Now")
    now = page.locator("main").inner_text()
    page.close()

    assert "slot trees is paused until" in said
    assert TOKEN not in address
    assert "trees is paused until" in now
    assert list(pauses(controlled)) == ["trees"]


def test_a_page_that_is_renewed_keeps_what_is_typed(controlled, browser):
    """A minute passes while a person types: the field keeps its text; without it the page is renewed, and the focus stays."""
    page = browser.new_page()
    page.clock.install()
    page.goto(controlled.url)
    page.fill("input[name=token]", "half a tok")
    page.evaluate("document.querySelector('main').dataset.old = 'yes'")
    page.clock.run_for(61_000)
    kept = page.locator("input[name=token]").input_value()
    page.fill("input[name=token]", "")
    link = page.locator("nav a").nth(1)
    link.focus()
    page.clock.run_for(61_000)
    # The page's own clock stands still, so that only this process can wait.
    while page.evaluate("!!document.querySelector('main').dataset.old"):
        threading.Event().wait(0.02)
    focused = page.evaluate("document.activeElement.textContent")
    page.close()

    assert kept == "half a tok"
    assert focused == "Live scores"


@pytest.mark.parametrize("token", ["x", "short-token-15c", "slash/slash/slash/slash"])
def test_a_weak_token_is_refused_at_the_start(monkeypatch, token):
    """A token that can be guessed is a setting that is not usable, and the message does not have it."""
    monkeypatch.setenv("BOT_CONTROL_TOKEN", token)

    with pytest.raises(BadConfig, match="BOT_CONTROL_TOKEN: must be 16 to 200") as refused:
        load_settings()
    assert token not in str(refused.value).replace("text", "")
