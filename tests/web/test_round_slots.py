"""The slots of a round's page: stages in order, refusals first, and whatever a report may hold."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from bot.record.ledger import Ledger, rounds_folder
from bot.web.content.round_slots import slot_rows
from bot.web.content.timeline import one_day, timeline
from bot.web.pages import Pages
from tests.harness import page_states as states

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def path(tmp_path):
    return states.made_state(tmp_path, rounds=3)


def text(path, number=states.NEWEST):
    return bytes(Pages(path.parent, path).round(str(number)).body).decode()


def report(path, **content):
    (rounds_folder(path) / str(states.NEWEST) / "mixer" / "report.json").write_text(json.dumps(content))


def test_stages_stand_in_their_order_whatever_the_file_has():
    """The file sorts its keys; the page has the order of a submission, and a stage of another version last."""
    about = {
        "state": "confirmed",
        "report": {"seconds": {"deliver": 2.7, "fetch": 1.5, "later": 1, "gates": 0.2, "score": 0.4}},
    }

    (row,) = slot_rows({"slots": {"mixer": about}})

    assert [one["name"] for one in row["stages"]] == ["fetch", "score", "gates", "deliver", "later"]


def test_a_refusal_comes_first_with_what_to_do(path):
    """The gate that refused is the first row, with remedy and setting; gates that passed have none."""
    now = datetime.now(UTC)
    with closing(states.open_round(path.parent)) as ledger:
        states.refuse(ledger, "mixer", "an-artifact", now)
    found = text(path, states.NEWEST + 1)

    assert '<span class="badge bad">refused</span>' in found[: found.index("<main")]
    assert found.index('<th scope="row" class="left">exposure</th>') < found.index(
        '<th scope="row" class="left">ids</th>'
    )
    assert found.count("setting: BOT_MAX_EXPOSURE") == 2  # the reason and the gate


def test_gates_of_a_failure_are_shown_where_no_report_is(path):
    """A refusal that left no report still shows its gate."""
    with closing(states.open_round(path.parent)) as ledger:
        states.refuse(ledger, "mixer", "an-artifact", datetime.now(UTC))
        (ledger.rounds / str(states.NEWEST + 1) / "mixer" / "report.json").unlink()

    assert '<td class="left bad">refused</td>' in text(path, states.NEWEST + 1)


def test_a_round_shows_its_times_its_scores_and_its_neighbours(path):
    """A link from the live record leads to the round's own scores; the rounds beside it are a step away."""
    found = text(path, states.NEWEST - 1)

    assert "Opened " in found
    assert "closed " in found
    assert all(word in found for word in ("Live scores</h2>", "corr60", "v53_example"))
    assert f'href="/round/{states.NEWEST}"' in found
    assert f'href="/round/{states.NEWEST - 2}"' in found


@pytest.mark.parametrize(
    "content",
    [
        {}, {"gates": None}, {"gates": ["x", 5]}, {"gates": [{}]}, {"seconds": []}, {"seconds": {"fetch": "long"}},
        {"rungs_refused": 3}, {"gates": [{"gate": HOSTILE, "value": HOSTILE, "limit": HOSTILE, "remedy": HOSTILE, "setting": HOSTILE}]},
        {"rows": HOSTILE, "seconds": {HOSTILE: 1}},
    ],
)  # fmt: skip
def test_odd_reports_do_not_break_the_page(path, content):
    """A report that another version or a stranger wrote loses its figures, and its text stays text."""
    report(path, **content)
    found = text(path)

    assert "Timeline</h2>" in found
    assert HOSTILE not in found


def test_an_event_of_ledger_and_log_is_one_row():
    """The same event at the same second is shown once, with the log's details; a later one is another."""
    events = [{"at": "2026-11-24T12:00:03+00:00", "event": "submission.confirmed"}]
    line = {"timestamp": "2026-11-24T12:00:03.4Z", "event": "submission.confirmed", "slot": "mixer", "file": "f"}
    later = {**line, "timestamp": "2026-11-24T12:00:09Z"}

    rows = timeline({"events": events, "log": [line]})

    assert [one["detail"] for one in rows] == ["file f"]
    assert len(timeline({"events": events, "log": [later]})) == 2


def test_times_leave_a_common_day_out():
    """Rows of one day have their day in the head; rows of several have it in each."""
    at = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)
    rows = [{"at": (at + timedelta(minutes=one)).isoformat()} for one in (0, 2)]

    assert one_day(rows[:1]) == "2026-11-24"
    assert one_day(rows) == one_day([]) == ""


def test_a_round_of_a_busy_ledger_is_read_only(path):
    """The page changes nothing in the ledger."""
    before = path.read_bytes()
    text(path)

    assert path.read_bytes() == before
    with closing(Ledger(path, read_only=True)) as ledger:
        assert ledger.newest_rounds(limit=1) == (states.NEWEST,)
