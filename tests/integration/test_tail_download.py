"""A file that grows at its end is completed, not fetched again."""

import hashlib
import json
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from bot.data.download import sync_files
from bot.errors import RetryLater
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.server import Sandbox
from tests.data.store_files import ROWS, table
from tests.harness.counting_client import CountingClient
from tests.harness.installation import OPENED

pytestmark = pytest.mark.usefixtures("no_backoff")
VALIDATION = "v5.3/validation.parquet"


class Counting(CountingClient):
    """A client that counts the bytes of the validation file."""

    counted = VALIDATION


@pytest.fixture
def served(tmp_path):
    """Folder of a tournament's files: features.json, train, and validation up to era 46."""
    folder = tmp_path / "served" / "v5.3"
    folder.mkdir(parents=True)
    (folder / "features.json").write_text(json.dumps({"feature_sets": {}, "targets": []}))
    pq.write_table(table(1, 5, unresolved=0), folder / "train.parquet")
    write(folder, 46)
    pq.write_table(table(90, 90), folder / "live.parquet")
    return folder


def write(folder, last, **options):
    pq.write_table(table(6, last), folder / "validation.parquet", row_group_size=4 * ROWS, **options)


@pytest.fixture
def client(served):
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    with Sandbox(served.parent, clock=clock) as sandbox:
        made = Counting(api_url=sandbox.url, public_id=None, secret_key=None)
        made.faults = sandbox.faults
        yield made


def again(client, tmp_path):
    """Sync once more; return the bytes of validation that came, and whether the file is the server's."""
    client.taken = 0
    sync_files(client, tmp_path / "data", "v5.3")
    ours = (tmp_path / "data" / VALIDATION).read_bytes()
    return client.taken, ours == (tmp_path / "served" / VALIDATION).read_bytes()


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    """Make the probes small beside these small files."""
    monkeypatch.setattr("bot.data.transfer.ranges.GUESS", 1 << 10)
    monkeypatch.setattr("bot.data.transfer.tail_download.SPAN", 1 << 8)


def test_only_what_is_new_is_fetched(client, served, tmp_path):
    """New eras and late targets cost their own row groups and the footer."""
    whole, _ = again(client, tmp_path)
    write(served, 48)
    taken, equal = again(client, tmp_path)
    footer = int.from_bytes((served / "validation.parquet").read_bytes()[-8:-4], "little")

    assert equal
    assert taken < footer + 0.5 * whole


def test_features_of_late_targets_are_not_fetched(client, served, tmp_path, monkeypatch):
    """Row groups in which targets alone are new cost the bytes of their other columns."""
    monkeypatch.setattr("bot.data.transfer.tail_download.SPANS", 1)
    path = served / "validation.parquet"
    pq.write_table(table(6, 46, unresolved=30), path, row_group_size=4 * ROWS)
    again(client, tmp_path)
    pq.write_table(table(6, 46, unresolved=29), path, row_group_size=4 * ROWS)
    taken, equal = again(client, tmp_path)
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(index) for index in range(2, metadata.num_row_groups)]  # era 17 is in the third
    chunks = [group.column(column) for group in groups for column in range(group.num_columns)]
    features = sum(one.total_compressed_size for one in chunks if one.path_in_schema.startswith("feature"))
    tail = path.stat().st_size - chunks[0].dictionary_page_offset

    assert equal
    assert taken < tail - 0.5 * features


def test_file_written_otherwise_is_fetched_whole(client, served, tmp_path):
    """A file with another compression is downloaded whole."""
    again(client, tmp_path)
    write(served, 48, compression="zstd")

    taken, equal = again(client, tmp_path)

    assert equal
    assert taken >= (served / "validation.parquet").stat().st_size


def test_server_without_ranges_is_no_obstacle(client, served, tmp_path):
    """A server that ignores ranges sends the whole file, and it is used."""
    again(client, tmp_path)
    write(served, 48)
    client.faults.add(Fault(operation="GET", kind="ignore_range", times=99))

    assert again(client, tmp_path)[1]


def test_damaged_file_at_hand_is_not_built_upon(client, served, tmp_path):
    """A local file that changed since its download is replaced whole."""
    again(client, tmp_path)
    path = tmp_path / "data" / VALIDATION
    bad = bytearray(path.read_bytes())
    bad[100] ^= 1
    path.write_bytes(bad)
    write(served, 48)

    assert again(client, tmp_path)[1]


def test_same_description_with_other_bytes_is_noticed(client, served, tmp_path, monkeypatch):
    """Row groups with the same footer entry but other bytes are found, and the whole file is downloaded."""
    again(client, tmp_path)
    write(served, 48)
    monkeypatch.setattr("bot.data.transfer.tail_download.SPAN", 1 << 20)
    path = tmp_path / "data" / VALIDATION
    bad = bytearray(path.read_bytes())
    bad[100] ^= 1
    path.write_bytes(bad)
    recorded = tmp_path / "data" / "v5.3" / "sync.json"
    content = json.loads(recorded.read_text())
    content["validation.parquet"]["sha256"] = hashlib.sha256(bad).hexdigest()
    recorded.write_text(json.dumps(content))

    assert again(client, tmp_path)[1]


def test_interrupted_completion_is_begun_again(client, served, tmp_path):
    """A connection that breaks during the new part leaves the old file, and the next sync completes it."""
    again(client, tmp_path)
    old = (tmp_path / "data" / VALIDATION).read_bytes()
    write(served, 48)
    client.faults.add(Fault(operation="GET", kind="truncate", times=99))
    with pytest.raises(RetryLater):
        sync_files(client, tmp_path / "data", "v5.3")
    kept = (tmp_path / "data" / VALIDATION).read_bytes()
    client.faults.clear()

    assert kept == old
    assert again(client, tmp_path)[1]
