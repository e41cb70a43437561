"""Decisions of the loop, with its real ledger, heartbeat and outbox, and a fake tournament and fake attempts."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.daemon import _loop as daemon
from bot.daemon._accounts import AccountState
from bot.daemon._loop import BRISK_S, NEAR, pause_s
from bot.errors import BadCredentials, FirstTraining, GateFailed, NumeraiUnavailable, RoundNotOpen
from bot.findings import Finding
from bot.record.control import RETRY
from bot.record.failures import Failure
from bot.record.heartbeat import problems
from bot.record.ledger import Ledger
from tests.daemon.fakes import OPENED, SLOTS, FakeTournament, confirm, intend, make_loop, messages, steps


@pytest.fixture
def tournament(tmp_path):
    return FakeTournament(Ledger(tmp_path / "ledger.sqlite"))


@pytest.fixture
def loop(tournament, tmp_path):
    return make_loop(tournament, tmp_path)


@pytest.fixture
def no_hold(monkeypatch):
    monkeypatch.setattr(daemon, "HOLD_S", 0.0)
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)


def test_a_confirmed_round_is_left_alone(loop, tournament):
    """One attempt fills every slot; then no attempt starts, and one ping is sent."""
    steps(loop, 5)

    assert [one if one == "ping" else one.round.number for one in tournament.attempts] == [1405, "ping"]
    assert messages(loop) == []


def test_a_round_that_is_confirmed_in_the_ledger_starts_no_attempt(loop, tournament):
    """After a restart, a round that is confirmed in the ledger starts no attempt."""
    for slot in SLOTS:
        confirm(tournament.ledger, 1405, slot)
    steps(loop)

    assert tournament.attempts == ["ping"]


def test_one_unconfirmed_slot_starts_an_attempt(loop, tournament):
    """With one of two slots confirmed, an attempt starts."""
    confirm(tournament.ledger, 1405, SLOTS[0])
    steps(loop)

    assert tournament.attempts[0].round.number == 1405


def test_an_attempt_that_hangs_is_killed_and_another_starts(loop, tournament, no_hold):
    """After its deadline an attempt is killed; the next one confirms the round."""
    tournament.outcome = None
    steps(loop, 2)
    first = tournament.attempts[0]
    first.is_overdue = True
    steps(loop, 1)
    assert first.stopped == 0
    tournament.outcome = 0
    steps(loop, 3)

    assert loop.ledger.settled(1405, SLOTS[0])


def test_no_attempt_outlasts_its_round(loop, tournament):
    """The deadline of an attempt is never later than a few seconds after the close."""
    tournament.now = OPENED + timedelta(minutes=50)
    steps(loop, 1)

    assert tournament.attempts[0].limit_s == 600 + daemon.AFTER_CLOSE_S


@pytest.mark.parametrize(("status", "title"), [(65, "round 1405: refused"), (78, "round 1405: needs the operator")])
def test_a_refusal_is_alerted_once_and_held(loop, tournament, status, title):
    """An attempt that needs the operator is alerted at once, and not repeated for minutes."""
    tournament.outcome = status
    steps(loop, 6)

    assert len(tournament.attempts) == 1
    assert messages(loop) == [("alert", title)]


def test_a_slot_that_is_refused_holds_back_no_slot_that_waits(loop, tournament, monkeypatch):
    """Where another slot of the account waits for something that passes, the attempts go on every few seconds."""
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    tournament.outcome = 78
    refuse(tournament, 1405, SLOTS[0])
    unanswered = NumeraiUnavailable("no answer")
    tournament.ledger.record_failure(Failure.of(unanswered, round_number=1405, slot=SLOTS[1], at=OPENED))
    steps(loop, 6)

    assert len(tournament.attempts) >= 3


def test_a_short_round_is_held_for_a_tenth_of_its_window(loop, tournament):
    """A passing refusal does not cost a round of 45 seconds."""
    tournament.rounds[0] = replace(tournament.rounds[0], closes_at=OPENED + timedelta(seconds=45))
    tournament.outcome = 65
    steps(loop)
    (account,) = loop.accounts

    assert 0.0 < account.hold_until - time.monotonic() <= 4.5


def test_a_round_that_waits_for_the_first_model_is_not_alerted(loop, tournament):
    """Before the first training ends nothing can score, so the alert waits until the close is near."""
    waiting = FirstTraining("the first training runs")
    loop.ledger.record_failure(Failure.of(waiting, round_number=1405, slot=SLOTS[0], at=OPENED))
    tournament.outcome = 75
    steps(loop)
    quiet = messages(loop)
    tournament.now = OPENED + timedelta(minutes=41)
    steps(loop)

    assert quiet == []
    assert messages(loop) == [("alert", "round 1405 is not confirmed, 19 minutes left: first: the first training runs")]


def test_a_missed_round_is_a_problem_until_the_next_is_confirmed(loop, tournament, no_hold, tmp_path):
    """Near close and miss are an alert each, with one recovery; health has the same problem."""
    loop.outbox.register(["test"])
    tournament.outcome = 75
    steps(loop)
    tournament.now = OPENED + timedelta(minutes=45)
    steps(loop)
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop)
    missed = problems(tmp_path)
    tournament.now, tournament.outcome = OPENED + timedelta(days=1), 0
    steps(loop)

    assert missed == ("round: round 1405 closed without a confirmed submission",)
    assert problems(tmp_path) == ()
    assert messages(loop) == [
        ("alert", "round 1405 is not confirmed, 15 minutes left"),
        ("alert", "round 1405 was missed"),
        ("recovery", "over: round 1405 was missed"),
    ]


def test_a_confirmed_round_that_closes_before_its_attempt_ends_is_not_missed(loop, tournament, tmp_path):
    """A round is judged by its ledger when it closes, though the attempt that confirmed it has not ended."""
    tournament.outcome = None
    steps(loop)
    for slot in SLOTS:
        confirm(tournament.ledger, 1405, slot)
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop)

    assert problems(tmp_path) == ()
    assert tournament.ledger.closed("missed", since=1405) == set()
    assert messages(loop) == []


def test_another_fallback_is_another_message(loop, tournament):
    """While an alert about a fallback is open, a message follows when other slots or fallbacks are meant, and only then."""
    told = []
    for fallbacks in (("starter", "champion"), ("starter", "champion"), ("champion", "last round")):
        round_ = tournament.current_round()
        for slot, fallback in zip(SLOTS, fallbacks, strict=True):
            confirm(tournament.ledger, round_.number, slot, fallback)
        steps(loop)
        told.append([title for _kind, title in messages(loop)])
        tournament.now += timedelta(days=1)

    assert told == [["round 1405: first by its starter"], [], ["round 1407: second by the last round"]]


def test_a_fallback_is_alerted_until_a_champion_fills_the_slot(loop, tournament):
    """A fallback in several rounds is one alert, and one recovery when champions score again."""
    tournament.outcome = 75
    for day in range(2):
        tournament.now = OPENED + timedelta(days=day)
        confirm(tournament.ledger, 1405 + day, SLOTS[0])
        confirm(tournament.ledger, 1405 + day, SLOTS[1], filled_by="last round")
        steps(loop)
    lower = messages(loop)
    tournament.now, tournament.outcome = OPENED + timedelta(days=2), 0
    steps(loop)

    assert lower == [("alert", "round 1405: second by the last round")]
    assert messages(loop) == [("recovery", "over: round 1406: second by the last round")]


@pytest.mark.parametrize("policy", [False, True])
def test_unsent_predictions_are_submitted_late_by_the_policy(loop, tournament, no_hold, policy):
    """With the policy on, attempts for the closed round start until the ledger has it as queued; with it off, none start."""
    loop.submits_late = policy
    tournament.outcome = 75
    steps(loop, 1)
    intend(tournament.ledger, 1405, SLOTS[0])
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop, 1)
    tournament.attempts.clear()
    steps(loop, 4)
    late = [one.round.number for one in tournament.attempts]
    tournament.ledger.queue(1405, SLOTS[0], submission_id="s", filename="f", at=OPENED)
    steps(loop, 1)
    tournament.attempts.clear()
    steps(loop, 3)

    assert late[:1] == [1405] * policy
    assert set(late) <= {1405}
    assert tournament.attempts == []


def test_an_outage_is_alerted_after_minutes_and_resolved_once(loop, tournament, monkeypatch):
    """A short outage has no alert; a long one has one alert, and one recovery when Numerai answers again."""
    tournament.failing = NumeraiUnavailable("502")
    steps(loop, 10)
    short = messages(loop)
    monkeypatch.setattr(daemon, "OUTAGE_S", 0.0)
    steps(loop, 10)
    tournament.failing = None
    steps(loop)

    assert short == []
    assert [kind for kind, _ in messages(loop)] == ["alert", "recovery"]


def test_a_refused_key_is_alerted_at_once(loop, tournament):
    """A refused key is alerted without delay, because only the operator can replace it."""
    tournament.failing = BadCredentials("revoked")
    steps(loop, 3)

    assert messages(loop) == [("alert", "no usable answer from Numerai")]


def test_a_successful_job_lifts_the_hold(loop, tournament):
    """When a job such as the first training has succeeded, a held round is tried again at once."""
    tournament.outcome = 78
    steps(loop)
    tournament.outcome = 0
    loop.try_again()
    steps(loop)

    assert loop.wake.is_set()
    assert loop.ledger.settled(1405, SLOTS[0])


def wait_for_training(loop, tournament):
    """Let an attempt end because the first training of both slots' recipes runs."""
    for slot in SLOTS:
        error = FirstTraining("recipe 'own' has no champion yet: the first training runs")
        tournament.ledger.record_failure(Failure.of(error, round_number=1405, slot=slot, at=OPENED))
    tournament.outcome = 75
    steps(loop, 6)


def test_a_round_that_waits_for_the_first_model_is_not_tried_every_few_seconds(loop, tournament, monkeypatch):
    """While every slot waits for a first training, one attempt is made in minutes, and nobody is alerted."""
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    wait_for_training(loop, tournament)

    assert len(tournament.attempts) == 1
    assert messages(loop) == []


def test_a_new_champion_ends_the_hold_at_once(loop, tournament):
    """A promotion after the last attempt began, also one while it ran, is followed by an attempt in the next look."""
    wait_for_training(loop, tournament)
    loop.promoted_ns, tournament.outcome = lambda: 7, 0
    steps(loop)

    assert loop.ledger.settled(1405, SLOTS[0])


def test_another_failure_beside_a_first_training_is_tried_again_soon(loop, tournament, monkeypatch):
    """A slot whose failure may pass within seconds is not held back by one that waits for a model."""
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    unanswered = NumeraiUnavailable("no answer")
    tournament.ledger.record_failure(Failure.of(unanswered, round_number=1405, slot=SLOTS[0], at=OPENED))
    waiting = FirstTraining("the first training runs")
    tournament.ledger.record_failure(Failure.of(waiting, round_number=1405, slot=SLOTS[1], at=OPENED))
    tournament.outcome = 75
    steps(loop, 6)

    assert len(tournament.attempts) > 2


def test_an_extended_round_is_tried_until_its_new_close(loop, tournament, no_hold):
    """Every look reads the close anew."""
    tournament.outcome = 75
    steps(loop)
    tournament.rounds[0] = replace(tournament.rounds[0], closes_at=OPENED + timedelta(hours=3))
    tournament.now, tournament.outcome = OPENED + timedelta(hours=2), 0
    steps(loop)

    assert loop.ledger.settled(1405, SLOTS[0])


def test_an_unusable_account_does_not_delay_another(loop, tournament):
    """A refused key is alerted; the other account's slots are filled."""

    def refuse():
        raise BadCredentials("revoked")

    loop.accounts = [AccountState(find_slots=refuse, attempt=tournament.attempt), *loop.accounts]
    steps(loop)

    assert [one.round.number for one in tournament.attempts] == [1405]
    assert loop.ledger.settled(1405, SLOTS[0])
    assert messages(loop) == [("alert", "an account cannot be used")]


def test_no_error_ends_the_loop(loop, tournament):
    """After any error in a look, the next look follows."""
    tournament.failing = ZeroDivisionError("never thought of")
    steps(loop)
    tournament.failing = None
    steps(loop)

    assert loop.ledger.settled(1405, SLOTS[0])


TUESDAY = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WEEK = [TUESDAY + timedelta(days=days) for days in range(5)]
TIMES = st.timedeltas(timedelta(0), timedelta(days=2000)).map(lambda passed: TUESDAY + passed)


def test_looks_are_frequent_near_an_expected_opening():
    """A week after a round opened, looks come every few seconds from two minutes before to two minutes after."""
    again = TUESDAY + timedelta(days=7)

    near = [pause_s(again + offset, WEEK, tick_s=20) for offset in (-NEAR, timedelta(0), NEAR)]
    far = [pause_s(again + offset, WEEK, tick_s=20) for offset in (-2 * NEAR, 2 * NEAR, timedelta(hours=12))]

    assert near == [BRISK_S] * 3
    assert far == [20] * 3


def test_a_new_timetable_replaces_the_old_one():
    """Openings older than a week before the newest one no longer count."""
    moved = [opened + timedelta(days=14, hours=2) for opened in WEEK]

    assert pause_s(TUESDAY + timedelta(days=28), [*WEEK, *moved], tick_s=20) == 20
    assert pause_s(TUESDAY + timedelta(days=28, hours=2), [*WEEK, *moved], tick_s=20) == BRISK_S


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=30), timedelta(days=2_000_000)], ids=str)
def test_an_opening_in_the_future_does_not_replace_the_timetable(ahead):
    """An opening that a wrong answer put into the future counts for nothing."""
    again = TUESDAY + timedelta(days=7)

    assert pause_s(again, [*WEEK, again + ahead], tick_s=20) == BRISK_S


@given(now=TIMES, openings=st.lists(TIMES, max_size=20), tick_s=st.floats(0.1, 20))
def test_no_pause_is_longer_than_a_tick(now, openings, tick_s):
    """No list of openings makes the pause longer than a tick."""
    assert 0 < pause_s(now, openings, tick_s=tick_s) <= tick_s


def refuse(tournament, number, slot=SLOTS[0]):
    """Let the ledger know why a gate refused, as `bot submit` does."""
    gate = Finding(
        gate="exposure", ok=False, value=0.4123, limit="at most 0.2", message="exposure: 0.412 to one feature is over 0.2",
        remedy="neutralize more", setting="BOT_MAX_EXPOSURE",
    )  # fmt: skip
    error = GateFailed(gate.message, gates=(gate,))
    tournament.ledger.record_failure(Failure.of(error, round_number=number, slot=slot, at=OPENED))


def test_each_refused_round_is_told_once_with_its_reason(loop, tournament, no_hold):
    """Gate, value, limit and setting are in the alert; a further round with the same cause is reported again, once."""
    tournament.outcome = 65
    told = []
    for day in range(2):
        tournament.now = OPENED + timedelta(days=day)
        refuse(tournament, 1405 + day)
        steps(loop, 4)
        told += [one for one in messages(loop) if "was missed" not in one[1]]
    (alert,) = loop.outbox.problems()
    tournament.outcome = 0
    steps(loop, 4)

    assert told == [
        ("alert", f"round {number}: refused: first: exposure 0.4123 (limit at most 0.2)") for number in (1405, 1406)
    ]
    assert alert.body == "first: exposure: 0.412 to one feature is over 0.2 (setting: BOT_MAX_EXPOSURE)"
    assert [kind for kind, _ in messages(loop)] == ["recovery"]


def test_a_missed_round_is_recorded_with_its_slots_and_reason(loop, tournament, no_hold, tmp_path):
    """The ledger has each slot that was missed; alert and health say why."""
    tournament.outcome = 65
    confirm(tournament.ledger, 1405, SLOTS[1])
    refuse(tournament, 1405)
    steps(loop)
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop)
    (alert,) = loop.outbox.problems()

    assert tournament.ledger.closed("missed", since=1405) == {(1405, SLOTS[0])}
    assert alert.title == "round 1405 was missed: first: exposure 0.4123 (limit at most 0.2)"
    assert "exposure 0.4123" in problems(tmp_path)[0]


def test_a_miss_is_told_with_its_reason_after_another_message_of_the_round(loop, tournament, no_hold):
    """A reason that is known only after the first message reaches the person with the miss, once."""
    tournament.now, tournament.outcome = OPENED + timedelta(minutes=59, seconds=17), 75
    steps(loop)
    refuse(tournament, 1405)
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop, 4)

    assert messages(loop) == [
        ("alert", "round 1405 is not confirmed, 43 s left"),
        ("alert", "round 1405 was missed: first: exposure 0.4123 (limit at most 0.2)"),
    ]


def test_a_slot_that_is_gone_is_no_reason(loop, tournament, no_hold):
    """The failure of a slot that was mistyped earlier in the round is not told as the reason of the others."""
    tournament.outcome = 75
    refuse(tournament, 1405, slot="frist")
    steps(loop)
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop)

    assert messages(loop) == [("alert", "round 1405 was missed")]


def test_a_killed_attempt_is_the_reason_of_its_round(loop, tournament):
    """An attempt that died without a word is recorded by the daemon, for every slot."""
    tournament.outcome = -9
    steps(loop, 2)
    (failure,) = tournament.ledger.failures(1405)

    assert (failure.slot, failure.kind) == ("", "crashed")
    assert failure.headline == "an attempt was killed by SIGKILL (out of memory?) after 1 s"


def test_a_paused_slot_is_neither_tried_nor_missed(loop, tournament, tmp_path):
    """With one slot paused the round is settled by the other; nothing is alerted after the close."""
    tournament.outcome = 75
    tournament.ledger.pause(SLOTS[1], until=None, at=OPENED)
    confirm(tournament.ledger, 1405, SLOTS[0])
    steps(loop)
    tournament.now += timedelta(hours=2)
    steps(loop)

    assert tournament.attempts == ["ping"]
    assert messages(loop) == []
    assert problems(tmp_path) == ()
    assert tournament.ledger.closed("paused", since=1405) == {(1405, SLOTS[1])}


def test_a_pause_of_everything_starts_no_attempt_and_ends_within_a_look(loop, tournament):
    """While every slot is paused nothing starts; a look after the end of the pause the round is filled."""
    tournament.ledger.pause("", until=OPENED + timedelta(minutes=10), at=OPENED)
    steps(loop)
    before = [one for one in tournament.attempts if one != "ping"]
    tournament.now += timedelta(minutes=11)
    steps(loop)

    assert before == []
    assert [tournament.ledger.settled(1405, slot) for slot in SLOTS] == [True, True]


def test_a_retry_that_a_person_asks_for_ends_the_hold(loop, tournament):
    """After a refusal the bot waits for minutes; `bot retry` starts an attempt with the next look."""
    tournament.outcome = 65
    steps(loop)
    held = len(tournament.attempts)
    tournament.outcome = 0
    tournament.ledger.ask(RETRY, at=OPENED)
    steps(loop)

    assert held == 1
    assert [tournament.ledger.settled(1405, slot) for slot in SLOTS] == [True, True]


def test_a_restart_near_the_close_alerts_only_when_its_attempt_fails(loop, tournament, no_hold):
    """While the first attempt of a bot that starts late still runs, nothing is wrong; once it has failed, there is."""
    tournament.now, tournament.outcome = OPENED + timedelta(minutes=50), None
    steps(loop)
    during = messages(loop)
    tournament.outcome = 75
    steps(loop)

    assert during == []
    assert messages(loop) == [("alert", "round 1405 is not confirmed, 10 minutes left")]


def test_an_attempt_that_takes_long_near_the_close_is_alerted(loop, tournament):
    """After a minute without a result there is still time to act, and the person hears of it."""
    tournament.now, tournament.outcome = OPENED + timedelta(minutes=50), None
    steps(loop, 1)
    tournament.attempts[0].seconds = 61.0
    steps(loop, 2)

    assert messages(loop) == [("alert", "round 1405 is not confirmed, 10 minutes left")]


def test_a_round_that_was_resumed_too_late_says_so(loop, tournament):
    """Paused until the close, and resumed then: the round is missed, and its reason is the pause."""
    tournament.ledger.pause("", until=None, at=OPENED)
    steps(loop)
    tournament.ledger.resume(None, at=OPENED)
    tournament.now = OPENED + timedelta(hours=1)
    steps(loop)

    assert messages(loop) == [("alert", "round 1405 was missed: it was paused until shortly before the close")]


def test_a_round_that_was_paused_to_its_close_is_recorded_as_paused(loop, tournament):
    """A pause of every slot, whose names were never asked for, leaves no missed round in the ledger."""
    tournament.ledger.pause("", until=None, at=OPENED)
    steps(loop)
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop)

    assert tournament.ledger.closed("paused", since=1405) == {(1405, "")}
    assert tournament.ledger.closed("missed", since=1405) == frozenset()
    assert messages(loop) == []


def test_a_slot_that_was_corrected_is_owed_no_more(loop, tournament, no_hold):
    """After an attempt that fills all slots of the settings, a name that was corrected meanwhile is forgotten."""
    (account,) = loop.accounts
    named = [(SLOTS[0], "secnd")]
    account.find_slots, tournament.outcome = lambda: named[-1], 78
    steps(loop)
    tried = len(tournament.attempts)
    named.append(SLOTS)
    tournament.outcome = 0
    steps(loop, 6)
    settled = tournament.attempts[tried:].count("ping")
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop)

    assert settled == 1
    assert not [title for _, title in messages(loop) if "missed" in title]


def restarted(tournament, folder, hooks):
    """Return a new loop, as of a new process, and where its hooks are noted."""
    loop = make_loop(tournament, folder)
    loop.happened = lambda event, content: hooks.append((event, content["round"]))
    return loop


def test_a_round_that_closed_during_a_restart_is_reported_once(tournament, tmp_path):
    """A process that starts after the close reports the miss of the round that an earlier one tried; the next does not."""
    tournament.outcome, hooks = 75, []
    loop = restarted(tournament, tmp_path, hooks)
    loop.ledger.record_failure(Failure.of(NumeraiUnavailable("no answer"), round_number=1405, slot=SLOTS[0], at=OPENED))
    steps(loop)
    tournament.now = OPENED + timedelta(hours=2)
    for _ in range(2):
        loop = restarted(tournament, tmp_path, hooks)
        steps(loop)

    assert messages(loop) == [("alert", "round 1405 was missed: first: no answer")]
    assert hooks == [("on_missed", 1405)]


def test_a_round_that_was_filled_before_a_restart_is_not_reported_again(tournament, tmp_path):
    """A round that is confirmed in the ledger makes neither message nor ping nor hook in a new process."""
    hooks = []
    steps(make_loop(tournament, tmp_path))
    tried = len(tournament.attempts)
    tournament.now = OPENED + timedelta(hours=2)
    loop = restarted(tournament, tmp_path, hooks)
    steps(loop)

    assert (messages(loop), hooks, tournament.attempts[tried:]) == ([], [], [])


def test_a_round_that_was_extended_during_a_restart_is_not_missed(tournament, tmp_path):
    """A round whose recorded close is over, and which Numerai keeps open, is tried on."""
    tournament.outcome, hooks = 75, []
    loop = restarted(tournament, tmp_path, hooks)
    loop.ledger.record_failure(Failure.of(NumeraiUnavailable("no answer"), round_number=1405, slot=SLOTS[0], at=OPENED))
    steps(loop)
    tournament.now, tournament.outcome = OPENED + timedelta(hours=2), 0
    tournament.rounds[0] = replace(tournament.rounds[0], closes_at=OPENED + timedelta(hours=3))
    loop = restarted(tournament, tmp_path, hooks)
    steps(loop)

    assert (messages(loop), hooks) == ([], [("on_confirmed", 1405)])


def test_a_slot_that_is_new_after_the_close_was_not_missed(tournament, tmp_path):
    """A slot that the settings name only since the restart is not counted in the round that closed before."""
    hooks = []
    steps(make_loop(tournament, tmp_path))
    tournament.now = OPENED + timedelta(hours=2)
    loop = restarted(tournament, tmp_path, hooks)
    loop.accounts[0].find_slots = lambda: (*SLOTS, "third")
    steps(loop)

    assert (messages(loop), hooks) == ([], [])


def test_an_account_that_cannot_be_asked_does_not_keep_the_loop_from_looking(tournament, tmp_path):
    """Where the slots of one account stay unknown after a restart, the next round of another account is filled."""
    tournament.outcome = 75
    steps(make_loop(tournament, tmp_path))
    tournament.now, tournament.outcome = OPENED + timedelta(hours=2), 0
    loop = make_loop(tournament, tmp_path)

    def find_slots():
        raise ValueError("odd")

    loop.accounts = [*loop.accounts, AccountState(find_slots=find_slots, attempt=tournament.attempt)]
    steps(loop)
    tournament.now = OPENED + timedelta(days=1, minutes=1)
    steps(loop)

    assert loop.ledger.settled(1406, SLOTS[0])


def test_a_wrong_answer_in_the_middle_of_a_round_is_no_miss(tournament, tmp_path, no_hold):
    """Where Numerai once lists no open round before the close, the round is neither missed nor forgotten."""
    hooks = []
    loop = restarted(tournament, tmp_path, hooks)
    tournament.outcome = 75
    steps(loop)
    tournament.failing = RoundNotOpen("no round is open")
    steps(loop, 1)
    tournament.failing, tournament.outcome = None, 0
    steps(loop)

    assert (messages(loop), hooks) == ([], [("on_confirmed", 1405)])


def test_an_attempt_that_hangs_after_every_slot_was_filled_is_no_alert(loop, tournament):
    """It is stopped, and the round is confirmed."""
    tournament.outcome = None
    steps(loop)
    (attempt,) = tournament.attempts
    for slot in SLOTS:
        confirm(tournament.ledger, 1405, slot)
    attempt.is_overdue = True
    steps(loop)

    assert attempt.stopped == 0.0
    assert messages(loop) == []


def test_an_attempt_has_time_for_each_slot_of_its_account(loop, tournament, monkeypatch):
    """A minute a slot where the account has many, never beyond the close."""
    monkeypatch.setattr(tournament, "find_slots", lambda: tuple(f"slot {number}" for number in range(50)))
    loop.accounts[0].find_slots = tournament.find_slots
    tournament.outcome = None
    steps(loop)

    assert tournament.attempts[0].limit_s == pytest.approx(3000)


def test_a_round_whose_slots_are_all_paused_is_not_reported_as_confirmed(loop, tournament):
    """The dead man's switch is for confirmed rounds."""
    tournament.ledger.pause("", until=None, at=OPENED)
    steps(loop)

    assert tournament.attempts == []


def test_two_accounts_that_cannot_be_used_are_named_together(loop, tournament):
    """The second one is a message of its own; the same two again are none."""

    def refused(number):
        def find_slots():
            raise BadCredentials(f"key {number} is refused")

        return AccountState(find_slots=find_slots, attempt=tournament.attempt)

    loop.tick_s, loop.accounts = 1e-9, [refused(1)]
    steps(loop, 4)
    loop.accounts = [*loop.accounts, refused(2)]
    steps(loop, 6)
    (problem,) = loop.outbox.problems()

    assert messages(loop) == [("alert", "an account cannot be used")] * 2
    assert problem.body == "key 1 is refused; key 2 is refused"


def test_an_attempt_that_outlives_its_round_is_reported_with_its_number(loop, tournament):
    """An attempt that is killed after the close is one of its own round, not of the one that is open by then."""
    tournament.outcome = None
    steps(loop, 2)
    tournament.now = OPENED + timedelta(hours=2)
    steps(loop, 1)
    tournament.attempts[0].is_overdue = True
    steps(loop, 1)

    assert ("alert", "round 1405: an attempt hung and was stopped after 1 s") in messages(loop)


def test_attempts_of_all_accounts_are_stopped_at_once(loop, tournament):
    """The stop of one account's attempt does not wait for the end of another one."""
    together, met, stop = threading.Barrier(2), [], threading.Event()
    loop.accounts = [*loop.accounts, AccountState(find_slots=tournament.find_slots, attempt=tournament.attempt)]
    tournament.outcome = None
    steps(loop)
    for attempt in tournament.attempts:
        attempt.stop = lambda **_: met.append(together.wait(timeout=60))
    stop.set()
    loop.run(stop)

    assert sorted(met) == [0, 1]
