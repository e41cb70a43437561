"""What the page Now makes of rounds, champions and live scores."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from bot.record.failures import Failure
from bot.record.heartbeat import Heartbeat
from bot.record.outbox import Outbox
from bot.web.content.now import STRIP, champions_now, health, slots_now
from bot.web.pages import Pages
from tests.harness import page_states as states

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def row(number, slot="mixer", state="confirmed", **more):
    return {"round": number, "slot": slot, "state": state, "failure": None, "confirmed_at": None, **more}


def about(*rows, number=1405, is_open=True):
    return {"rounds": list(rows), "last_seen_round": {"number": number, "open": is_open}}


@pytest.mark.parametrize(
    ("rows", "daemon", "word"),
    [
        ([row(1405)], [], "healthy"),
        ([row(1405, state="paused")], [], "healthy"),
        ([row(1405), row(1404, state="refused")], [], "healthy"),
        ([row(1405), row(1405, slot="trees", state="refused")], [], "newest round not filled"),
        ([row(1405, state="too late")], [], "newest round not filled"),
        ([row(1405, state="missed")], ["no daemon has run"], "unhealthy"),
    ],
)
def test_the_badge_says_whether_the_newest_round_is_filled(rows, daemon, word):
    """A bot whose process is well is not called healthy beside a slot of the newest round that it cannot fill."""
    assert health({**about(*rows), "daemon": daemon}) == word


def test_a_slot_that_the_settings_no_longer_have_has_no_tile():
    """A mistyped or removed slot is left out; without names in the settings every slot that played is there."""
    rows = about(row(1405), row(1404, slot="mxier", state="missed"))

    assert [one["slot"] for one in slots_now(rows, {"mixer"})] == ["mixer"]
    assert [one["slot"] for one in slots_now(rows)] == ["mixer", "mxier"]


@pytest.mark.parametrize(
    ("rows", "state", "tone"),
    [
        ([row(1405)], "confirmed", "good"),
        ([row(1405, state="refused")], "refused", "bad"),
        ([row(1405, state="missed")], "missed", "bad"),
        ([row(1405, state="paused")], "paused", ""),
        ([row(1405, state="open")], "not in yet", ""),
        ([row(1404)], "not in yet", ""),
    ],
)
def test_a_slot_says_whether_the_round_is_in(rows, state, tone):
    """The newest round's state is that of its row; without one it is not in yet."""
    (found,) = slots_now(about(*rows))

    assert (found["state"], found["tone"]) == (state, tone)


def test_a_closed_round_without_a_row_was_not_seen():
    """After its close, a round without a row was not seen."""
    assert slots_now(about(row(1404), is_open=False))[0]["state"] == "not seen"


def test_a_strip_holds_the_last_rounds_oldest_first():
    """Marks are the sign of the pay where it is known, else the state; the text has the figures."""
    rows = [
        row(1405),
        row(1404, state="missed"),
        row(1403, pay=0.06, scores={"corr60": 0.02}),
        row(1402, pay=-0.01),
        *(row(number) for number in range(1401, 1370, -1)),
    ]

    strip = slots_now(about(*rows))[0]["strip"]

    assert len(strip) == STRIP
    assert [one["mark"] for one in strip[-4:]] == ["lost", "won", "bad", "good"]
    assert strip[-3]["about"] == "round 1403: confirmed, corr60 +0.0200, pay +0.0600 per NMR staked"


def test_slots_without_a_name_and_an_empty_ledger_show_nothing():
    """A round that concerns no slot is no slot, and a first day has none."""
    assert slots_now(about(row(1405, slot=""))) == []
    assert slots_now({"rounds": []}) == []


def test_a_champion_is_shown_by_day_age_and_score(tmp_path):
    """A manifest gives day, age and CORR; an artifact that cannot be read is shown by its id's day."""
    folder = tmp_path / "artifacts" / "2026-11-20T070000Z-abcd"
    folder.mkdir(parents=True)
    made = {"created_at": (NOW - timedelta(days=4)).isoformat(), "scores": {"ensemble": {"mean": 0.031}}}
    (folder / "manifest.json").write_text(json.dumps(made))

    found, other = champions_now(tmp_path, {"standard": folder.name, "mine": "2026-11-21T070000Z-ffff"}, NOW)

    assert (found["day"], found["age"], found["corr"]) == ("20 Nov 2026", 4, 0.031)
    assert (other["day"], other["age"], other["corr"]) == ("2026-11-21", None, None)


def test_running_work_refusals_and_jobs_are_on_the_page(tmp_path):
    """The page shows the progress of a training with its time left, why a slot is refused, and each job in a line."""
    now = datetime.now(UTC)
    path = states.made_state(tmp_path, rounds=25)
    states.working(tmp_path, note="<b>trees</b>")
    with closing(states.open_round(tmp_path)) as ledger:
        ledger.start_job("retrain", now)
        states.refuse(ledger, "mixer", "an-artifact", now)
    page = bytes(Pages(tmp_path, path).now().body).decode()

    assert '<progress max="1" value="0.42"' in page
    assert "[3/8] fit gbm: &lt;b&gt;trees&lt;/b&gt; · 18 min left · all: 1 h 40 min left" in page
    assert f'mixer, <a href="/round/{states.NEWEST + 1}">' in page
    assert "neutralize more or raise BOT_MAX_EXPOSURE" in page
    assert "<li>retrain: running" in page
    assert 'scores: <span class="bad">exit status 75</span>' in page


def test_the_table_has_fewer_rounds_than_the_strip(tmp_path):
    """Ten rounds are listed; the strip shows twenty."""
    path = states.made_state(tmp_path, rounds=25)
    page = bytes(Pages(tmp_path, path).now().body).decode()

    assert page.count('<th scope="row"') == 10 * len(states.SLOTS)
    assert page.count('title="round ') == STRIP * len(states.SLOTS)


def test_hostile_names_are_text(tmp_path):
    """Markup in the name of a slot, of a job, of work or in an alert is shown as text, on Now, in its form and in the round."""
    bad, now = "<img src=x onerror=alert(1)>", datetime.now(UTC)
    path = states.made_state(tmp_path, rounds=2)
    states.working(tmp_path, stage=bad)
    with closing(states.open_round(tmp_path)) as ledger, closing(Outbox(path)) as outbox:
        states.confirm(ledger, states.NEWEST + 1, "mixer", bad, now)
        ledger.record_failure(Failure.of(ValueError(bad), round_number=states.NEWEST + 1, slot=bad, at=now))
        ledger.start_job(bad, now)
        ledger.finish_job(bad, now, bad)
        ledger.pause(bad, until=None, at=now)
        outbox.alert(bad, bad, bad, at=now)
    pages = Pages(tmp_path, path, control=(bad,))

    for page in (pages.now(), pages.round(str(states.NEWEST + 1))):
        text = bytes(page.body).decode()
        assert bad not in text
        assert "&lt;img src=x" in text


def test_a_missed_round_is_reported_once(tmp_path):
    """The daemon's problem of a missed round is not repeated beside its alert, which has cause and remedy."""
    path = states.made_state(tmp_path, rounds=2)
    beat = Heartbeat(folder=tmp_path)
    beat.mark("round", "round 1405 closed without a confirmed submission")
    beat.mark("state", "the disk is full")
    beat.beat()
    with closing(Outbox(path)) as outbox:
        outbox.register(["dead"])
        outbox.alert("round", "round 1405 was missed", "see the log", at=datetime.now(UTC))
    found = bytes(Pages(tmp_path, path).now().body).decode()

    assert found.count("round 1405 was missed") == 1
    assert "not sent to every address yet: 1" in found
    assert "closed without" not in found
    assert "state: the disk is full" in found
    assert "unhealthy" in found
