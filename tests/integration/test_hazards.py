"""What unmodified numerapi does when things go wrong, and what this bot does instead."""

import hashlib
import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numerapi
import pytest
import requests

from bot.data.download import fetch, prove_fresh, read_live
from bot.errors import BadCredentials, DatasetIncomplete, NumeraiUnavailable, RoundNotOpen
from bot.record.ledger import Entry, Ledger
from bot.sandbox.faults import Fault
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.submission._delivery import Delivery, token
from bot.tournament.client import NumeraiClient
from bot.tournament.slots import Slot
from bot.tournament.transport import Transport
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

LIVE = "v5.3/live.parquet"
pytestmark = pytest.mark.usefixtures("no_backoff")
MODEL = DEMO_ACCOUNT.models[SLOT]


@pytest.fixture
def plain(sandbox, monkeypatch):
    """Unmodified numerapi, pointed at the sandbox by its own module constant."""
    monkeypatch.setattr("numerapi.base_api.API_TOURNAMENT_URL", sandbox.url)
    monkeypatch.setattr("numerapi.utils.time.sleep", lambda _: None)
    return numerapi.NumerAPI(
        DEMO_ACCOUNT.public_id, DEMO_ACCOUNT.secret_key, verbosity="CRITICAL", show_progress_bars=False
    )


@pytest.fixture
def ours(sandbox):
    return NumeraiClient(
        api_url=sandbox.url,
        public_id=DEMO_ACCOUNT.public_id,
        secret_key=DEMO_ACCOUNT.secret_key,
        transport=Transport(connect_s=2, read_s=0.5, exchange_s=2),
    )


@pytest.fixture
def truth(sandbox):
    """The bytes of the open round's live file."""
    return (sandbox.tournament.live_era(FIRST_ROUND).folder / "live.parquet").read_bytes()


@pytest.fixture
def answer(sandbox):
    """A submission that the open round accepts."""
    return predictions(sandbox.tournament.live_ids(FIRST_ROUND))


def predictions(ids):
    rows = [f"{identity},{(index + 1) / (len(ids) + 1):.6f}" for index, identity in enumerate(ids)]
    return ("\n".join(["id,prediction", *rows]) + "\n").encode()


def held(sandbox):
    return [one.content for one in sandbox.tournament.submissions]


def asked_in_vain(plain):
    with suppress(KeyError):
        plain.list_datasets()


def test_a_server_that_never_answers(sandbox, plain, ours):
    """Numerapi waits for ever; the bot gives up and says so."""
    sandbox.faults.add(Fault(operation="list_datasets", kind="hang", seconds=60, times=99))
    waiting = threading.Thread(target=asked_in_vain, args=(plain,), daemon=True)
    waiting.start()
    with pytest.raises(NumeraiUnavailable, match="ReadTimeout"):
        ours.datasets()

    assert waiting.is_alive()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 503}, NumeraiUnavailable),
        ({"kind": "status", "status": 429}, NumeraiUnavailable),
        ({"kind": "status", "status": 401}, BadCredentials),
        ({"kind": "html"}, NumeraiUnavailable),
        ({"kind": "empty"}, NumeraiUnavailable),
        ({"kind": "reset"}, NumeraiUnavailable),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_failure_has_a_name(sandbox, plain, ours, fault, error):
    """Numerapi turns every failure into KeyError: 'data'; the bot says which it was."""
    sandbox.faults.add(Fault(operation="list_datasets", times=99, **fault))
    with pytest.raises(KeyError, match="data"):
        plain.list_datasets()
    with pytest.raises(error):
        ours.datasets()


def test_a_mutation_is_not_repeated(sandbox, plain, ours, answer, tmp_path):
    """After a lost answer numerapi submits a second time; the bot asks instead."""
    (tmp_path / "p.csv").write_bytes(answer)
    sandbox.faults.add(Fault(operation="create_submission", kind="status", phase="after", status=502))
    plain.upload_predictions(str(tmp_path / "p.csv"), model_id=MODEL)
    repeated = len(held(sandbox))
    sandbox.faults.add(Fault(operation="create_submission", kind="status", phase="after", status=502))
    with pytest.raises(NumeraiUnavailable):
        ours.upload(model_id=MODEL, filename="q.csv", content=answer)

    assert (repeated, len(held(sandbox)) - repeated) == (2, 1)


def test_storage_that_refuses_is_believed(sandbox, plain, ours, answer, tmp_path):
    """Numerapi ignores the storage's 403 and creates a submission of nothing; the bot stops there."""
    (tmp_path / "p.csv").write_bytes(answer)
    sandbox.faults.add(Fault(operation="PUT", kind="status", status=403, times=2))
    sandbox.faults.add(Fault(operation="create_submission", kind="graphql_error", message="reached", times=2))
    with pytest.raises(ValueError, match="reached"):
        plain.upload_predictions(str(tmp_path / "p.csv"), model_id=MODEL)
    with pytest.raises(NumeraiUnavailable, match="403"):
        ours.upload(model_id=MODEL, filename="p.csv", content=answer)

    assert sandbox.faults.take("create_submission", "before") is not None


def test_an_old_file_of_the_same_size_is_replaced(plain, ours, truth, tmp_path):
    """Numerapi keeps whatever has the right size; the bot fetches and verifies."""
    old = tmp_path / "plain.parquet"
    old.write_bytes(bytes(len(truth)))
    plain.download_dataset(LIVE, dest_path=str(old))
    ours_path = tmp_path / "ours.parquet"
    ours_path.write_bytes(bytes(len(truth)))
    fetch(ours, LIVE, ours_path)

    assert old.read_bytes() != truth
    assert ours_path.read_bytes() == truth


def test_the_rest_of_another_file_is_not_appended(ours, plain, truth, tmp_path):
    """Numerapi splices what an interrupted download left behind; the bot asks for the same content or all of it."""
    (tmp_path / "plain.parquet.temp").write_bytes(b"x" * 1000)
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    leave(tmp_path / "ours.parquet", b"x" * 1000, '"another"')
    fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert (tmp_path / "plain.parquet").read_bytes() == b"x" * 1000 + truth[1000:]
    assert (tmp_path / "ours.parquet").read_bytes() == truth


def test_an_ignored_range_is_noticed(sandbox, ours, plain, truth, tmp_path):
    """Where the server sends the whole file in place of its rest, numerapi doubles the beginning."""
    sandbox.faults.add(Fault(operation="GET", kind="ignore_range", times=99))
    (tmp_path / "plain.parquet.temp").write_bytes(truth[:1000])
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    begin(ours, tmp_path / "ours.parquet", truth[:1000])
    fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert (tmp_path / "plain.parquet").read_bytes() == truth[:1000] + truth
    assert (tmp_path / "ours.parquet").read_bytes() == truth


def test_an_error_page_is_not_part_of_a_file(sandbox, ours, plain, truth, tmp_path):
    """Numerapi appends the answer to a resumed download whatever its status; the bot reads the status."""
    (tmp_path / "plain.parquet.temp").write_bytes(truth[:1000])
    sandbox.faults.add(Fault(operation="GET", kind="ignore_range"))
    sandbox.faults.add(Fault(operation="GET", kind="status", status=503))
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    begin(ours, tmp_path / "ours.parquet", truth[:1000])
    sandbox.faults.add(Fault(operation="GET", kind="status", status=503))
    with pytest.raises(NumeraiUnavailable, match="503"):
        fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert (tmp_path / "plain.parquet").read_bytes().endswith(b"sandbox fault")
    assert not (tmp_path / "ours.parquet").exists()


def test_a_resumed_download_is_verified(ours, plain, truth, tmp_path, monkeypatch):
    """Numerapi resumes without checking the server's certificate; the bot never does."""
    checked = []
    send = requests.adapters.HTTPAdapter.send

    def spy(self, request, **options):
        checked.append(options["verify"])
        return send(self, request, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", spy)
    (tmp_path / "plain.parquet.temp").write_bytes(truth[:1000])
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    seen_plain, checked[:] = list(checked), []
    begin(ours, tmp_path / "ours.parquet", truth[:1000])
    fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert False in seen_plain
    assert False not in checked


@pytest.mark.parametrize("kind", ["short", "xml"])
def test_half_a_file_is_not_a_file(sandbox, ours, plain, tmp_path, kind):
    """Numerapi publishes whatever came; the bot publishes a whole parquet file or nothing."""
    sandbox.faults.add(Fault(operation="GET", kind=kind, times=99))
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    with pytest.raises(DatasetIncomplete):
        fetch(ours, LIVE, tmp_path / "ours.parquet")

    assert (tmp_path / "plain.parquet").is_file()
    assert not (tmp_path / "ours.parquet").exists()


def test_a_broken_download_has_a_name(sandbox, ours, plain, tmp_path):
    """A stream that ends early is an error of the HTTP library in numerapi, and a typed one here."""
    sandbox.faults.add(Fault(operation="GET", kind="truncate", times=99))
    with pytest.raises(requests.RequestException):
        plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    with pytest.raises(NumeraiUnavailable):
        fetch(ours, LIVE, tmp_path / "ours.parquet")


def test_the_file_of_the_round_before_is_recognised(sandbox, ours, plain, tmp_path):
    """Numerapi takes yesterday's file for today's and the server accepts its ids; the bot compares them."""
    first = read_live(fetch(ours, LIVE, tmp_path / "first.parquet").path)
    sandbox.clock.advance(timedelta(days=1))
    sandbox.faults.add(Fault(operation="GET", kind="stale_live", times=99))
    (tmp_path / "p.csv").write_bytes(predictions(first.ids))
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    plain.upload_predictions(str(tmp_path / "p.csv"), model_id=MODEL)
    stale = read_live(fetch(ours, LIVE, tmp_path / "second.parquet").path)
    with pytest.raises(DatasetIncomplete, match="earlier round"):
        prove_fresh(stale, previous_ids_sha256={first.ids_sha256}, previous_rows=len(first.ids))

    assert read_live(tmp_path / "plain.parquet").ids == first.ids
    assert [one.round for one in sandbox.tournament.submissions] == [FIRST_ROUND + 1]


def test_a_late_upload_is_not_sent(sandbox, ours, plain, answer, tmp_path):
    """A late file is queued for the next round without a word; the bot looks at the server's clock first."""
    round_ = ours.current_round()
    sandbox.clock.advance(timedelta(hours=2))
    (tmp_path / "p.csv").write_bytes(answer)
    plain.upload_predictions(str(tmp_path / "p.csv"), model_id=MODEL)
    late = [one.late for one in sandbox.tournament.submissions]
    delivery = Delivery(client=ours, ledger=Ledger(tmp_path / "ledger.sqlite"))
    with pytest.raises(RoundNotOpen):
        delivery.deliver(round_, Slot(name=SLOT, model_id=MODEL, recipe="demo"), entry(answer), answer, force=True)

    assert late == [True]
    assert len(sandbox.tournament.submissions) == 1


def test_the_servers_clock_decides(sandbox, ours, plain):
    """Numerapi asks the local clock whether a round is open; the bot asks the server's."""
    ahead = datetime(2031, 3, 4, 12, 1, tzinfo=UTC)
    sandbox.clock.set(ahead)

    assert plain.check_round_open() is False
    assert ours.current_round().is_open(ahead)


def test_between_rounds_the_next_one_is_named(sandbox, ours, plain):
    """Between rounds numerapi returns nothing; the bot says what comes next."""
    sandbox.clock.set(OPENED + timedelta(hours=5))

    assert plain.get_current_round() is None
    with pytest.raises(RoundNotOpen, match=f"round {FIRST_ROUND + 1} opens Wed 2026-11-25 12:00:00 UTC"):
        ours.current_round()


def test_logging_stays_the_applications(sandbox, monkeypatch):
    """Numerapi's constructor configures the root logger; the bot's client leaves it alone."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    NumeraiClient(api_url=sandbox.url, public_id="A", secret_key="B")
    by_us = list(root.handlers)
    numerapi.NumerAPI("A", "B", verbosity="CRITICAL")

    assert by_us == []
    assert root.handlers != []


def begin(client, path, content):
    """Leave behind what an interrupted download of the file now served leaves behind."""
    with client.download(LIVE) as (response, _):
        leave(path, content, response.headers["ETag"])


def leave(path, content, etag):
    """Leave the beginning of a download behind."""
    path.with_name(f".{path.name}.etag").write_text(f"{etag}\n{len(content)}\n{hashlib.sha256(content).hexdigest()}")
    path.with_name(f".{path.name}.part").write_bytes(content)


def entry(content):
    sha256 = hashlib.sha256(content).hexdigest()
    known = {"round": FIRST_ROUND, "slot": SLOT, "state": "intended", "token": token(FIRST_ROUND, SLOT, sha256)}
    unknown = dict.fromkeys(("submission_id", "filename", "confirmed_at"))
    return Entry(csv_sha256=sha256, data_sha256="", artifact="a", intended_at=OPENED.isoformat(), **known, **unknown)
