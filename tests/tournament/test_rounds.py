"""A round is open up to its close, and accepts uploads up to its guard."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.tournament.rounds import Round

OPENS = datetime(2026, 11, 24, 13, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def lasting(length):
    return Round(number=1405, opens_at=OPENS, closes_at=OPENS + length)


@pytest.mark.parametrize(
    ("length", "guard"),
    [
        (timedelta(hours=1), timedelta(seconds=60)),
        (timedelta(hours=58), timedelta(seconds=60)),
        (timedelta(minutes=10), timedelta(seconds=60)),
        (timedelta(minutes=5), timedelta(seconds=30)),
        (timedelta(minutes=1), timedelta(seconds=6)),
    ],
)
def test_the_guard_is_a_minute_and_at_most_a_tenth(length, guard):
    """No upload starts in a window's last minute; a short window keeps nine tenths of its time."""
    assert lasting(length).guard == guard


@given(length=st.timedeltas(timedelta(minutes=1), timedelta(days=3)))
def test_uploads_start_from_the_opening_up_to_the_guard(length):
    """An upload may start at the opening, and not at the first instant of the guard."""
    round_ = lasting(length)
    last = round_.closes_at - round_.guard
    moments = (OPENS - INSTANT, OPENS, last - INSTANT, last)

    assert [round_.accepts_upload(moment) for moment in moments] == [False, True, True, False]


@given(length=st.timedeltas(timedelta(minutes=1), timedelta(days=3)))
def test_a_round_is_open_up_to_its_close(length):
    """The round is open at its opening, and not at its close."""
    round_ = lasting(length)
    moments = (OPENS - INSTANT, OPENS, round_.closes_at - INSTANT, round_.closes_at)

    assert [round_.is_open(moment) for moment in moments] == [False, True, True, False]


def test_seconds_left_count_down_past_the_close():
    """The seconds until the close are negative after it."""
    round_ = lasting(timedelta(hours=1))

    assert [round_.seconds_left(OPENS + timedelta(minutes=minutes)) for minutes in (0, 60, 61)] == [3600, 0, -60]


def test_a_round_without_configuration_has_no_payouts():
    """Without a score configuration there are no payouts and no payout factor."""
    assert (lasting(timedelta(hours=1)).payouts, lasting(timedelta(hours=1)).factor) == ((), None)
