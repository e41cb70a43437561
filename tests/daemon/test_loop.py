"""The loop's decisions, with the ledger, heartbeat and outbox it really has, a tournament and attempts made of paper."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.paper import OPENED, SLOTS, Paper, confirm, intend, make_loop, steps, told

from bot.daemon import _loop as daemon
from bot.daemon._accounts import AccountState
from bot.daemon._loop import BRISK_S, NEAR, pause_s
from bot.errors import BadCredentials, NumeraiUnavailable
from bot.record.heartbeat import problems
from bot.record.ledger import Ledger


@pytest.fixture
def paper(tmp_path):
    return Paper(Ledger(tmp_path / "ledger.sqlite"))


@pytest.fixture
def loop(paper, tmp_path):
    return make_loop(paper, tmp_path)


@pytest.fixture
def no_hold(monkeypatch):
    monkeypatch.setattr(daemon, "HOLD_S", 0.0)
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)


def test_a_confirmed_round_is_left_alone(loop, paper):
    """One attempt fills every slot; afterwards nothing is started, and the dead man's switch is pinged once."""
    steps(loop, 5)

    assert [one if one == "ping" else one.round.number for one in paper.attempts] == [1405, "ping"]
    assert told(loop) == []


def test_what_the_ledger_knows_is_not_done_again(loop, paper):
    """After a restart, a round that is confirmed in the ledger starts no attempt."""
    for slot in SLOTS:
        confirm(paper.ledger, 1405, slot)
    steps(loop)

    assert paper.attempts == ["ping"]


def test_one_slot_that_is_owed_is_enough(loop, paper):
    """With one of two slots confirmed, the round is still worked at."""
    confirm(paper.ledger, 1405, SLOTS[0])
    steps(loop)

    assert paper.attempts[0].round.number == 1405


def test_an_attempt_that_hangs_is_ended_and_another_begins(loop, paper, no_hold):
    """Past its deadline an attempt is killed; the next one confirms the round."""
    paper.outcome = None
    steps(loop, 2)
    first = paper.attempts[0]
    first.is_overdue = True
    steps(loop, 1)
    assert first.stopped == 0
    paper.outcome = 0
    steps(loop, 3)

    assert loop.ledger.settled(1405, SLOTS[0])


def test_no_attempt_outlasts_its_round(loop, paper):
    """The deadline of an attempt is the close of the round and a few seconds, where that is nearer."""
    paper.now = OPENED + timedelta(minutes=50)
    steps(loop, 1)

    assert paper.attempts[0].limit_s == 600 + daemon.AFTER_CLOSE_S


@pytest.mark.parametrize(("status", "title"), [(65, "round 1405: refused"), (78, "round 1405: needs the operator")])
def test_a_refusal_is_told_once_and_tried_rarely(loop, paper, status, title):
    """What needs a person is told at once, and held for minutes instead of repeated every few seconds."""
    paper.outcome = status
    steps(loop, 6)

    assert len(paper.attempts) == 1
    assert told(loop) == [("alert", title)]


def test_a_refusal_is_no_news_while_the_first_training_runs(loop, paper):
    """Nothing can score before anything is trained; a person hears of it only when the close is near."""
    loop.is_busy = lambda: True
    paper.outcome = 78
    steps(loop)
    quiet = told(loop)
    paper.now = OPENED + timedelta(minutes=41)
    steps(loop)

    assert quiet == []
    assert told(loop) == [("alert", "round 1405 is not confirmed, 19 minutes left")]


def test_a_missed_round_makes_ill_until_the_next_is_confirmed(loop, paper, no_hold, tmp_path):
    """The alert before the close, the miss and the recovery are one alert and one recovery; health follows."""
    paper.outcome = 75
    steps(loop)
    paper.now = OPENED + timedelta(minutes=45)
    steps(loop)
    paper.now = OPENED + timedelta(hours=2)
    steps(loop)
    ill = problems(tmp_path)
    paper.now, paper.outcome = OPENED + timedelta(days=1), 0
    steps(loop)

    assert ill == ("round: round 1405 closed without a confirmed submission",)
    assert problems(tmp_path) == ()
    assert [kind for kind, _ in told(loop)] == ["alert", "recovery"]


def test_a_slot_that_its_champion_did_not_fill_is_told_until_one_does(loop, paper):
    """A lower rung of the ladder is one alert, round after round, and one recovery when champions score again."""
    paper.outcome = 75
    for day in range(2):
        paper.now = OPENED + timedelta(days=day)
        confirm(paper.ledger, 1405 + day, SLOTS[0])
        confirm(paper.ledger, 1405 + day, SLOTS[1], filled_by="last round")
        steps(loop)
    lower = told(loop)
    paper.now, paper.outcome = OPENED + timedelta(days=2), 0
    steps(loop)

    assert lower == [("alert", "round 1405: second by the last round")]
    assert told(loop) == [("recovery", "over: round 1405: second by the last round")]


@pytest.mark.parametrize("policy", [False, True])
def test_finished_predictions_are_handed_in_late_where_that_is_wanted(loop, paper, no_hold, policy):
    """After the close, an attempt for the closed round begins until the ledger says that it is queued; else none does."""
    loop.submits_late = policy
    paper.outcome = 75
    steps(loop, 1)
    intend(paper.ledger, 1405, SLOTS[0])
    paper.now = OPENED + timedelta(hours=2)
    steps(loop, 1)
    paper.attempts.clear()
    steps(loop, 4)
    late = [one.round.number for one in paper.attempts]
    paper.ledger.queue(1405, SLOTS[0], submission_id="s", filename="f", at=OPENED)
    steps(loop, 1)
    paper.attempts.clear()
    steps(loop, 3)

    assert late[:1] == [1405] * policy
    assert set(late) <= {1405}
    assert paper.attempts == []


def test_an_outage_is_told_after_minutes_and_its_end_once(loop, paper, monkeypatch):
    """Short silences are nobody's business; a long one is one alert, and one recovery when Numerai answers again."""
    paper.failing = NumeraiUnavailable("502")
    steps(loop, 10)
    short = told(loop)
    monkeypatch.setattr(daemon, "OUTAGE_S", 0.0)
    steps(loop, 10)
    paper.failing = None
    steps(loop)

    assert short == []
    assert [kind for kind, _ in told(loop)] == ["alert", "recovery"]


def test_a_refused_key_is_told_at_once(loop, paper):
    """Waiting does not mend what only a person can."""
    paper.failing = BadCredentials("revoked")
    steps(loop, 3)

    assert told(loop) == [("alert", "no usable answer from Numerai")]


def test_a_success_elsewhere_lifts_the_hold(loop, paper):
    """When a job has succeeded, such as the first training, a held round is tried again at once."""
    paper.outcome = 78
    steps(loop)
    paper.outcome = 0
    loop.try_again()
    steps(loop)

    assert loop.wake.is_set()
    assert loop.ledger.settled(1405, SLOTS[0])


def test_a_round_that_is_extended_is_played_to_its_new_close(loop, paper, no_hold):
    """The close is read anew at every look."""
    paper.outcome = 75
    steps(loop)
    paper.rounds[0] = replace(paper.rounds[0], closes_at=OPENED + timedelta(hours=3))
    paper.now, paper.outcome = OPENED + timedelta(hours=2), 0
    steps(loop)

    assert loop.ledger.settled(1405, SLOTS[0])


def test_one_account_that_cannot_be_asked_keeps_no_other_waiting(loop, paper):
    """A key that is refused costs its own account, and is told; the other account is filled all the same."""

    def refuse():
        raise BadCredentials("revoked")

    loop.accounts = [AccountState(find_slots=refuse, attempt=paper.attempt), *loop.accounts]
    steps(loop)

    assert [one.round.number for one in paper.attempts] == [1405]
    assert loop.ledger.settled(1405, SLOTS[0])
    assert told(loop) == [("alert", "an account cannot be used")]


def test_no_error_ends_the_loop(loop, paper):
    """Whatever a look raises, the next one is taken."""
    paper.failing = ZeroDivisionError("never thought of")
    steps(loop)
    paper.failing = None
    steps(loop)

    assert loop.ledger.settled(1405, SLOTS[0])


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
