"""The timeline of a round's page."""

import pytest

from bot.web.content.timeline import LONGEST, round_state, timeline


def test_events_and_log_lines_stand_in_the_order_of_their_times():
    """Times of the ledger and of the log have different forms; rows are sorted by what they mean."""
    found = {
        "events": [{"at": "2026-11-24T12:00:03+00:00", "event": "submission.intended"}],
        "log": [
            {"timestamp": "2026-11-24T12:00:05Z", "event": "submission.confirmed", "slot": "mixer", "level": "info"},
            {"timestamp": "2026-11-24T12:00:01.5Z", "event": "dataset.fetched", "slot": "mixer", "rows": 6123},
        ],
    }

    rows = timeline(found)

    assert [one["what"] for one in rows] == ["dataset.fetched", "submission.intended", "submission.confirmed"]
    assert (rows[0]["slot"], rows[0]["detail"]) == ("mixer", "rows 6123")


def test_events_of_the_ledger_keep_their_order():
    """An event whose time is of the server's clock stands where it happened, not where its time would put it."""
    events = [
        {"at": "2026-11-24T12:00:09+00:00", "event": "submission.intended"},
        {"at": "2026-11-24T12:00:08+00:00", "event": "submission.created"},
        {"at": "2026-11-24T12:00:10+00:00", "event": "submission.confirmed"},
    ]

    rows = timeline({"events": events[:], "log": []})

    assert [one["what"] for one in rows] == [one["event"] for one in events]


def test_a_warning_is_marked_and_a_long_detail_is_cut():
    """Errors and warnings have the tone of trouble; nested values and tracebacks are left to the log."""
    line = {
        "timestamp": "x", "event": "gate", "level": "warning", "reason": "r" * 999, "seconds": {"a": 1}, "exception": "T",
    }  # fmt: skip

    (row,) = timeline({"events": [], "log": [line, "no object"]})

    assert row["tone"] == "bad"
    assert len(row["detail"]) == LONGEST


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "not submitted"),
        (["confirmed", "confirmed"], "confirmed"),
        (["confirmed", "refused"], "refused"),
    ],
)
def test_a_round_is_confirmed_where_every_slot_is(states, expected):
    """One slot that is not confirmed decides the badge."""
    slots = {f"s{place}": {"state": state} for place, state in enumerate(states)}

    assert round_state({"slots": slots}) == expected
