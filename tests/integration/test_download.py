"""Downloads are verified, and the live file is proven to be this round's."""

import gzip
import json
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.data.download import TRIES, fetch, sync_files
from bot.data.live_file import prove_fresh, read_live
from bot.data.transfer.resumable_download import ResumableDownload
from bot.errors import DatasetIncomplete, NumeraiUnavailable, OperatorNeeded
from bot.sandbox.faults import Fault
from bot.sandbox.world.generate import World
from bot.tournament.client import NumeraiClient
from tests.harness.answers import reply, serving
from tests.harness.installation import FIRST_ROUND

pytestmark = pytest.mark.usefixtures("no_backoff")
LIVE = "v5.3/live.parquet"


@pytest.fixture
def client(sandbox):
    return NumeraiClient(api_url=sandbox.url, public_id=None, secret_key=None)


@pytest.fixture
def truth(sandbox):
    """Path of the open round's live file on the server."""
    return sandbox.tournament.live_era(FIRST_ROUND).folder / "live.parquet"


def test_file_arrives_whole_with_its_digest(client, truth, tmp_path):
    """The file has the server's content, with its size and sha256."""
    fetched = fetch(client, LIVE, tmp_path / "live.parquet")

    assert fetched.path.read_bytes() == truth.read_bytes()
    assert fetched.size == truth.stat().st_size


def test_nothing_but_the_file_is_left(client, tmp_path):
    """No staging file survives a download."""
    fetch(client, LIVE, tmp_path / "live.parquet")

    assert [path.name for path in tmp_path.iterdir()] == ["live.parquet"]


def test_failed_download_keeps_the_file_before(sandbox, client, tmp_path):
    """A broken download does not change the older file."""
    path = tmp_path / "live.parquet"
    path.write_bytes(b"older")
    sandbox.faults.add(Fault(operation="GET", kind="truncate", times=99))
    with pytest.raises(NumeraiUnavailable):
        fetch(client, LIVE, path)

    assert path.read_bytes() == b"older"


def test_interrupted_download_goes_on_where_it_stopped(sandbox, client, tmp_path):
    """An interrupted download of a large file is continued, and the result is the same file."""
    path = tmp_path / "train.parquet"
    sandbox.faults.add(Fault(operation="GET", kind="truncate", times=TRIES))
    with pytest.raises(NumeraiUnavailable):
        fetch(client, "v5.3/train.parquet", path, resume=True)
    begun = (tmp_path / ".train.parquet.part").stat().st_size
    seen = []
    fetch(client, "v5.3/train.parquet", path, resume=True, on_progress=lambda done, _: seen.append(done))

    assert seen[0] > begun > 0
    assert path.read_bytes() == (sandbox.tournament.directory / "v5.3" / "train.parquet").read_bytes()


@pytest.mark.parametrize("kind", ["truncate", "short", "xml", "no_length", "reset", "bad_gateway", "fin"])
def test_a_failed_download_is_tried_again(sandbox, client, truth, tmp_path, kind):
    """A download that breaks off or is no file is begun again within the same call."""
    sandbox.faults.add(Fault(operation="GET", kind=kind, times=TRIES - 1))
    fetched = fetch(client, LIVE, tmp_path / "live.parquet")

    assert fetched.path.read_bytes() == truth.read_bytes()


def test_a_file_that_is_refused_is_asked_for_once(sandbox, client, tmp_path):
    """A file that the storage does not have yet is left to the next attempt."""
    sandbox.faults.add(Fault(operation="GET", kind="status", status=403))
    with pytest.raises(NumeraiUnavailable, match="403"):
        fetch(client, LIVE, tmp_path / "live.parquet")

    assert fetch(client, LIVE, tmp_path / "live.parquet").size > 0


def test_a_slow_download_is_begun_again(sandbox, client, truth, tmp_path, monkeypatch):
    """A file that drips is begun again on a new connection, long before its last byte would come."""
    monkeypatch.setattr("bot.tournament.transport.PACE_S", 0.5)
    sandbox.faults.add(Fault(operation="GET", kind="drip", seconds=600))
    fetched = fetch(client, LIVE, tmp_path / "live.parquet")

    assert fetched.path.read_bytes() == truth.read_bytes()


def test_a_download_that_would_outlast_the_round_is_begun_again(sandbox, client, truth, tmp_path, monkeypatch):
    """While a round is open, a speed above the floor does not suffice if the file would come too late."""
    monkeypatch.setattr("bot.tournament.transport.PACE_S", 0.2)
    monkeypatch.setattr("bot.tournament._reply.SLOWEST", 0)
    client.current_round()
    sandbox.clock.advance(timedelta(minutes=58))
    client.current_round()
    sandbox.faults.add(Fault(operation="GET", kind="drip", seconds=600))
    fetched = fetch(client, LIVE, tmp_path / "live.parquet")

    assert fetched.path.read_bytes() == truth.read_bytes()


def test_the_last_try_is_patient(sandbox, client, truth, tmp_path, monkeypatch):
    """A slow line gets the file all the same: the last try accepts any speed above the floor."""
    monkeypatch.setattr("bot.tournament.transport.PACE_S", 1.0)
    monkeypatch.setattr("bot.tournament._reply.SLOWEST", 0)
    client.current_round()
    sandbox.clock.advance(timedelta(minutes=58, seconds=55))
    client.current_round()
    sandbox.faults.add(Fault(operation="GET", kind="drip", seconds=4))
    fetched = fetch(client, LIVE, tmp_path / "live.parquet", tries=1)

    assert fetched.path.read_bytes() == truth.read_bytes()


def test_a_file_that_a_proxy_compressed_is_read(truth, tmp_path):
    """A download that arrives compressed, unasked, is decompressed and verified."""
    content = truth.read_bytes()
    packed = reply(gzip.compress(content), Content_Encoding="gzip")
    with serving(GET=packed) as server:
        server.answers["dataset"] = reply(json.dumps({"data": {"dataset": f"{server.url}live.parquet"}}).encode())
        ours = NumeraiClient(api_url=server.url, public_id=None, secret_key=None)
        fetched = fetch(ours, LIVE, tmp_path / "live.parquet", resume=True)

    assert fetched.path.read_bytes() == content
    assert fetched.size == len(content)


def test_full_disk_is_the_operators_business(client, tmp_path, monkeypatch):
    """Without enough disk space, no download begins, and the message contains the needed bytes."""
    monkeypatch.setattr("bot.data.download.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(OperatorNeeded, match="make room"):
        fetch(client, LIVE, tmp_path / "live.parquet")


def test_file_that_is_not_there_says_so(client, tmp_path):
    """A file that the server does not have raises NumeraiUnavailable, since its storage answers 403."""
    with pytest.raises(NumeraiUnavailable, match="403"):
        fetch(client, "v5.3/nothing.parquet", tmp_path / "nothing.parquet")


def test_live_file_is_read_as_it_is(truth):
    """Ids, names and codes are those of the file."""
    table = pq.ParquetFile(truth).read()
    live = read_live(truth)

    assert list(live.ids) == table.column("id").to_pylist()
    assert (live.era, live.missing, live.strange) == ("X", 0, 0)
    for name, column in zip(live.names[:5], live.values.T, strict=False):
        np.testing.assert_array_equal(column, table.column(name).to_numpy())


def test_live_file_in_several_row_groups_is_read_whole(truth, tmp_path):
    """A file in many row groups gives the same rows."""
    pq.write_table(pq.ParquetFile(truth).read(), tmp_path / "split.parquet", row_group_size=50)

    np.testing.assert_array_equal(read_live(tmp_path / "split.parquet").values, read_live(truth).values)


def test_nulls_floats_and_nonsense_are_told_apart(truth, tmp_path):
    """A null counts as missing, 2.5 as strange, and 3.0 as the code 3."""
    table = pq.ParquetFile(truth).read()
    name = read_live(truth).names[0]
    rows = table.num_rows
    column = pa.array([None, 2.5, 3.0, *[1.0] * (rows - 3)], type=pa.float64())
    table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, tmp_path / "odd.parquet")
    live = read_live(tmp_path / "odd.parquet")

    assert (live.missing, live.strange) == (1, 1)
    assert live.values[:4, 0].tolist() == [-1, -2, 3, 1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table.drop_columns(["id"]), "no column 'id'"),
        (lambda table: table.slice(0, 0), "0 rows"),
        (lambda table: pa.concat_tables([table, retitled(table, "0001")]), "2 eras"),
    ],
)
def test_what_is_no_live_file_is_refused(truth, tmp_path, change, reason):
    """A file without ids, without rows or of several eras is refused."""
    pq.write_table(change(pq.ParquetFile(truth).read()), tmp_path / "bad.parquet")
    with pytest.raises(DatasetIncomplete, match=reason):
        read_live(tmp_path / "bad.parquet")


def retitled(table, era):
    return table.set_column(table.column_names.index("era"), "era", pa.array([era] * table.num_rows))


def test_damaged_file_is_refused(truth, tmp_path):
    """A file with a truncated footer is refused."""
    (tmp_path / "torn.parquet").write_bytes(truth.read_bytes()[:-100])
    with pytest.raises(DatasetIncomplete):
        read_live(tmp_path / "torn.parquet")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: retitled(table, "0575"), "era '0575'"),
        (lambda table: pa.concat_tables([table, table]), "repeats ids"),
    ],
)
def test_rows_that_are_not_this_rounds_are_refused(truth, tmp_path, change, reason):
    """Past eras and repeated ids are never scored."""
    pq.write_table(change(pq.ParquetFile(truth).read()), tmp_path / "bad.parquet")
    with pytest.raises(DatasetIncomplete, match=reason):
        prove_fresh(read_live(tmp_path / "bad.parquet"), previous_ids_sha256=frozenset(), previous_rows=None)


def test_odd_number_of_rows_is_refused(truth):
    """A file that is over a fifth smaller or larger than the last round's is refused."""
    live = read_live(truth)
    with pytest.raises(DatasetIncomplete, match="rows"):
        prove_fresh(live, previous_ids_sha256=frozenset(), previous_rows=len(live.ids) * 2)


def test_a_file_of_another_size_is_accepted_by_its_date(truth):
    """A new universe has another number of rows for good; a date after the last round's files proves the file."""
    live, published = read_live(truth), datetime(2026, 11, 24, 12, tzinfo=UTC)
    size = {"previous_ids_sha256": frozenset(), "previous_rows": len(live.ids) * 2}
    prove_fresh(live, **size, modified=published, not_before=published - timedelta(hours=12))

    with pytest.raises(DatasetIncomplete, match="published"):
        prove_fresh(live, **size, modified=published, not_before=published + timedelta(hours=1))


def test_next_rounds_file_is_fresh(world_folder, truth):
    """A new round's file with new ids and a plausible size is accepted."""
    before = read_live(truth)
    after = read_live(World.open(world_folder).live(1).folder / "live.parquet")
    prove_fresh(after, previous_ids_sha256={before.ids_sha256}, previous_rows=len(before.ids))

    assert before.ids_sha256 != after.ids_sha256


def test_sync_fetches_once(client, tmp_path):
    """Training files are downloaded once, and not again while they are current."""
    first, second = sync_files(client, tmp_path, "v5.3"), sync_files(client, tmp_path, "v5.3")

    assert {"features.json", "train.parquet", "validation.parquet"} <= set(first)
    assert second == ()


def test_damaged_file_is_downloaded_again(client, tmp_path):
    """A file of another size than recorded is fetched again."""
    sync_files(client, tmp_path, "v5.3")
    (tmp_path / "v5.3" / "train.parquet").write_bytes(b"damaged")

    assert sync_files(client, tmp_path, "v5.3") == ("train.parquet",)


@pytest.mark.parametrize("name", ["features.json", "meta_model.parquet"])
def test_flipped_bits_of_small_files_are_replaced(client, tmp_path, name):
    """A file of the right size with other bits is fetched again."""
    sync_files(client, tmp_path, "v5.3")
    path = tmp_path / "v5.3" / name
    good = path.read_bytes()
    for place in np.linspace(0, len(good) - 1, 12, dtype=int).tolist():
        bad = bytearray(good)
        bad[place] ^= 1
        path.write_bytes(bad)
        sync_files(client, tmp_path, "v5.3")

        assert path.read_bytes() == good


def test_metadata_that_are_no_json_are_not_kept(sandbox, client, tmp_path):
    """An error page in place of ``features.json`` is refused, and the next sync fetches the file."""
    sandbox.faults.add(Fault(operation="GET", kind="xml", times=99))
    with pytest.raises(DatasetIncomplete, match="not JSON; it is fetched again"):
        fetch(client, "v5.3/features.json", tmp_path / "features.json")
    sandbox.faults.clear()

    assert not (tmp_path / "features.json").exists()
    assert fetch(client, "v5.3/features.json", tmp_path / "features.json").size > 0


def test_another_range_than_asked_is_not_used(client, tmp_path, monkeypatch):
    """A 206 with another range than requested is discarded, and the next try begins anew."""
    path = tmp_path / "train.parquet"
    download = client.download

    @contextmanager
    def elsewhere(filename, headers=None, **options):
        with download(filename, headers and {**headers, "Range": "bytes=7-"}, **options) as opened:
            yield opened

    part = ResumableDownload(path)
    with client.download("v5.3/train.parquet") as begun:
        part.restart(begun.headers["ETag"])
        part.write([next(begun.chunks)[:1000]], 1 << 30, None)
    monkeypatch.setattr(client, "download", elsewhere)
    with pytest.raises(DatasetIncomplete, match="another range than requested"):
        fetch(client, "v5.3/train.parquet", path, resume=True, tries=1)

    assert fetch(client, "v5.3/train.parquet", path, resume=True).size == path.stat().st_size


def test_sync_follows_the_servers_content(sandbox, client, tmp_path):
    """A file that changed on the server is fetched again."""
    sync_files(client, tmp_path, "v5.3")
    recorded = tmp_path / "v5.3" / "sync.json"
    content = json.loads(recorded.read_text())
    content["validation.parquet"]["etag"] = '"last week"'
    recorded.write_text(json.dumps(content))

    assert sync_files(client, tmp_path, "v5.3") == ("validation.parquet",)


def test_unknown_data_version_is_named(client, tmp_path):
    """For a version that the server does not offer, the message contains the setting."""
    with pytest.raises(OperatorNeeded, match="BOT_DATA_VERSION"):
        sync_files(client, tmp_path, "v9.9")


def test_fetched_between_rounds_is_the_last_rounds(sandbox, client, truth, tmp_path):
    """After the close the server still serves the round's file, byte for byte."""
    sandbox.clock.advance(timedelta(hours=5))
    fetch(client, LIVE, tmp_path / "live.parquet")

    assert (tmp_path / "live.parquet").read_bytes() == truth.read_bytes()


def test_reading_loads_no_pandas(truth):
    """Reading the live file imports neither pandas nor numerapi: a quarter of a second each round."""
    script = (
        f"import sys; from bot.data.live_file import read_live; read_live(__import__('pathlib').Path({str(truth)!r})); "
    )
    script += "print(sorted({'pandas', 'numerapi', 'requests'} & set(sys.modules)))"
    folder = Path(__file__).resolve().parents[2]
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder)

    assert output.stdout.strip() == "[]"
