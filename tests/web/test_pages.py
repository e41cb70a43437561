"""The daemon's pages: content from the state directory, interaction in a real browser, and no request to another host."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import requests

from bot.live.live_scores import LiveScores
from bot.record.diagnostics import ArtifactDiagnostics, DiagnosticsRecord
from bot.record.heartbeat import Heartbeat
from bot.record.hosted import HostedPickle, HostedRecord
from bot.record.ledger import Entry, Ledger, LiveFileRecord
from bot.record.outbox import Outbox
from bot.tournament.responses import LiveScore, Payment
from bot.tournament.rounds import Payout, Round
from bot.web.pages import Pages
from bot.web.server import Web

OPENED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ARTIFACT = "2026-11-24T120000Z-abcd"


@pytest.fixture
def state(tmp_path):
    """A state directory with a confirmed round, forty resolved ones, an artifact, a report and an open alert."""
    path = tmp_path / "ledger.sqlite"
    ledger, record = Ledger(path), LiveScores(path)
    ledger.record_round(Round(number=1445, opens_at=OPENED, closes_at=OPENED + timedelta(hours=1)))
    ledger.record_live_file(
        LiveFileRecord(
            round=1445, version="v5.3", sha256="ab" * 32, ids_sha256="cd" * 32, rows=6123, fetched_at=OPENED.isoformat()
        )
    )
    entry = Entry(
        round=1445, slot="mixer", state="intended", token="t", csv_sha256="ef" * 32, data_sha256="ab" * 32,
        artifact=ARTIFACT, submission_id=None, filename=None, intended_at=OPENED.isoformat(), confirmed_at=None,
    )  # fmt: skip
    ledger.intend(entry)
    ledger.confirm(1445, "mixer", submission_id="s", filename="r1445-mixer-efefefef.csv", at=OPENED)
    ledger.start_job("sync", OPENED)
    ledger.finish_job("sync", OPENED, "ok")
    for number in range(1405, 1445):
        scores = [("corr60", 0.02 * (-1) ** number), ("mmc60", 0.004)]
        record.record("mixer", [score(number, name, value) for name, value in scores])
        pays = tuple(Payout(score=name, multiplier=by, clip=1.0) for name, by in (("corr60", 3.0), ("mmc60", 15.0)))
        record.record_terms(
            Round(number=number, opens_at=OPENED, closes_at=OPENED + timedelta(hours=1), payouts=pays, factor=1.0)
        )
    record.record_payouts([Payment(round=1444, slot="mixer", nmr=1.25, settled=True)], {"mixer": {1444: 10.0}})
    told = {"corr": {"0900": 0.01}}
    DiagnosticsRecord(path).keep(
        ArtifactDiagnostics(
            artifact=ARTIFACT, recipe="standard", model_id="m", token="t", state="differs", diagnostics_id="d", ours=told,
            theirs=told, verdict="CORR differs in <1> of 87 eras", at=OPENED.isoformat(),
        )
    )  # fmt: skip
    with closing(HostedRecord(path)) as pickles:
        about = {
            "slot": "spare",
            "sha256": "s",
            "account": "",
            "model_id": "m",
            "artifact": ARTIFACT,
            "filename": "a.pkl",
        }
        kept = pickles.keep(HostedPickle(**about, state="assigned"), at=OPENED)
        pickles.check(kept, "its pickle did not submit to <round> 1445", at=OPENED)
    Outbox(path).alert("numerai", "no usable answer <from> Numerai", "", at=OPENED)
    folder = tmp_path / "artifacts" / ARTIFACT
    folder.mkdir(parents=True)
    about = {"id": ARTIFACT, "recipe": {"name": "standard"}, "scores": {"ensemble": {"mean": 0.0312, "sharpe": 1.1}},
             "decision": {"promote": True, "reason": "CORR is more than chance"}}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(about))
    champions = tmp_path / "artifacts" / "champions"
    champions.mkdir()
    (champions / "standard.json").write_text(json.dumps({"champion": ARTIFACT, "previous": []}))
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / f"{ARTIFACT}.html").write_text('<link rel="icon" href="data:,"><h1>the report</h1>')
    slot = tmp_path / "rounds" / "1445" / "mixer"
    slot.mkdir(parents=True)
    report = {"gates": [{"gate": "ids", "ok": True, "value": 6123, "limit": "the live ids"}], "seconds": {"fetch": 1.5}}
    (slot / "report.json").write_text(json.dumps(report))
    (slot.parent / "log.jsonl").write_text(json.dumps({"event": "round.finished", "timestamp": "2026-11-24T12:00:09Z"}))
    Heartbeat(folder=tmp_path).beat()
    return tmp_path


def score(number, name, value):
    return LiveScore(round=number, name=name, value=value, percentile=0.5, day=60, date="2026-11-24", resolved=True)


@pytest.fixture
def url(state):
    pages = Pages(state, state / "ledger.sqlite")
    shown = {
        "/": pages.now,
        "/live": pages.live,
        "/models": pages.models,
        "/round/": pages.round,
        "/report/": pages.report,
    }
    with Web(host="127.0.0.1", port=0, pages=shown) as web:
        assert web.opened.wait(60)
        yield f"http://127.0.0.1:{web.port}"


def test_pages_show_the_content_of_the_state_directory(url):
    """Submissions, scores, verdicts and a round's records are on their pages; foreign text is escaped."""
    text = {path: requests.get(url + path, timeout=60).text for path in ("/", "/live", "/models", "/round/1445")}

    assert all(word in text["/"] for word in ("1445", "confirmed", ARTIFACT, "healthy"))
    assert "no usable answer &lt;from&gt; Numerai" in text["/"]
    assert "spare, run by Numerai" in text["/"]
    assert "its pickle did not submit to &lt;round&gt; 1445" in text["/"]
    assert all(word in text["/live"] for word in ("Pay per NMR staked, cumulative", "Paid NMR", "1.2500"))
    assert "differs: CORR differs in &lt;1&gt; of 87 eras" in text["/models"]
    assert all(word in text["/models"] for word in ("champion", "CORR is more than chance", f"/report/{ARTIFACT}"))
    assert all(word in text["/round/1445"] for word in ("6123", "efefefefefef", "round.finished", "the live ids"))


@pytest.mark.parametrize(
    "path",
    [
        "/round/7",
        "/round/x",
        "/round/" + "9" * 23,
        "/round/²",
        "/round/" + "1" * 5000,
        "/round/1445/",
        "/report/none",
        "/report/..%2fledger",
        "/report/%00",
        "/report/%ff%",
        "/report/" + "a" * 300,
        "/nothing",
        "/report/",
        "//",
        "/live/",
    ],
)
def test_missing_pages_are_not_found(url, path):
    """Unknown rounds and reports get 404, and no path leaves the folder of reports."""
    assert requests.get(url + path, timeout=60).status_code == 404


def test_nothing_can_be_changed_through_the_pages(url):
    """There is no hook without a token, and no page accepts a POST."""
    assert requests.post(url + "/", timeout=60).status_code == 405
    assert requests.post(url + "/hook/", timeout=60).status_code == 404


def test_pages_work_in_a_browser(url, browser):
    """Navigation works, plots show a tooltip, no other host is requested, and the browser reports no error."""
    page = browser.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    page.click("nav a:has-text('Live scores')")
    plot = page.locator(".chart.lines .plot").first
    plot.hover()
    tip = page.locator("#tip").inner_text()
    page.click("nav a:has-text('Models')")
    page.click("text=report")
    report = page.locator("h1").inner_text()
    page.go_back()
    page.click("nav a:has-text('Now')")
    page.click("a:has-text('1445')")
    heading = page.locator("h1").inner_text()
    page.close()

    assert "mixer" in tip
    assert report == "the report"
    assert heading.startswith("Round 1445")
    assert complaints == []
    assert all(one.startswith(url) for one in asked)


def test_an_adopted_artifact_is_on_the_page_without_scores(state):
    """A model that was trained elsewhere has no hold-out scores; the page shows it with its reason."""
    path = state / "artifacts" / ARTIFACT / "manifest.json"
    decision = {"promote": True, "reason": "adopted by hand, not judged"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "scores": {}, "decision": decision}))
    page = bytes(Pages(state, state / "ledger.sqlite").models().body).decode()

    assert "adopted by hand, not judged" in page
    assert ARTIFACT in page


@pytest.mark.parametrize("path", ["/", "/live", "/models", "/round/1445"])
def test_a_phone_needs_no_sideways_scrolling(url, browser, path):
    """Every page fits a narrow screen, also in dark mode."""
    page = browser.new_page(viewport={"width": 360, "height": 700}, color_scheme="dark")
    page.goto(url + path)
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()

    assert not wide
    assert sum(int(part) for part in background[4:-1].split(",")) < 200


def test_a_refused_round_and_a_pause_are_on_the_page(tmp_path):
    """The page says why the round was refused, what to do and which setting decides, and what is paused."""
    from tests.web.test_round_rows import fail, refused, seen

    ledger = Ledger(tmp_path / "ledger.sqlite")
    seen(ledger, 1405)
    fail(ledger, 1405, refused())
    ledger.pause("other", until=None, at=OPENED)
    ledger.close()
    pages = Pages(tmp_path, tmp_path / "ledger.sqlite")
    now, round_ = (bytes(page.body).decode() for page in (pages.now(), pages.round("1405")))

    for page in (now, round_):
        assert "neutralize more in the recipe, let BOT_FALLBACK name another one, or raise BOT_MAX_EXPOSURE" in page
        assert "setting: BOT_MAX_EXPOSURE" in page
    assert "other is paused until it is resumed" in now
