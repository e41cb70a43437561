"""The list of rounds: states, reasons and scores, from a real ledger."""

from datetime import timedelta

import pytest

from bot.errors import GateFailed, NumeraiUnavailable, RoundNotOpen
from bot.live.live_scores import LiveScores
from bot.record.failures import NEXT_ROUND, Failure
from bot.record.ledger import Ledger
from bot.submission.gates import Limits, check_submission
from bot.tournament.responses import LiveScore
from bot.tournament.rounds import Payout, Round
from bot.web._round_rows import RoundScores
from bot.web.status import overview, post_mortem
from tests.daemon.fakes import OPENED, confirm, intend

SLOT = "my_model"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    found = Ledger(path)
    yield found
    found.close()


def seen(ledger, number, *, days=0, payouts=()):
    opens = OPENED + timedelta(days=days)
    round_ = Round(number=number, opens_at=opens, closes_at=opens + timedelta(hours=1), payouts=payouts, factor=0.5)
    ledger.record_round(round_)
    return round_


def refused():
    """Return the error of a submission that is exposed to a feature, as the gates make it."""
    import numpy as np

    values = np.linspace(0.01, 0.99, 60)
    ids = [str(one) for one in range(60)]
    codes = np.repeat(np.arange(5, dtype=np.int8), 12)[:, None]
    found = check_submission(ids, values, live_ids=ids, features=codes, limits=Limits(max_exposure=0.2))
    bad = [one for one in found if not one.ok]
    return GateFailed("; ".join(one.message for one in bad), gates=bad)


def fail(ledger, number, error, slot=SLOT):
    return ledger.record_failure(Failure.of(error, round_number=number, slot=slot, at=OPENED))


def rows(path, tmp_path, now=OPENED):
    return overview(tmp_path, path, now=now)["rounds"]


def test_a_refused_round_shows_gate_value_limit_remedy_and_setting(ledger, path, tmp_path):
    """Everything that a person needs is in the row, and the reason stays after the round has closed."""
    seen(ledger, 1405)
    fail(ledger, 1405, refused())
    (row,) = rows(path, tmp_path, now=OPENED + timedelta(days=1))
    (gate,) = row["failure"]["gates"]

    assert (row["state"], gate["gate"], gate["limit"]) == ("refused", "exposure", "at most 0.2")
    assert gate["value"] > 0.9
    assert row["failure"]["settings"] == ["BOT_MAX_EXPOSURE"]
    assert (
        row["failure"]["remedy"]
        == "neutralize more in the recipe, let BOT_FALLBACK name another one, or raise BOT_MAX_EXPOSURE"
    )
    assert row["failure"]["headline"].startswith("exposure 0.9")


def test_a_mistyped_slot_is_left_out_where_others_tell_of_the_round(ledger, path, tmp_path):
    """Its failure shows only in a round of which nothing else is known; a removed slot that submitted stays."""
    for number in (1405, 1406):
        seen(ledger, number)
        fail(ledger, number, NumeraiUnavailable("no model"), slot="my_modle")
    confirm(ledger, 1406, SLOT)
    confirm(ledger, 1406, "removed")
    found = overview(tmp_path, path, now=OPENED + timedelta(hours=2), slots={SLOT})["rounds"]

    assert [(one["round"], one["slot"]) for one in found] == [(1406, SLOT), (1406, "removed"), (1405, "my_modle")]


def test_each_round_between_known_ones_that_was_not_seen_is_told(ledger, path, tmp_path):
    """Rounds that the bot slept through are one row between their neighbours."""
    for number in (1405, 1409):
        seen(ledger, number)
        confirm(ledger, number, SLOT)

    assert [(one["round"], one.get("through"), one["state"]) for one in rows(path, tmp_path)] == [
        (1409, None, "confirmed"), (1408, 1406, "not seen"), (1405, None, "confirmed"),
    ]  # fmt: skip


def test_a_round_that_closed_without_an_attempt_is_missed(ledger, path, tmp_path):
    """Open, the round waits; closed, it is missed, although nobody has recorded that."""
    seen(ledger, 1405)

    assert [one["state"] for one in rows(path, tmp_path)] == ["open"]
    assert [one["state"] for one in rows(path, tmp_path, now=OPENED + timedelta(hours=2))] == ["missed"]


@pytest.mark.parametrize(
    ("hours", "state", "remedy"),
    [(0, "trying again", "the bot tries again"), (2, "missed", NEXT_ROUND)],
)
def test_a_failure_that_may_pass_is_no_refusal(ledger, path, tmp_path, hours, state, remedy):
    """While the round is open the bot tries again, and not after it; a slot with an unsent submission has its reason too."""
    seen(ledger, 1405)
    intend(ledger, 1405, SLOT)
    fail(ledger, 1405, NumeraiUnavailable("no answer"))
    now = OPENED + timedelta(hours=hours)
    (row,) = rows(path, tmp_path, now=now)

    assert (row["state"], row["failure"]["headline"], row["failure"]["remedy"]) == (state, "no answer", remedy)
    assert post_mortem(path, 1405, now=now)["slots"][SLOT]["failure"]["remedy"] == remedy


def test_a_round_that_is_too_late_to_upload_is_not_tried_again(ledger, path, tmp_path):
    """In the last seconds before the close the state is "too late", not "trying again"."""
    seen(ledger, 1405)
    fail(ledger, 1405, RoundNotOpen(f"round 1405 closes at 13:00: too late to upload; {NEXT_ROUND}"))
    (row,) = rows(path, tmp_path)

    assert (row["state"], row["failure"]["remedy"]) == ("too late", NEXT_ROUND)


def test_a_paused_slot_is_neither_open_nor_missed(ledger, path, tmp_path):
    """During the pause and after the close the round is paused for the slot."""
    seen(ledger, 1405)
    ledger.pause(SLOT, until=OPENED + timedelta(minutes=30), at=OPENED)
    during = rows(path, tmp_path)
    ledger.close_round(1405, [SLOT], "paused", at=OPENED)
    after = rows(path, tmp_path, now=OPENED + timedelta(days=2))

    assert [(one["slot"], one["state"]) for one in (*during, *after)] == [(SLOT, "paused")] * 2


def test_scores_and_pay_equal_those_of_the_live_record(ledger, path, tmp_path):
    """The figures of the list are those of `bot scores`: same values, and pay by the round's terms."""
    terms = tuple(Payout(score=name, multiplier=one, clip=0.05) for name, one in (("corr60", 3.0), ("mmc60", 15.0)))
    live = LiveScores(path)
    for number, corr in ((1405, 0.01), (1406, 0.9)):
        live.record_terms(seen(ledger, number, payouts=terms))
        confirm(ledger, number, SLOT)
        scores = [
            LiveScore(
                round=number, name=name, value=value, percentile=None, day=3, date="2026-11-27", resolved=number == 1405
            )
            for name, value in (("corr60", corr), ("mmc60", -0.002))
        ]
        live.record(SLOT, scores)
    expected = {(one.round, one.slot): (dict(one.scores), one.pay, one.resolved) for one in live.rounds()}
    found = RoundScores(path, read_only=True).since(1405)
    live.close()

    assert {key: (one["scores"], pytest.approx(one["pay"]), one["final"]) for key, one in found.items()} == expected
    assert [one["scores"]["corr60"] for one in rows(path, tmp_path)] == [0.9, 0.01]


def test_the_record_of_a_refused_round_names_the_slot_without_an_entry(ledger, path):
    """`bot status ROUND` shows a slot that never came as far as a submission."""
    fail(ledger, 1405, refused())
    found = post_mortem(path, 1405)

    assert found["slots"][SLOT]["state"] == "refused"
    assert found["slots"][SLOT]["failure"]["settings"] == ["BOT_MAX_EXPOSURE"]
    assert [one["event"] for one in found["events"]] == ["submission.failed"]


def test_the_same_cause_is_one_event_and_another_one_is_new(ledger):
    """A round that is tried every few seconds fills no table: attempts are counted."""
    news = [fail(ledger, 1405, NumeraiUnavailable("no answer")) for _ in range(3)]
    news.append(fail(ledger, 1405, refused()))
    (failure,) = ledger.failures(1405)

    assert news == [True, False, False, True]
    assert (failure.attempts, failure.kind) == (4, "refused")


def test_the_next_opening_is_that_of_earlier_weeks(ledger, path, tmp_path):
    """With a week of rounds the next one is expected where the week before had one; with less nothing is claimed."""
    seen(ledger, 1405, days=0)
    early = overview(tmp_path, path, now=OPENED + timedelta(hours=3))["next_opening"]
    for day in (1, 2, 3, 4, 7):
        seen(ledger, 1405 + day, days=day)
    late = overview(tmp_path, path, now=OPENED + timedelta(days=7, hours=3))["next_opening"]

    assert early is None
    assert late == (OPENED + timedelta(days=8)).isoformat()
