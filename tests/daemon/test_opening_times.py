"""Openings are learned, never written down; what is learned only makes the bot look sooner."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.daemon.opening_times import BRISK_S, NEAR, pause_s

TUESDAY = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WEEK = [TUESDAY + timedelta(days=days) for days in range(5)]
TIMES = st.timedeltas(timedelta(0), timedelta(days=2000)).map(lambda passed: TUESDAY + passed)


def test_the_bot_looks_briskly_around_a_learned_opening():
    """A week after a round opened, looks come every few seconds from two minutes before to two minutes after."""
    again = TUESDAY + timedelta(days=7)

    near = [pause_s(again + offset, WEEK, tick_s=20) for offset in (-NEAR, timedelta(0), NEAR)]
    far = [pause_s(again + offset, WEEK, tick_s=20) for offset in (-2 * NEAR, 2 * NEAR, timedelta(hours=12))]

    assert near == [BRISK_S] * 3
    assert far == [20] * 3


def test_a_new_timetable_is_learned_within_a_week():
    """Openings older than a week before the newest one no longer count."""
    moved = [opened + timedelta(days=14, hours=2) for opened in WEEK]

    assert pause_s(TUESDAY + timedelta(days=28), [*WEEK, *moved], tick_s=20) == 20
    assert pause_s(TUESDAY + timedelta(days=28, hours=2), [*WEEK, *moved], tick_s=20) == BRISK_S


@given(now=TIMES, openings=st.lists(TIMES, max_size=20), tick_s=st.floats(0.1, 20))
def test_no_pause_is_longer_than_a_tick(now, openings, tick_s):
    """Whatever was learned, the bot never waits longer than it would without it."""
    assert 0 < pause_s(now, openings, tick_s=tick_s) <= tick_s
