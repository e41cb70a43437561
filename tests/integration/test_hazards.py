"""Faults of the API and the storage: unmodified numerapi beside the bot's client."""

import hashlib
import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numerapi
import pytest
import requests

from bot.data.download import fetch
from bot.data.live_file import prove_fresh, read_live
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
    """Unmodified numerapi, directed to the sandbox by its own module constant."""
    monkeypatch.setattr("numerapi.base_api.API_TOURNAMENT_URL", sandbox.url)
    monkeypatch.setattr("numerapi.utils.time.sleep", lambda _: None)
    return numerapi.NumerAPI(
        DEMO_ACCOUNT.public_id, DEMO_ACCOUNT.secret_key, verbosity="CRITICAL", show_progress_bars=False
    )


@pytest.fixture
def ours(sandbox):
    """The bot's client."""
    return client_of(sandbox)


def client_of(sandbox, read_s=30.0):
    return NumeraiClient(
        api_url=sandbox.url,
        public_id=DEMO_ACCOUNT.public_id,
        secret_key=DEMO_ACCOUNT.secret_key,
        transport=Transport(read_s=read_s),
    )


@pytest.fixture
def served(sandbox):
    """The bytes of the open round's live file."""
    return (sandbox.tournament.live_era(FIRST_ROUND).folder / "live.parquet").read_bytes()


@pytest.fixture
def answer(sandbox):
    """A submission that the open round accepts."""
    return predictions(sandbox.tournament.live_ids(FIRST_ROUND))


def predictions(ids):
    rows = [f"{identity},{(index + 1) / (len(ids) + 1):.6f}" for index, identity in enumerate(ids)]
    return ("\n".join(["id,prediction", *rows]) + "\n").encode()


def submitted(sandbox):
    return [one.content for one in sandbox.tournament.submissions]


def list_datasets(plain):
    with suppress(KeyError):
        plain.list_datasets()


def test_a_server_that_never_answers(sandbox, plain):
    """Numerapi waits for ever; the bot gives up after its timeout."""
    sandbox.faults.add(Fault(operation="list_datasets", kind="hang", seconds=60, times=99))
    waiting = threading.Thread(target=list_datasets, args=(plain,), daemon=True)
    waiting.start()
    with pytest.raises(NumeraiUnavailable, match="ReadTimeout"):
        client_of(sandbox, read_s=0.5).datasets()

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
def test_each_failure_has_its_own_error(sandbox, plain, ours, fault, error):
    """Numerapi turns every failure into KeyError: 'data'; the bot raises an error for each kind."""
    sandbox.faults.add(Fault(operation="list_datasets", times=99, **fault))
    with pytest.raises(KeyError, match="data"):
        plain.list_datasets()
    with pytest.raises(error):
        ours.datasets()


def test_a_mutation_is_not_repeated(sandbox, plain, ours, answer, tmp_path):
    """After a lost response numerapi submits a second time; the bot does not."""
    (tmp_path / "p.csv").write_bytes(answer)
    sandbox.faults.add(Fault(operation="create_submission", kind="status", phase="after", status=502))
    plain.upload_predictions(str(tmp_path / "p.csv"), model_id=MODEL)
    repeated = len(submitted(sandbox))
    sandbox.faults.add(Fault(operation="create_submission", kind="status", phase="after", status=502))
    with pytest.raises(NumeraiUnavailable):
        ours.upload(model_id=MODEL, filename="q.csv", content=answer)

    assert (repeated, len(submitted(sandbox)) - repeated) == (2, 1)


def test_a_refused_upload_creates_no_submission(sandbox, plain, ours, answer, tmp_path):
    """Numerapi ignores the storage's 403 and creates a submission without a file; the bot stops."""
    (tmp_path / "p.csv").write_bytes(answer)
    sandbox.faults.add(Fault(operation="PUT", kind="status", status=403, times=2))
    sandbox.faults.add(Fault(operation="create_submission", kind="graphql_error", message="reached", times=2))
    with pytest.raises(ValueError, match="reached"):
        plain.upload_predictions(str(tmp_path / "p.csv"), model_id=MODEL)
    with pytest.raises(NumeraiUnavailable, match="403"):
        ours.upload(model_id=MODEL, filename="p.csv", content=answer)

    assert sandbox.faults.take("create_submission", "before") is not None


def test_an_old_file_of_the_same_size_is_replaced(plain, ours, served, tmp_path):
    """Numerapi keeps any file of the right size; the bot downloads and verifies."""
    old = tmp_path / "plain.parquet"
    old.write_bytes(bytes(len(served)))
    plain.download_dataset(LIVE, dest_path=str(old))
    ours_path = tmp_path / "ours.parquet"
    ours_path.write_bytes(bytes(len(served)))
    fetch(ours, LIVE, ours_path)

    assert old.read_bytes() != served
    assert ours_path.read_bytes() == served


def test_the_rest_of_another_file_is_not_appended(ours, plain, served, tmp_path):
    """Numerapi continues an interrupted download of another file; the bot checks the ETag and starts again."""
    (tmp_path / "plain.parquet.temp").write_bytes(b"x" * 1000)
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    leave(tmp_path / "ours.parquet", b"x" * 1000, '"another"')
    fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert (tmp_path / "plain.parquet").read_bytes() == b"x" * 1000 + served[1000:]
    assert (tmp_path / "ours.parquet").read_bytes() == served


def test_an_ignored_range_is_noticed(sandbox, ours, plain, served, tmp_path):
    """If the server sends the whole file instead of its rest, numerapi appends it; the bot does not."""
    sandbox.faults.add(Fault(operation="GET", kind="ignore_range", times=99))
    (tmp_path / "plain.parquet.temp").write_bytes(served[:1000])
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    begin(ours, tmp_path / "ours.parquet", served[:1000])
    fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert (tmp_path / "plain.parquet").read_bytes() == served[:1000] + served
    assert (tmp_path / "ours.parquet").read_bytes() == served


def test_an_error_page_is_not_part_of_a_file(sandbox, ours, plain, served, tmp_path):
    """Numerapi appends a response of any status to a resumed download; the bot checks the status."""
    (tmp_path / "plain.parquet.temp").write_bytes(served[:1000])
    sandbox.faults.add(Fault(operation="GET", kind="ignore_range"))
    sandbox.faults.add(Fault(operation="GET", kind="status", status=503))
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    begin(ours, tmp_path / "ours.parquet", served[:1000])
    sandbox.faults.add(Fault(operation="GET", kind="status", status=503, times=99))
    with pytest.raises(NumeraiUnavailable, match="503"):
        fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert (tmp_path / "plain.parquet").read_bytes().endswith(b"sandbox fault")
    assert not (tmp_path / "ours.parquet").exists()


def test_a_resumed_download_verifies_the_certificate(ours, plain, served, tmp_path, monkeypatch):
    """Numerapi resumes a download without verifying the server's certificate; the bot verifies it."""
    checked = []
    send = requests.adapters.HTTPAdapter.send

    def spy(self, request, **options):
        checked.append(options["verify"])
        return send(self, request, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", spy)
    (tmp_path / "plain.parquet.temp").write_bytes(served[:1000])
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    seen_plain, checked[:] = list(checked), []
    begin(ours, tmp_path / "ours.parquet", served[:1000])
    fetch(ours, LIVE, tmp_path / "ours.parquet", resume=True)

    assert False in seen_plain
    assert False not in checked


@pytest.mark.parametrize("kind", ["short", "xml"])
def test_a_truncated_file_is_not_published(sandbox, ours, plain, tmp_path, kind):
    """Numerapi keeps a truncated file; the bot publishes a complete parquet file or none."""
    sandbox.faults.add(Fault(operation="GET", kind=kind, times=99))
    plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    with pytest.raises(DatasetIncomplete):
        fetch(ours, LIVE, tmp_path / "ours.parquet")

    assert (tmp_path / "plain.parquet").is_file()
    assert not (tmp_path / "ours.parquet").exists()


def test_a_broken_download_is_a_typed_error(sandbox, ours, plain, tmp_path):
    """A stream that ends early is an error of the HTTP library in numerapi, and NumeraiUnavailable in the bot."""
    sandbox.faults.add(Fault(operation="GET", kind="truncate", times=99))
    with pytest.raises(requests.RequestException):
        plain.download_dataset(LIVE, dest_path=str(tmp_path / "plain.parquet"))
    with pytest.raises(NumeraiUnavailable):
        fetch(ours, LIVE, tmp_path / "ours.parquet")


def test_the_file_of_the_round_before_is_recognised(sandbox, ours, plain, tmp_path):
    """Numerapi submits for the ids of an earlier round, which the server accepts; the bot compares the ids."""
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
    """The server queues a late file for the next round; the bot checks the server's clock and does not send it."""
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
    """Numerapi uses the local clock to decide whether a round is open; the bot uses the server's."""
    ahead = datetime(2031, 3, 4, 12, 1, tzinfo=UTC)
    sandbox.clock.set(ahead)

    assert plain.check_round_open() is False
    assert ours.current_round().is_open(ahead)


def test_between_rounds_the_next_one_is_named(sandbox, ours, plain):
    """Between rounds numerapi returns nothing; the bot's error names the next round."""
    sandbox.clock.set(OPENED + timedelta(hours=5))

    assert plain.get_current_round() is None
    with pytest.raises(RoundNotOpen, match=f"round {FIRST_ROUND + 1} opens Wed 2026-11-25 12:00:00 UTC"):
        ours.current_round()


def test_the_client_leaves_logging_alone(sandbox, monkeypatch):
    """Numerapi's constructor configures the root logger; the bot's client does not."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    NumeraiClient(api_url=sandbox.url, public_id="A", secret_key="B")
    by_us = list(root.handlers)
    numerapi.NumerAPI("A", "B", verbosity="CRITICAL")

    assert by_us == []
    assert root.handlers != []


def begin(client, path, content):
    """Write the files of an interrupted download of the file that is served now."""
    with client.download(LIVE) as download:
        leave(path, content, download.headers["ETag"])


def leave(path, content, etag):
    """Write the files of an interrupted download."""
    path.with_name(f".{path.name}.etag").write_text(f"{etag}\n{len(content)}\n{hashlib.sha256(content).hexdigest()}")
    path.with_name(f".{path.name}.part").write_bytes(content)


def entry(content):
    sha256 = hashlib.sha256(content).hexdigest()
    known = {"round": FIRST_ROUND, "slot": SLOT, "state": "intended", "token": token(FIRST_ROUND, SLOT, sha256)}
    unknown = dict.fromkeys(("submission_id", "filename", "confirmed_at"))
    return Entry(csv_sha256=sha256, data_sha256="", artifact="a", intended_at=OPENED.isoformat(), **known, **unknown)
