"""The live file of a round: reused if it is proven, else downloaded and proven."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot.errors import DatasetIncomplete, NumeraiUnavailable, RoundNotOpen
from bot.record.ledger import Ledger, LiveFileRecord
from bot.sandbox.faults import Fault
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.submission._delivery import Delivery
from bot.submission.live_fetch import WAIT_S, LiveFiles, fetch_live, live_path
from bot.system.kill_points import listening
from bot.tournament.client import NumeraiClient
from tests.harness.installation import FIRST_ROUND, OPENED

pytestmark = pytest.mark.usefixtures("no_backoff")
DAY = timedelta(days=1)


@pytest.fixture
def delivery(sandbox, tmp_path):
    client = NumeraiClient(api_url=sandbox.url, public_id=DEMO_ACCOUNT.public_id, secret_key=DEMO_ACCOUNT.secret_key)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield Delivery(client=client, ledger=ledger)
    ledger.close()


def take(delivery, path):
    return fetch_live(delivery, delivery.client.current_round(), path, version="v5.3")


def fetches(passed):
    return passed.count("fetch.folder:before")


def test_what_was_fetched_is_recorded(sandbox, delivery, tmp_path):
    """The ledger records the digests, row count and server time of the file."""
    with capture_logs() as logs:
        proven = take(delivery, tmp_path / "live.parquet")
    record, live = proven.record, proven.rows
    told = {"rows": record.rows, "bytes": (tmp_path / "live.parquet").stat().st_size, "sha256": record.sha256[:12]}

    assert list(live.ids) == sandbox.tournament.live_ids(FIRST_ROUND)
    assert (record.round, record.rows, record.ids_sha256) == (FIRST_ROUND, len(live.ids), live.ids_sha256)
    assert delivery.ledger.live_files(FIRST_ROUND) == (record,)
    assert record.fetched_at.startswith("2026-11-24T12:01:")
    assert {"event": "dataset.fetched", "log_level": "info", **told} in logs


def test_a_proven_file_is_not_fetched_again(delivery, tmp_path):
    """A file on disk that matches the ledger is reused."""
    path, passed = tmp_path / "live.parquet", []
    first = take(delivery, path)
    with listening(passed.append):
        second = take(delivery, path)

    assert (second.record, fetches(passed)) == (first.record, 0)
    assert second.rows.ids_sha256 == first.rows.ids_sha256


@pytest.mark.parametrize("left", [None, b"PAR1"])
def test_a_file_that_is_gone_or_changed_is_fetched_again(delivery, tmp_path, left):
    """A file in the ledger that is missing on disk is downloaded again."""
    path, passed = tmp_path / "live.parquet", []
    first = take(delivery, path)
    path.unlink() if left is None else path.write_bytes(left)
    with listening(passed.append):
        second = take(delivery, path)

    assert (second.record.sha256, fetches(passed)) == (first.record.sha256, 1)


def test_a_file_that_the_ledger_does_not_know_is_fetched(delivery, tmp_path):
    """A file on disk without a ledger record is downloaded again."""
    path, passed = tmp_path / "live.parquet", []
    take(delivery, path)
    delivery.ledger.forget(FIRST_ROUND)
    with listening(passed.append):
        take(delivery, path)

    assert fetches(passed) == 1


def test_the_file_of_a_round_that_was_seen_is_told_by_its_ids(sandbox, delivery, tmp_path):
    """If the last round's ids are known, a file with the same ids is refused without a request for its date."""
    take(delivery, tmp_path / "first.parquet")
    sandbox.clock.advance(DAY)
    sandbox.faults.add(Fault(operation="GET", kind="stale_live"))
    with pytest.raises(DatasetIncomplete, match="same ids"):
        take(delivery, tmp_path / "second.parquet")

    assert delivery.ledger.live_files(FIRST_ROUND + 1) == ()
    assert take(delivery, tmp_path / "second.parquet").record.round == FIRST_ROUND + 1


@pytest.mark.parametrize("rounds_seen", [0, 1])
def test_the_file_of_a_round_that_was_not_seen_is_told_by_its_date(sandbox, delivery, tmp_path, rounds_seen):
    """If the last round's ids are unknown, the file's date decides: an old file is refused, a new one accepted."""
    for _ in range(rounds_seen):
        take(delivery, tmp_path / "first.parquet")
        sandbox.clock.advance(DAY)
    sandbox.clock.advance(DAY)
    number = delivery.client.current_round().number
    sandbox.faults.add(Fault(operation="GET", kind="stale_live"))
    with pytest.raises(DatasetIncomplete, match="it is the last round's"):
        take(delivery, tmp_path / "later.parquet")

    assert take(delivery, tmp_path / "later.parquet").record.round == number


def test_a_size_that_no_round_has_is_refused(sandbox, delivery, tmp_path):
    """A new file's row count is compared with the newest known file."""
    first = take(delivery, tmp_path / "first.parquet").record
    sandbox.clock.advance(DAY)
    sandbox.faults.add(Fault(operation="rounds", kind="schema_change", message="half_the_rows", seconds=9e4))
    with pytest.raises(DatasetIncomplete, match=f"the last round's had {first.rows}"):
        take(delivery, tmp_path / "second.parquet")


@pytest.mark.parametrize(("before", "refused"), [((5, 1), True), ((1, 5), False)])
def test_the_newest_round_sets_the_size(sandbox, delivery, tmp_path, before, refused):
    """A new file's row count is compared with the last known round, not with older ones."""
    rows = len(sandbox.tournament.live_ids(FIRST_ROUND))
    for number, share in zip((FIRST_ROUND - 2, FIRST_ROUND - 1), before, strict=True):
        seen = LiveFileRecord(
            round=number, version="v5.3", sha256="s", ids_sha256=str(number), rows=rows * share // 5, fetched_at=""
        )
        delivery.ledger.record_live_file(seen)

    with pytest.raises(DatasetIncomplete, match="rows, the last round's had") if refused else nullcontext():
        take(delivery, tmp_path / "live.parquet")


def test_a_date_says_nothing_where_the_ids_tell(sandbox, delivery, tmp_path, monkeypatch):
    """New ids after a known round prove the file, whatever its date."""
    take(delivery, tmp_path / "first.parquet")
    sandbox.clock.advance(DAY)
    monkeypatch.setattr("bot.data.download._modified", lambda _: OPENED)

    assert take(delivery, tmp_path / "second.parquet").record.round == FIRST_ROUND + 1


def test_a_round_that_gave_way_meanwhile_records_nothing(sandbox, delivery, tmp_path):
    """A file that arrives after the next round has opened is refused, because its round is unknown."""

    def open_the_next(name):
        if name == "fetch.folder:before":
            sandbox.clock.advance(DAY)

    with listening(open_the_next), pytest.raises(RoundNotOpen, match="gave way"):
        take(delivery, tmp_path / "live.parquet")

    assert delivery.ledger.live_files(FIRST_ROUND) == ()


@pytest.mark.parametrize(("hours", "taken"), [(11, False), (13, True)])
def test_half_way_between_two_openings_nothing_is_published(sandbox, delivery, tmp_path, monkeypatch, hours, taken):
    """A file dated in the first half of the interval belongs to the last round; in the second half, to this round."""
    sandbox.clock.advance(DAY)
    published = OPENED + timedelta(hours=hours)
    monkeypatch.setattr("bot.data.download._modified", lambda _: published)

    if not taken:
        with pytest.raises(DatasetIncomplete, match="published Tue 2026-11-24 23:00 UTC"):
            take(delivery, tmp_path / "live.parquet")
    else:
        assert take(delivery, tmp_path / "live.parquet").record.round == FIRST_ROUND + 1


@pytest.fixture
def files(delivery, tmp_path):
    """Return a function that makes the files of the open round for artifacts of two data versions."""

    def made(versions=("v5.3", "v5.2")):
        round_ = delivery.client.current_round()
        return LiveFiles(delivery=delivery, round_=round_, folder=tmp_path, versions=versions)

    return made


def test_each_data_version_has_its_own_file_asked_for_once(delivery, files, tmp_path):
    """Each data version has its own proven file, and an attempt downloads it once."""
    passed, asked = [], files(("v5.3", "v5.3"))
    with listening(passed.append):
        first = asked.get("v5.3")
        again = asked.get("v5.3")
    record = first.record
    delivery.ledger.record_live_file(replace(record, version="v5.2", sha256="other"))

    assert again is first
    assert fetches(passed) == 1
    live_path(tmp_path, "v5.3").unlink()
    assert files().get("v5.3").record.sha256 == record.sha256
    assert live_path(tmp_path, "v5.3").is_file()
    assert [one.version for one in delivery.ledger.live_files(FIRST_ROUND)] == ["v5.2", "v5.3"]


def test_files_of_one_round_have_the_same_ids(delivery, files):
    """If the files of two versions have different ids, both are discarded and downloaded again."""
    round_ = delivery.client.current_round()
    other = LiveFileRecord(round=round_.number, version="v5.2", sha256="s", ids_sha256="others", rows=5, fetched_at="")
    delivery.ledger.record_live_file(other)
    with pytest.raises(DatasetIncomplete, match=r"of v5\.3 and v5\.2 differ in their ids"):
        files().get("v5.3")
    forgotten = delivery.ledger.live_files(FIRST_ROUND)
    delivery.ledger.record_live_file(replace(other, version=""))
    with pytest.raises(DatasetIncomplete, match=r"of v5\.3 and before differ"):
        files().get("v5.3")

    assert forgotten == ()
    assert files().get("v5.3").record.version == "v5.3"


@pytest.mark.parametrize(("seconds", "waits"), [(WAIT_S + 2, True), (WAIT_S - 2, False)])
def test_a_late_file_is_waited_for_until_ten_minutes_before_the_guard(sandbox, files, seconds, waits):
    """While time is left the champion's version is retried; then a previous artifact of another version scores."""
    asked = files()
    sandbox.clock.advance(timedelta(seconds=asked.round_.seconds_left(sandbox.clock.now()) - 60 - seconds))
    sandbox.faults.add(Fault(operation="GET", kind="status", status=403, times=9))

    if waits:
        with pytest.raises(NumeraiUnavailable, match="403"):
            asked.get("v5.3")
    else:
        assert "403" in asked.get("v5.3").reason
        with pytest.raises(NumeraiUnavailable, match="403"):
            asked.get("v5.2")


def test_a_version_that_is_not_offered_any_more_is_not_waited_for(sandbox, files):
    """A version missing from the server's list is not retried; if the list itself fails, it is."""
    sandbox.faults.add(Fault(operation="rounds", kind="version_removed", seconds=9e4))
    sandbox.faults.add(Fault(operation="GET", kind="status", status=403, times=3))
    asked, silent = files(("v5.2", "v5.3")), files(("v5.2", "v5.3"))
    refused = asked.get("v5.2")
    sandbox.faults.add(Fault(operation="list_datasets", kind="status", times=99))
    with pytest.raises(NumeraiUnavailable, match="403"):
        silent.get("v5.2")
    with pytest.raises(NumeraiUnavailable, match="403"):
        files(("v5.2",)).get("v5.2")

    assert "403" in refused.reason
    assert asked.get("v5.3").record.version == "v5.3"
