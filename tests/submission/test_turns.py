"""The order of the fallbacks after deaths in the round, and the time of each turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.record.ledger import Deaths
from bot.submission._turns import FALLBACK_S, LONGEST_S, TRIES, Turns, share_s
from bot.submission.fallbacks import Fallback

CHAMPION = Fallback(name="champion", artifact="a", data_version="v5.3")
PREVIOUS = Fallback(name="previous champion", artifact="b", data_version="v5.3")
OLDER = Fallback(name="previous champion", artifact="c", data_version="v5.3")
LAST_ROUND = Fallback(name="last round", artifact="a", data_version="v5.3")
ALL = (CHAMPION, PREVIOUS, OLDER)


def order(deaths, *, left_s=3000.0, fallbacks=ALL):
    return [one.artifact for one in Turns.of(fallbacks, deaths, left_s=left_s).order]


def test_without_deaths_the_best_comes_first():
    """The order is that of the fallbacks, and nothing is passed over."""
    turns = Turns.of(ALL, {}, left_s=3000.0)

    assert turns.order == ALL
    assert not turns.passed_over


@pytest.mark.parametrize(
    ("deaths", "left_s", "expected"),
    [
        (Deaths(killed=1), 3000.0, "abc"),
        (Deaths(killed=2), 3000.0, "bca"),
        (Deaths(overran=1, killed=1), 3000.0, "bca"),
        (Deaths(overran=1, lost_s=600.0), 2500.0, "abc"),
        (Deaths(overran=1, lost_s=600.0), 2300.0, "bca"),
        (Deaths(killed=1, lost_s=2.0), 61.0, "abc"),
        (Deaths(killed=1, lost_s=2.0), 59.0, "bca"),
    ],
)
def test_a_champion_that_died_is_passed_over(deaths, left_s, expected):
    """Two deaths suffice, or one where another try would leave the two below too little time."""
    assert order({"a": deaths}, left_s=left_s) == list(expected)


def test_no_fallback_is_given_up():
    """Those that died come last, the one with the fewest deaths first."""
    deaths = {"a": Deaths(killed=3), "b": Deaths(overran=2), "c": Deaths(killed=4)}

    assert order(deaths) == ["b", "a", "c"]
    assert order({"a": Deaths(killed=2)}, fallbacks=(CHAMPION,)) == ["a"]


def test_the_last_rounds_predictions_are_not_passed_over():
    """They are read from disk, whatever became of the artifact that made them."""
    turns = Turns.of((CHAMPION, LAST_ROUND), {"a": Deaths(killed=2)}, left_s=3000.0)

    assert turns.order == (LAST_ROUND, CHAMPION)


def test_the_reason_counts_the_deaths():
    """Each passed artifact has its own reason, best first."""
    turns = Turns.of(ALL, {"b": Deaths(overran=1, killed=2), "a": Deaths(killed=2)}, left_s=3000.0)

    assert [str(one) for one in turns.passed_over.values()] == [
        "artifact a is passed over: its process was killed twice",
        "artifact b is passed over: its process was killed twice and it did not score in its time once",
    ]


@given(left_s=st.floats(0.0, 90_000.0), fallbacks=st.integers(1, 8))
def test_every_fallback_gets_its_turn(left_s, fallbacks):
    """Where time is not short, all tries of all fallbacks fit before the guard."""
    share = share_s(left_s, fallbacks)

    assert FALLBACK_S <= share <= LONGEST_S
    assert share == FALLBACK_S or TRIES * fallbacks * share <= left_s + 1e-6
