"""Some columns and the newest eras of a file are downloaded by ranges, and an interrupted download goes on."""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.data.download import recorded
from bot.data.transfer.column_download import NoRanges, Selection, fetch_columns
from bot.errors import DatasetIncomplete, OperatorNeeded, RetryLater
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.server import Sandbox
from tests.data.store_files import ROWS, table
from tests.harness.counting_client import CountingClient
from tests.harness.installation import OPENED

pytestmark = pytest.mark.usefixtures("no_backoff")
COLUMNS = ("id", "era", "data_type", "feature_02", "feature_07", "target_ender_60")
FILES = ("train.parquet", "validation.parquet")


@pytest.fixture
def served(tmp_path):
    """Folder of a tournament's files: train with eras 1 to 12, validation with eras 13 to 46, four and a half a row group."""
    folder = tmp_path / "served" / "v5.3"
    folder.mkdir(parents=True)
    (folder / "features.json").write_text(json.dumps({"feature_sets": {}, "targets": []}))
    pq.write_table(table(1, 12, unresolved=0), folder / "train.parquet", row_group_size=4 * ROWS + 6)
    write_validation(folder)
    pq.write_table(table(90, 90), folder / "live.parquet")
    return folder


def write_validation(folder, last=46):
    pq.write_table(table(13, last), folder / "validation.parquet", row_group_size=4 * ROWS + 6)


@pytest.fixture
def client(served, monkeypatch):
    monkeypatch.setattr("bot.data.transfer.ranges.GUESS", 1 << 10)
    monkeypatch.setattr("bot.data.transfer.column_download.GAP", 0)
    with Sandbox(served.parent, clock=SandboxClock(OPENED + timedelta(minutes=1), rate=0)) as sandbox:
        made = CountingClient(api_url=sandbox.url, public_id=None, secret_key=None)
        made.faults = sandbox.faults
        yield made


def equal(one, other):
    """Return whether two tables have the same types and rows; an unknown target equals an unknown one."""
    return one.schema.equals(other.schema) and one.to_pandas().equals(other.to_pandas())


def chosen(names):
    return [name for name in names if name in COLUMNS]


def fetched(client, tmp_path, *, eras=100):
    """Download the columns of the newest eras; return the bytes that came, and the tables."""
    client.taken = 0
    wanted = dict.fromkeys(FILES, Selection(columns=chosen, eras=eras))
    names = fetch_columns(client, tmp_path / "data", "v5.3", wanted)
    return client.taken, {name: pq.read_table(tmp_path / "data" / "v5.3" / name) for name in names}


def test_file_has_the_rows_and_types_of_the_server_and_only_the_columns(client, served, tmp_path):
    """The columns equal the server's in every row and type; nothing else is in the file, and its digest is recorded."""
    _, tables = fetched(client, tmp_path)

    assert {name: equal(one, pq.read_table(served / name, columns=list(COLUMNS))) for name, one in tables.items()} == {
        "train.parquet": True,
        "validation.parquet": True,
    }
    assert set(recorded(tmp_path / "data" / "v5.3")) == set(FILES)
    assert not (tmp_path / "data" / "v5.3" / "parts").exists()


def test_only_what_is_wanted_comes(client, served, tmp_path):
    """The bytes are those of the footers and of the wanted columns, not of the files."""
    taken, _ = fetched(client, tmp_path)
    footers, chunks = 0, 0
    for name in FILES:
        about = pq.read_metadata(served / name)
        footers += about.serialized_size + 2 * (1 << 10)
        groups = [about.row_group(group) for group in range(about.num_row_groups)]
        columns = [group.column(one) for group in groups for one in range(group.num_columns)]
        chunks += sum(one.total_compressed_size for one in columns if one.path_in_schema in COLUMNS)

    assert chunks < taken <= footers + chunks
    assert chunks < 0.7 * sum((served / name).stat().st_size for name in FILES)


def test_newest_eras_are_whole(client, tmp_path):
    """Eras are counted from the newest one; an older era that begins a row group is left out, and so is a whole file."""
    _, tables = fetched(client, tmp_path, eras=30)

    eras = tables["validation.parquet"].column("era").to_pylist()
    assert list(tables) == ["validation.parquet"]
    assert {era: eras.count(era) for era in eras} == {f"{era:04d}": ROWS for era in range(17, 47)}


def test_unchanged_file_is_not_downloaded_again(client, served, tmp_path):
    """A second call takes only the footers; a damaged file and a newer version of the server are downloaded again."""
    first, before = fetched(client, tmp_path)
    again, _ = fetched(client, tmp_path)
    path = tmp_path / "data" / "v5.3" / "validation.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    repaired, after = fetched(client, tmp_path)
    write_validation(served, last=47)
    _, newer = fetched(client, tmp_path)

    assert again < repaired < first
    assert equal(after["validation.parquet"], before["validation.parquet"])
    assert newer["validation.parquet"].column("era").to_pylist()[-1] == "0047"


@pytest.mark.parametrize("kind", ["truncate", "reset", "status"])
def test_broken_download_goes_on_with_the_next_row_group(client, tmp_path, kind):
    """A connection that breaks for good in the middle costs the row group that was on the way, not those before it."""
    whole, before = fetched(client, tmp_path / "other")
    client.faults.add(Fault(operation="GET", kind=kind, times=99, skip=40))
    client.taken = 0
    with pytest.raises(RetryLater):
        fetched(client, tmp_path)
    came = client.taken
    client.faults.clear()
    rest, after = fetched(client, tmp_path)

    assert came > 0.2 * whole
    assert rest < whole - 0.1 * came
    assert all(equal(after[name], before[name]) for name in before)


def test_short_break_is_bridged(client, tmp_path):
    """A broken connection now and then does not end the download."""
    for skip in (5, 11, 17):
        client.faults.add(Fault(operation="GET", kind="truncate", skip=skip))

    assert len(fetched(client, tmp_path)[1]) == len(FILES)


def test_presigned_url_that_expires_is_replaced(client, tmp_path):
    """A download that takes longer than its URL is valid goes on with a new one."""
    for skip in (8, 20):
        client.faults.add(Fault(operation="GET", kind="expired", skip=skip))

    assert len(fetched(client, tmp_path)[1]) == len(FILES)


def test_server_without_ranges_is_told(client, tmp_path):
    """A server that ignores ranges and one that fails give different errors."""
    client.faults.add(Fault(operation="GET", kind="ignore_range", times=99))

    with pytest.raises(NoRanges, match="does not answer ranges"):
        fetched(client, tmp_path)


def test_file_that_changes_meanwhile_is_not_mixed(client, served, tmp_path):
    """Row groups of two versions of a file never come together: the download ends, and the next one takes the new version."""

    class Changing(type(client)):
        left = 20

        def download(self, filename, headers=None, **options):
            Changing.left -= 1
            if Changing.left == 0:
                write_validation(served, last=47)
            return super().download(filename, headers, **options)

    client.__class__ = Changing
    with pytest.raises(DatasetIncomplete, match="changed meanwhile"):
        fetched(client, tmp_path)
    _, tables = fetched(client, tmp_path)

    assert tables["validation.parquet"].column("era").to_pylist()[-1] == "0047"


def test_damaged_piece_on_disk_is_fetched_again(client, tmp_path):
    """A flipped bit in a row group that waits on disk is found before it gets into the file."""
    client.faults.add(Fault(operation="GET", kind="status", times=99, skip=40))
    with pytest.raises(RetryLater):
        fetched(client, tmp_path)
    client.faults.clear()
    piece = min((tmp_path / "data").rglob("parts/*/*.parquet"))
    content = bytearray(piece.read_bytes())
    content[40] ^= 1
    piece.write_bytes(content)

    with pytest.raises(DatasetIncomplete, match="damaged"):
        fetched(client, tmp_path)
    assert fetched(client, tmp_path)[1]["train.parquet"].num_rows == 12 * ROWS


def test_small_disk_is_told_before_the_download(client, tmp_path, monkeypatch):
    """Too little space is said with the bytes that are needed, before a column is fetched."""
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr("bot.data.download.shutil.disk_usage", lambda _path: usage)

    with pytest.raises(OperatorNeeded, match=r"the needed part of v5\.3 needs .* 10,000 are free; make room"):
        fetched(client, tmp_path)
    assert not list((tmp_path / "data").rglob("*.parquet"))


def test_column_that_comes_twice_is_refused(client, served, tmp_path):
    """Of two columns with one name either may be the right one."""
    one = table(13, 20)
    pq.write_table(
        pa.table([*one.columns, one.column("feature_02")], names=[*one.column_names, "feature_02"]),
        served / "validation.parquet",
    )

    with pytest.raises(DatasetIncomplete, match="more than one column 'feature_02'"):
        fetched(client, tmp_path)
