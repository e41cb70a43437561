"""The record of looks in the ledger, and retrains whose record is missing or damaged."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from bot.judging.champion_test import EARNED, START, Comparison, Looks, Series
from bot.judging.looks import BEGINS, Judged, keep_look, read_looks
from bot.judging.promotion import Decision
from bot.record import database
from bot.record.ledger import Ledger
from bot.record.looks import LookRecord

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def compared(first=1100, eras=104, champion="one"):
    return Comparison(
        champion=champion,
        eras=tuple(f"{era:04d}" for era in range(first, first + eras)),
        renewal=False,
        differences={"corr": Series(values=np.zeros(eras), noise=np.ones(eras))},
        correlation=np.ones(eras),
    )


def judged(comparison, looks, *, artifact="two", promote=False, spent=0.05, lead=None, recipe="demo"):
    return Judged(
        recipe=recipe,
        artifact=artifact,
        comparison=comparison,
        looks=looks,
        decision=Decision(promote=promote, findings=(), reason="", spent=spent),
        lead=lead or {},
    )


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    return path


def test_looks_are_counted_and_new_eras_earn(ledger):
    """The account of the next look has what the last one left, and the share of the eras that have resolved since."""
    first = read_looks(ledger, compared())
    keep_look(ledger, judged(compared(), first), at=NOW)
    second = read_looks(ledger, compared(1102))

    assert (first.count, first.share, first.note) == (0, START, BEGINS)
    assert (second.count, second.note) == (1, "")
    assert second.share == pytest.approx(START - 0.05 + 2 * EARNED)


def test_the_same_predictions_on_the_same_eras_are_one_look(ledger):
    """A challenger that predicts what the newest look's challenger predicted has its confidence, and takes its place."""
    first = read_looks(ledger, compared())
    keep_look(ledger, judged(compared(), first, artifact="two"), at=NOW)
    again = read_looks(ledger, compared(), is_same=lambda artifact: artifact == "two")
    keep_look(ledger, judged(compared(), again, artifact="three", promote=True, lead={"1100": 0.5}), at=NOW)
    with closing(LookRecord(ledger, read_only=True)) as record:
        newest, count = record.last(), record.count("0000")

    assert (again.count, again.share, again.repeats) == (0, pytest.approx(START), True)
    assert (newest.artifact, newest.promoted, count) == ("three", True, 1)


@pytest.mark.parametrize("other", [compared(1102), compared(champion="three")])
def test_the_same_predictions_on_other_eras_are_another_look(ledger, other):
    """New eras, or another champion, are another question."""
    keep_look(ledger, judged(compared(), read_looks(ledger, compared())), at=NOW)
    found = read_looks(ledger, other, is_same=lambda _: True)

    assert (found.count, found.repeats) == (1, False)


def test_recipes_share_the_eras(ledger):
    """A look of one recipe costs the others, too: they are judged on the same eras."""
    keep_look(ledger, judged(compared(), Looks(), recipe="other"), at=NOW)

    found = read_looks(ledger, compared())

    assert (found.count, found.share) == (1, pytest.approx(START - 0.05))


def test_looks_at_eras_of_long_ago_do_not_count(ledger):
    """A look whose block ends before the middle of this one is another block; the account is full again."""
    keep_look(ledger, judged(compared(), Looks()), at=NOW)
    keep_look(ledger, judged(compared(1153), Looks(), spent=0.09), at=NOW)

    found = read_looks(ledger, compared(1153))

    assert (found.count, found.share) == (1, pytest.approx(0.01))
    assert read_looks(ledger, compared(1300)) == Looks()


def test_an_older_block_earns_nothing(ledger):
    """Data that were restored from an older copy bring no new eras."""
    keep_look(ledger, judged(compared(1200), Looks()), at=NOW)

    assert read_looks(ledger, compared(1150)).share == pytest.approx(START - 0.05)


def test_the_lead_of_the_champion_is_kept(ledger):
    """The lead is read for the champion that got it, and not for a challenger that was refused."""
    keep_look(ledger, judged(compared(), Looks(), artifact="two", promote=True, lead={"1100": 0.5}), at=NOW)
    keep_look(ledger, judged(compared(), Looks(), artifact="three", lead={"1100": 0.7}), at=NOW)

    leads = [read_looks(ledger, compared(champion=one)).lead for one in ("two", "three", "four")]

    assert leads == [{"1100": 0.5}, {}, {}]


def test_without_a_ledger_the_record_begins(tmp_path):
    """A missing ledger is made by the first look, and the reason reports that the record begins."""
    path = tmp_path / "state" / "ledger.sqlite"
    first = read_looks(path, compared())
    keep_look(path, judged(compared(), first), at=NOW)

    assert first == Looks(note=BEGINS)
    assert read_looks(path, compared()).count == 1


def test_no_ledger_and_no_champion_have_no_looks(ledger):
    """Without a ledger nothing is recorded, and without a champion nothing is read."""
    keep_look(None, judged(compared(), Looks()), at=NOW)

    assert read_looks(None, compared()) == read_looks(ledger, None) == Looks()


def test_a_damaged_ledger_stops_no_retrain(tmp_path):
    """The record begins anew with a note, and nothing is raised when it cannot be written either."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database" * 100)
    found = read_looks(path, compared())
    keep_look(path, judged(compared(), found), at=NOW)

    assert replace(found, note="") == Looks()
    assert found.note == "the record of looks cannot be read, so it begins anew"


@pytest.mark.parametrize("lead", ["no json", "[1]", '{"1100": "much"}', '{"1100": null}'])
def test_a_damaged_row_stops_no_retrain(ledger, lead):
    """A lead that is not what the bot wrote is a damaged record."""
    keep_look(ledger, judged(compared(), Looks(), promote=True), at=NOW)
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("UPDATE look SET lead = ?", (lead,))
        database.commit()

    assert "begins anew" in read_looks(ledger, compared()).note


def test_the_looks_of_an_earlier_ledger_begin(ledger):
    """A ledger of the schema before has no looks; it is read as such and brought up to date by the first one."""
    scripts = database._MIGRATIONS
    before = next(place for place, script in enumerate(scripts) if "CREATE TABLE look" in script)
    ledger.unlink(missing_ok=True)
    with closing(sqlite3.connect(ledger)) as earlier:
        for script in scripts[:before]:
            earlier.executescript(script)
        earlier.execute(f"PRAGMA user_version = {before}")
        earlier.commit()
    first = read_looks(ledger, compared())
    keep_look(ledger, judged(compared(), first), at=NOW)

    assert (first.note, read_looks(ledger, compared()).count) == (BEGINS, 1)
