"""The record of pickles: one that runs a slot, one that is to follow, and their states in words."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.record.hosted import HostedPickle, HostedRecord, shown

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def pickle(name, slot="spare", **about):
    return HostedPickle(
        slot=slot, sha256=name, account="", model_id="m", artifact=f"artifact-{name}", filename=f"{name}.pkl", **about
    )  # fmt: skip


@pytest.fixture
def record(tmp_path):
    with closing(HostedRecord(tmp_path / "ledger.sqlite")) as opened:
        yield opened


def test_a_slot_runs_one_pickle(record):
    """The assignment of a pickle replaces the earlier one of the slot, and no other slot's."""
    for minutes, one in enumerate((pickle("a"), pickle("b"), pickle("a", slot="other"))):
        record.keep(replace(one, state="assigned"), at=NOW + timedelta(minutes=minutes))

    assert {(one.slot, one.sha256): one.state for one in record.all()} == {
        ("spare", "a"): "replaced",
        ("spare", "b"): "assigned",
        ("other", "a"): "assigned",
    }


def test_a_pickle_is_found_by_slot_and_content(record):
    """What was kept is returned as it was, and nothing for another content."""
    kept = record.keep(pickle("a", stale_after="2026-12-24"), at=NOW)

    assert (record.get("spare", "a"), record.get("spare", "b")) == (kept, None)


def test_shown_are_the_one_that_runs_and_one_that_follows(record):
    """Replaced pickles and failures before the present one are left out; the newest attempt after it is shown."""
    steps = [("a", "refused"), ("b", "assigned"), ("c", "refused"), ("d", "uploaded")]
    for minutes, (name, state) in enumerate(steps):
        record.keep(pickle(name, state=state), at=NOW + timedelta(minutes=minutes))

    assert [one.sha256 for one in shown(record.all())] == ["b", "d"]


@pytest.mark.parametrize(
    ("state", "detail", "words"),
    [
        ("intended", "", "not uploaded yet"),
        ("uploaded", "", "uploaded, not assigned yet"),
        ("refused", "out of memory", "refused by Numerai: out of memory"),
        ("assigned", "", "runs"),
        ("assigned", "did not submit", "did not submit"),
    ],
)
def test_a_state_is_told_in_words(state, detail, words):
    """A pickle that runs without a finding just runs; what Numerai said follows the state."""
    assert pickle("a", state=state, detail=detail).summary == words


def test_a_look_keeps_the_time_of_the_state(record):
    """A daily look changes the finding and its own time only."""
    kept = record.keep(pickle("a", state="assigned"), at=NOW)
    record.check(kept, "did not submit", at=NOW + timedelta(days=1))
    (found,) = record.all()

    assert found == replace(kept, detail="did not submit", checked_at=(NOW + timedelta(days=1)).isoformat())
