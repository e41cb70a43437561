"""The ledger returns the right rows of rounds, slots and jobs, in the right order."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.record.failures import Failure
from bot.record.ledger import Deaths, Entry, Ledger, LiveFileRecord
from bot.tournament.rounds import Round

NOW = datetime(2026, 11, 24, 12, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ENTRY = Entry(
    round=1404,
    slot="mixer",
    state="intended",
    token="r1404-mixer-0123abcd",
    csv_sha256="csv",
    data_sha256="data",
    artifact="a",
    submission_id="s-0",
    filename="f-0",
    intended_at=NOW.isoformat(),
    confirmed_at=LATER.isoformat(),
    filled_by="previous",
    passed_over="artifact c is passed over",
)


def live(number, sha256="s", version="v5.3"):
    return LiveFileRecord(
        round=number, version=version, sha256=sha256, ids_sha256=f"i{number}", rows=5, fetched_at=NOW.isoformat()
    )


def opened(number):
    return Round(number=number, opens_at=NOW + timedelta(days=number), closes_at=LATER + timedelta(days=number))


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_an_entry_comes_back_as_it_was_written(ledger):
    """Every column has its own value, for each slot and round."""
    ledger.intend(ENTRY)
    for other in (replace(ENTRY, slot="trees"), replace(ENTRY, round=1405)):
        ledger.intend(replace(other, artifact="b"))

    assert ledger.entry(1404, "mixer") == ENTRY
    assert ledger.entry(1404, "other") is None


def test_a_later_intent_replaces_the_earlier(ledger):
    """Each round and slot has one row: the last intent."""
    ledger.intend(ENTRY)
    ledger.intend(replace(ENTRY, artifact="b"))

    assert [one.artifact for one in ledger.entries()] == ["b"]


def test_entries_come_newest_first_and_no_more_than_asked(ledger):
    """Entries are sorted by round, newest first, and by slot; the default limit is twenty."""
    for number in range(1380, 1405):
        ledger.intend(replace(ENTRY, round=number))
    ledger.intend(replace(ENTRY, slot="an_earlier_name"))

    assert [(one.round, one.slot) for one in ledger.entries(limit=3)] == [
        (1404, "an_earlier_name"),
        (1404, "mixer"),
        (1403, "mixer"),
    ]
    assert len(ledger.entries()) == 20


def test_confirming_touches_one_row(ledger):
    """A confirmation changes only its slot and round, and adds the server's names and the time."""
    for one in (ENTRY, replace(ENTRY, slot="trees"), replace(ENTRY, round=1403)):
        ledger.intend(one)
    ledger.confirm(1404, "mixer", submission_id="s-1", filename="f-1", at=LATER)

    assert ledger.entry(1404, "mixer") == replace(ENTRY, state="confirmed", submission_id="s-1", filename="f-1")
    assert [ledger.entry(*one).state for one in ((1404, "trees"), (1403, "mixer"))] == ["intended", "intended"]


def test_the_newest_entry_is_of_its_slot(ledger):
    """The newest entry of a slot does not depend on entries of other slots."""
    for number, slot in ((1403, "mixer"), (1404, "mixer"), (1402, "mixer"), (1405, "trees")):
        ledger.intend(replace(ENTRY, round=number, slot=slot))

    assert ledger.newest("mixer") == ENTRY
    assert ledger.newest("other") is None


def test_only_confirmed_entries_count_as_last_confirmed(ledger):
    """A rehearsal and an intent are not confirmed; the given round is not earlier than itself."""
    for number, state in ((1401, "confirmed"), (1402, "rehearsed"), (1403, "intended"), (1404, "confirmed")):
        ledger.intend(replace(ENTRY, round=number, state=state))

    assert ledger.last_confirmed("mixer", before=1404).round == 1401
    assert ledger.last_confirmed("mixer", before=1405).round == 1404
    assert ledger.last_confirmed("mixer", before=1401) is None


@pytest.mark.parametrize(("state", "settled"), [("intended", False), ("confirmed", True), ("rehearsed", True)])
def test_settled_is_more_than_intended(ledger, state, settled):
    """A round is settled once it is confirmed or rehearsed; a round without an entry is not."""
    ledger.intend(replace(ENTRY, state=state))

    assert ledger.settled(1404, "mixer") is settled
    assert ledger.settled(1405, "mixer") is False


def test_the_rung_is_the_entrys_or_the_champion(ledger):
    """The ledger returns what filled the slot; before that, it returns the champion."""
    ledger.intend(ENTRY)

    assert (ledger.filled_by(1404, "mixer"), ledger.filled_by(1405, "mixer")) == ("previous", "champion")


def test_queued_is_of_one_round_and_slot(ledger):
    """A late upload is recorded for its round and slot, and the entry does not change."""
    ledger.intend(ENTRY)
    before = ledger.queued(1404, "mixer")
    ledger.queue(1404, "mixer", submission_id="s-1", filename="f-1", at=LATER)

    assert (before, ledger.queued(1404, "mixer")) == (False, True)
    assert (ledger.queued(1404, "trees"), ledger.queued(1403, "mixer")) == (False, False)
    assert ledger.entry(1404, "mixer") == ENTRY
    assert ledger.events(1404)[-1] == (LATER.isoformat(), "submission.queued")


def test_unsent_is_the_newest_round_with_a_slot_left_behind(ledger):
    """The last round is unsent from its intent until all its slots are confirmed or uploaded late."""
    told = []
    for number in (1403, 1404):
        ledger.record_round(opened(number))
    ledger.intend(replace(ENTRY, round=1403))
    told.append(ledger.unsent())
    for slot in ("mixer", "trees"):
        ledger.intend(replace(ENTRY, slot=slot))
        told.append(ledger.unsent())
    ledger.queue(1404, "mixer", submission_id="s", filename="f", at=LATER)
    told.append(ledger.unsent())
    ledger.confirm(1404, "trees", submission_id="s", filename="f", at=LATER)

    assert told == [None, opened(1404), opened(1404), opened(1404)]
    assert ledger.unsent() is None


def test_what_another_round_or_slot_queued_does_not_settle_this_one(ledger):
    """A late upload counts only for its own round and slot; other events do not count."""
    ledger.record_round(opened(1404))
    ledger.intend(ENTRY)
    ledger.queue(1403, "mixer", submission_id="s", filename="f", at=LATER)
    ledger.queue(1404, "trees", submission_id="s", filename="f", at=LATER)

    assert ledger.unsent() == opened(1404)


def test_the_live_file_seen_last_counts(ledger):
    """A round has one live file for each data version, the one recorded last; other rounds have their own."""
    for record in (live(1403), live(1404, "old"), live(1404, version="v5.4"), live(1404, "new")):
        ledger.record_live_file(record)

    assert ledger.live_files(1404) == (live(1404, "new"), live(1404, version="v5.4"))
    assert ledger.live_files(1405) == ()


def test_fifty_earlier_live_files_are_looked_at(ledger):
    """The fifty earlier live files are returned, never one of the round itself."""
    for number in range(1344, 1405):
        ledger.record_live_file(live(number))

    assert [record.round for record in ledger.earlier_live_files(1404)] == list(range(1403, 1353, -1))


def test_forgetting_a_round_spares_proofs_and_other_rounds(ledger):
    """The live files and intents of the round are deleted; confirmed entries and other rounds stay."""
    for number in (1403, 1404):
        ledger.record_live_file(live(number))
        ledger.record_live_file(live(number, version="v5.4"))
        ledger.intend(replace(ENTRY, round=number))
    ledger.intend(replace(ENTRY, slot="trees", state="confirmed"))
    ledger.forget(1404)

    assert ledger.live_files(1404) == ()
    assert [record.version for record in ledger.live_files(1403)] == ["v5.3", "v5.4"]
    assert [(one.round, one.slot) for one in ledger.entries()] == [(1404, "trees"), (1403, "mixer")]


def test_rounds_are_remembered_as_seen_last(ledger):
    """A later close replaces the earlier one; the newest round is the last; opening times are newest first."""
    before = ledger.newest_round()
    for number in (*range(1385, 1402), 1404, 1403):
        ledger.record_round(opened(number))
    ledger.record_round(replace(opened(1404), closes_at=NOW))

    assert before is None
    assert ledger.newest_round() == replace(opened(1404), closes_at=NOW)
    assert ledger.opening_times(limit=2) == (opened(1404).opens_at, opened(1403).opens_at)
    assert len(ledger.opening_times()) == 15


def test_chores_are_told_apart(ledger):
    """Each job has its own start, end and outcome, and a new start clears the old end."""
    ledger.start_job("sync", NOW)
    ledger.start_job("retrain", NOW)
    ledger.finish_job("sync", LATER, "failed")
    ledger.start_job("report", NOW)
    ledger.finish_job("report", NOW, "ok")
    ledger.start_job("report", LATER)
    running = {"finished_at": None, "outcome": None}

    assert ledger.job("sync") == {
        "name": "sync",
        "started_at": NOW.isoformat(),
        "finished_at": LATER.isoformat(),
        "outcome": "failed",
    }
    assert ledger.job("unknown") is None
    assert ledger.jobs() == (
        {"name": "report", "started_at": LATER.isoformat(), **running},
        {"name": "retrain", "started_at": NOW.isoformat(), **running},
        ledger.job("sync"),
    )


def test_every_effect_is_an_event_with_its_details(ledger):
    """The append-only table has the time, round, slot and details of each effect."""
    ledger.intend(ENTRY)
    ledger.record_live_file(live(1404))
    ledger.confirm(1404, "mixer", submission_id="s-1", filename="f-1", at=LATER)
    ledger.queue(1404, "mixer", submission_id="s-2", filename="f-2", at=LATER)
    ledger.start_job("sync", NOW)
    ledger.finish_job("sync", LATER, "ok")
    rows = ledger._select("SELECT at, name, round, slot, detail FROM event ORDER BY id")
    now, later = NOW.isoformat(), LATER.isoformat()

    assert [tuple(row) for row in rows] == [
        (now, "submission.intended", 1404, "mixer", '{"token": "r1404-mixer-0123abcd"}'),
        (now, "dataset.fetched", 1404, None, '{"sha256": "s"}'),
        (later, "submission.confirmed", 1404, "mixer", '{"submission_id": "s-1"}'),
        (later, "submission.queued", 1404, "mixer", '{"filename": "f-2", "submission_id": "s-2"}'),
        (now, "chore.started", None, None, '{"chore": "sync"}'),
        (later, "chore.finished", None, None, '{"chore": "sync", "outcome": "ok"}'),
    ]
    assert ledger.events(1403) == ()


def test_each_mode_keeps_its_rounds_apart(ledger, tmp_path):
    """Files of a dry run are beside, never in place of, files that were submitted."""
    with closing(Ledger(tmp_path / "ledger-dry-run.sqlite")) as dry:
        assert (ledger.rounds, dry.rounds) == (tmp_path / "rounds", tmp_path / "rounds-dry-run")


def score(ledger, artifact="a", *, slot="mixer", number=1404, at=NOW, limit_s=60.0):
    ledger.start_scoring(number, slot, artifact, at=at, limit_s=limit_s)


def test_a_scoring_that_returned_is_no_death(ledger):
    """A finished scoring, and one that is running, are not counted."""
    score(ledger)
    ledger.end_scoring(1404, "mixer", "a")
    score(ledger, "b")

    assert ledger.deaths(1404) == {}


def test_a_scoring_that_neither_returned_nor_overran_was_killed(ledger):
    """The next attempt counts it once, with the time that it took."""
    score(ledger)
    for _ in range(2):
        ledger.count_deaths(1404, at=NOW + timedelta(seconds=20))

    assert ledger.deaths(1404) == {"a": Deaths(killed=1, lost_s=20.0)}
    assert [name for _, name in ledger.events(1404)] == ["scoring.killed"]


@pytest.mark.parametrize(("since_s", "lost_s"), [(3600.0, 60.0), (-3600.0, 0.0)])
def test_a_lost_scoring_took_no_longer_than_its_limit(ledger, since_s, lost_s):
    """A long pause before the next attempt, or a clock that was set back, is not taken for the scoring."""
    score(ledger)
    ledger.count_deaths(1404, at=NOW + timedelta(seconds=since_s))

    assert ledger.deaths(1404)["a"].lost_s == lost_s


def test_a_scoring_that_overran_is_counted_as_such(ledger):
    """It is not counted again as killed."""
    score(ledger)
    ledger.overrun_scoring(1404, "mixer", "a", at=NOW)
    ledger.count_deaths(1404, at=LATER)

    assert ledger.deaths(1404) == {"a": Deaths(overran=1, lost_s=60.0)}
    assert ledger.events(1404) == ((NOW.isoformat(), "scoring.overran"),)


def test_deaths_add_up_over_attempts_and_slots(ledger):
    """An artifact's deaths of all slots count; those of one slot and of another round are apart."""
    for slot, at in (("mixer", NOW), ("mixer", LATER), ("trees", NOW)):
        score(ledger, slot=slot, at=at)
        ledger.count_deaths(1404, at=at + timedelta(seconds=5))
    score(ledger, "b", slot="trees")
    ledger.count_deaths(1404, at=NOW + timedelta(seconds=9))
    score(ledger, number=1405)

    assert ledger.deaths(1404) == {"a": Deaths(killed=3, lost_s=5.0), "b": Deaths(killed=1, lost_s=9.0)}
    assert ledger.deaths(1404, slot="mixer") == {"a": Deaths(killed=2, lost_s=5.0)}
    assert ledger.deaths(1405) == {}


def test_a_later_success_does_not_undo_a_death(ledger):
    """A scoring that returned after one that died leaves the count."""
    score(ledger)
    ledger.count_deaths(1404, at=NOW)
    score(ledger)
    ledger.end_scoring(1404, "mixer", "a")

    assert ledger.deaths(1404)["a"].count == 1


def test_reasons_of_the_choice_are_those_of_the_entry(ledger):
    """Without an entry nothing was passed over."""
    ledger.intend(ENTRY)

    assert ledger.passed_over(1404, "mixer") == "artifact c is passed over"
    assert ledger.passed_over(1404, "other") == ""


def test_deaths_are_told_in_words():
    """Each kind is counted, and a kind without a death is left out."""
    assert str(Deaths(killed=1)) == "its process was killed once"
    assert str(Deaths(overran=3)) == "it did not score in its time 3 times"


def test_a_slot_is_known_by_its_submissions_and_by_failures_of_the_round(ledger):
    """A slot that was never submitted counts as tried where an attempt at the round failed, as a whole or for it."""
    stamp = NOW.isoformat()
    ledger.intend(replace(ENTRY, round=1403))
    for slot, number in (("trees", 1404), ("", 1405)):
        ledger.record_failure(
            Failure(round=number, slot=slot, kind="refused", message="m", first_at=stamp, last_at=stamp)
        )

    assert [ledger.was_tried(1404, slot) for slot in ("mixer", "trees", "third")] == [True, True, False]
    assert ledger.was_tried(1405, "third")
